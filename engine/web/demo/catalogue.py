"""What the demo shop sells: twelve things, named in the shop's three languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

#: ISO 4217; every price of the demo is in it.
CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Product:
    """One thing for sale. ``names`` and ``blurbs`` by language code; ``id`` also names the
    picture, ``static/products/<id>.svg``."""

    id: str
    price: Decimal
    category: str
    names: Mapping[str, str]
    blurbs: Mapping[str, str]


def _product(
    id: str, price: str, category: str, names: tuple[str, str, str], blurbs: tuple[str, str, str]
) -> Product:
    languages = ("en", "hi", "ur")
    return Product(
        id,
        Decimal(price),
        category,
        dict(zip(languages, names, strict=True)),
        dict(zip(languages, blurbs, strict=True)),
    )


PRODUCTS: Mapping[str, Product] = {
    product.id: product
    for product in (
        _product(
            "teapot",
            "48.00",
            "kitchen",
            ("Clay teapot", "मिट्टी की चायदानी", "مٹی کی چائے دانی"),
            (
                "Thrown by hand, fired twice. Pours without a drip and keeps four cups warm.",
                "चाक पर गढ़ी, दो बार पकाई हुई। चार प्याले देर तक गर्म रखती है।",
                "چاک پر بنی، دو بار پکی ہوئی۔ چار پیالیاں دیر تک گرم رکھتی ہے۔",
            ),
        ),
        _product(
            "lamp",
            "89.00",
            "living",
            ("Reading lamp", "पढ़ने का लैंप", "مطالعے کا لیمپ"),
            (
                "Brass arm, warm light, and a shade that turns where the page is.",
                "पीतल की डंडी, गुनगुनी रोशनी, और शेड जो पन्ने की ओर घूम जाए।",
                "پیتل کا بازو، نرم روشنی، اور شیڈ جو صفحے کی طرف مڑ جائے۔",
            ),
        ),
        _product(
            "blanket",
            "120.00",
            "living",
            ("Wool blanket", "ऊनी कंबल", "اونی کمبل"),
            (
                "Three shades of sage, woven in one piece. For winters that mean it.",
                "हरे रंग की तीन छटाएँ, एक ही टुकड़े में बुना। कड़ी सर्दियों के लिए।",
                "سبز کے تین رنگ، ایک ہی ٹکڑے میں بُنا ہوا۔ کڑاکے کی سردیوں کے لیے۔",
            ),
        ),
        _product(
            "chair",
            "240.00",
            "living",
            ("Oak chair", "ओक की कुर्सी", "شاہ بلوط کی کرسی"),
            (
                "Solid oak, no screws, one indigo cushion. It will outlive the table.",
                "ठोस ओक, बिना पेंच, एक नीली गद्दी। मेज़ से भी लंबी चलेगी।",
                "ٹھوس شاہ بلوط، بغیر پیچ، ایک نیلی گدی۔ میز سے بھی زیادہ چلے گی۔",
            ),
        ),
        _product(
            "rug",
            "310.00",
            "living",
            ("Kilim rug", "किलिम दरी", "کلیم قالین"),
            (
                "Flat-woven in madder red and indigo, 120 by 180 cm, no two alike.",
                "लाल और नील में हाथ से बुनी, 120 × 180 सेमी, हर एक अलग।",
                "سرخ اور نیل میں ہاتھ سے بُنی، 120 × 180 سینٹی میٹر، ہر ایک الگ۔",
            ),
        ),
        _product(
            "shawl",
            "75.00",
            "wear",
            ("Pashmina shawl", "पश्मीना शॉल", "پشمینہ شال"),
            (
                "Light enough to pull through a ring, warm enough for a night train.",
                "इतनी हल्की कि अँगूठी से निकल जाए, इतनी गर्म कि रात की रेल में काम आए।",
                "اتنی ہلکی کہ انگوٹھی سے گزر جائے، اتنی گرم کہ رات کی ریل میں کام آئے۔",
            ),
        ),
        _product(
            "bowls",
            "54.00",
            "kitchen",
            ("Set of three bowls", "तीन कटोरों का सेट", "تین پیالوں کا سیٹ"),
            (
                "Teal, mustard and terracotta. They nest, and they go in the oven.",
                "नीला, सरसों और टेराकोटा। एक में एक समाते हैं, ओवन में भी चलते हैं।",
                "نیلا، سرسوں اور ٹیراکوٹا۔ ایک دوسرے میں سماتے ہیں، اوون میں بھی چلتے ہیں۔",
            ),
        ),
        _product(
            "lantern",
            "64.00",
            "living",
            ("Brass lantern", "पीतल की लालटेन", "پیتل کی لالٹین"),
            (
                "Cut brass that throws stars on the wall. Takes any tea light.",
                "कटा हुआ पीतल जो दीवार पर तारे बिखेर दे। कोई भी दीया लगाइए।",
                "کٹا ہوا پیتل جو دیوار پر تارے بکھیر دے۔ کوئی بھی دیا لگائیں۔",
            ),
        ),
        _product(
            "basket",
            "36.00",
            "kitchen",
            ("Willow basket", "बेंत की टोकरी", "بید کی ٹوکری"),
            (
                "Carries a market home. Woven green, so it never creaks.",
                "पूरा बाज़ार घर ले आए। हरी बेंत से बुनी, कभी चरमराती नहीं।",
                "پورا بازار گھر لے آئے۔ ہری بید سے بُنی، کبھی نہیں چرچراتی۔",
            ),
        ),
        _product(
            "fern",
            "32.00",
            "living",
            ("Potted fern", "गमले में फ़र्न", "گملے میں فرن"),
            (
                "Likes shade, forgives holidays. The clay pot is ours.",
                "छाँव पसंद है, छुट्टियाँ माफ़ कर देता है। गमला हमारा बनाया है।",
                "چھاؤں پسند ہے، چھٹیاں معاف کر دیتا ہے۔ گملا ہمارا بنایا ہوا ہے۔",
            ),
        ),
        _product(
            "tea",
            "22.00",
            "kitchen",
            ("Darjeeling tea", "दार्जिलिंग चाय", "دارجلنگ چائے"),
            (
                "First flush, whole leaf, 200 g. The tin is worth keeping too.",
                "पहली फ़सल, साबुत पत्ती, 200 ग्राम। डिब्बा भी सँभालने लायक है।",
                "پہلی فصل، پوری پتی، 200 گرام۔ ڈبہ بھی سنبھالنے کے لائق ہے۔",
            ),
        ),
        _product(
            "notebook",
            "14.00",
            "wear",
            ("Paper notebook", "काग़ज़ की कॉपी", "کاغذ کی کاپی"),
            (
                "Handmade cotton paper that likes ink. The pencil comes along.",
                "हाथ का बना सूती काग़ज़, स्याही को भाता है। पेंसिल साथ में।",
                "ہاتھ کا بنا سوتی کاغذ، سیاہی کو بھاتا ہے۔ پنسل ساتھ میں۔",
            ),
        ),
    )
}


def price_text(amount: Decimal) -> str:
    """The price as it stands on a label: ``$1,240.00``."""
    return f"${amount:,.2f}"
