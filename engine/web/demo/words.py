"""The demo shop's own words in English, Hindi and Urdu."""

from __future__ import annotations

from collections.abc import Mapping

#: Language code -> its own name, in the order of the selector.
LANGUAGES: Mapping[str, str] = {"en": "English", "hi": "हिन्दी", "ur": "اردو"}

RIGHT_TO_LEFT = frozenset({"ur"})

_WORDS: Mapping[str, tuple[str, str, str]] = {
    "tagline": (
        "Things worth coming back for",
        "चीज़ें, जिनके लिए लौटने को जी चाहे",
        "چیزیں، جن کے لیے لوٹنے کو جی چاہے",
    ),
    "intro": (
        "A small shop with nothing to hide: look around, leave, and see what Winback does.",
        "एक छोटी-सी दुकान: देखिए, चले जाइए, और देखिए कि Winback क्या करता है।",
        "ایک چھوٹی سی دکان: دیکھیے، چلے جائیے، اور دیکھیے کہ Winback کیا کرتا ہے۔",
    ),
    "all_products": ("All products", "सारा सामान", "تمام چیزیں"),
    "cart": ("Cart", "टोकरी", "ٹوکری"),
    "cart_empty": (
        "Your cart is empty.",
        "आपकी टोकरी ख़ाली है।",
        "آپ کی ٹوکری خالی ہے۔",
    ),
    "add_to_cart": ("Add to cart", "टोकरी में डालें", "ٹوکری میں ڈالیں"),
    "remove": ("Remove", "हटाएँ", "ہٹائیں"),
    "total": ("Total", "कुल", "کل رقم"),
    "quantity": ("Quantity", "मात्रा", "تعداد"),
    "checkout": ("Check out", "ख़रीदें", "خریداری مکمل کریں"),
    "place_order": ("Place the order", "ऑर्डर दें", "آرڈر دیں"),
    "keep_looking": ("Keep looking", "और देखें", "مزید دیکھیں"),
    "sign_in": ("Sign in", "साइन इन", "سائن اِن"),
    "sign_out": ("Sign out", "साइन आउट", "سائن آؤٹ"),
    "sign_in_why": (
        "No password here: an address is enough. It tells Winback who the cookie belongs to.",
        "यहाँ पासवर्ड नहीं चाहिए, पता काफ़ी है। इससे Winback जान जाता है कि यह कुकी किसकी है।",
        "یہاں پاس ورڈ نہیں چاہیے، پتہ کافی ہے۔ اس سے Winback جان لیتا ہے کہ یہ کوکی کس کی ہے۔",
    ),
    "hello": ("Hello", "नमस्ते", "السلام علیکم"),
    "name": ("First name", "नाम", "نام"),
    "email": ("Email", "ईमेल", "ای میل"),
    "phone": ("Phone (optional)", "फ़ोन (वैकल्पिक)", "فون (اختیاری)"),
    "phone_hint": (
        "With country code, such as +1 202 555 0143",
        "देश-कोड के साथ, जैसे +91 98765 43210",
        "ملک کے کوڈ کے ساتھ، جیسے +92 301 2345678",
    ),
    "consent_title": (
        "May we write to you about things you looked at?",
        "क्या हम आपको देखी हुई चीज़ों के बारे में लिख सकते हैं?",
        "کیا ہم آپ کو دیکھی ہوئی چیزوں کے بارے میں لکھ سکتے ہیں؟",
    ),
    "consent_email": ("Yes, by email", "हाँ, ईमेल से", "جی ہاں، ای میل سے"),
    "consent_sms": ("Yes, by SMS", "हाँ, SMS से", "جی ہاں، ایس ایم ایس سے"),
    "consent_hint": (
        "Leave a box empty and nothing goes out on that channel.",
        "जो ख़ाना ख़ाली है, उस रास्ते से कुछ नहीं भेजा जाएगा।",
        "جو خانہ خالی ہے، اس راستے سے کچھ نہیں بھیجا جائے گا۔",
    ),
    "thanks": (
        "Thank you. It is on its way.",
        "धन्यवाद। सामान निकल चुका है।",
        "شکریہ۔ سامان روانہ ہو چکا ہے۔",
    ),
    "order": ("Order", "ऑर्डर", "آرڈر"),
    "thanks_why": (
        "The shop's back end has reported this order. The browser said nothing of it, "
        "and still everything on its way to you has stopped.",
        "यह ऑर्डर दुकान के सर्वर ने बताया है, ब्राउज़र ने कुछ नहीं कहा। फिर भी आपकी ओर चला हर संदेश रुक गया।",
        "یہ آرڈر دکان کے سرور نے بتایا ہے، براؤزر نے کچھ نہیں کہا۔ "
        "پھر بھی آپ کی طرف چلا ہر پیغام رک گیا۔",
    ),
    "wrong_email": (
        "Please enter an email address, such as asha@example.com.",
        "कृपया ईमेल पता लिखें, जैसे asha@example.com",
        "براہِ کرم ای میل پتہ لکھیں، جیسے asha@example.com",
    ),
    "wrong_phone": (
        "Please enter the phone number with its country code, such as +1 202 555 0143.",
        "कृपया फ़ोन नंबर देश-कोड के साथ लिखें, जैसे +91 98765 43210",
        "براہِ کرم فون نمبر ملک کے کوڈ کے ساتھ لکھیں، جیسے +92 301 2345678",
    ),
    "try_title": ("Try it", "आज़माइए", "آزمائیے"),
    "try_1": ("Sign in", "साइन इन कीजिए", "سائن اِن کیجیے"),
    "try_2": (
        "Look at a product, then leave",
        "कोई चीज़ देखिए, फिर चले जाइए",
        "کوئی چیز دیکھیے، پھر چلے جائیے",
    ),
    "try_3": ("Wait some seconds", "कुछ सेकंड रुकिए", "چند سیکنڈ رکیے"),
    "try_4": ("Open the mailbox", "मेलबॉक्स खोलिए", "میل باکس کھولیے"),
    "try_5": (
        "Buy it, and all of it stops",
        "ख़रीद लीजिए, और सब रुक जाएगा",
        "خرید لیجیے، اور سب رک جائے گا",
    ),
    "no_such_product": (
        "There is no such product.",
        "ऐसी कोई चीज़ नहीं है।",
        "ایسی کوئی چیز نہیں ہے۔",
    ),
}


def words(language: str) -> Mapping[str, str]:
    """All words in ``language`` (a key of ``LANGUAGES``)."""
    at = list(LANGUAGES).index(language)
    return {key: texts[at] for key, texts in _WORDS.items()}
