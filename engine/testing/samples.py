"""Shoppers and events of nobody: what a template is looked at with before anybody gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.model.policy import Shop


@dataclass(frozen=True, slots=True)
class _Tongue:
    """How somebody who reads this language is called, pays and shops."""

    first: str
    last: str
    phone: str
    country: str
    timezone: str
    currency: str
    things: tuple[tuple[str, str], ...]


#: By language. Numbers are of ranges that no shopper has (ITU-T, national numbering plans).
_TONGUES = {
    "en": _Tongue(
        "Maya", "Lindqvist", "+14155550142", "US", "America/New_York", "USD",
        (("Reading lamp, brass", "64.00"), ("Linen cushion", "29.50"), ("Tea cup", "12.00")),
    ),
    "hi": _Tongue(
        "आशा", "शर्मा", "+919999900042", "IN", "Asia/Kolkata", "INR",
        (("हाथ से बुना शॉल", "2499.00"), ("पीतल का दीपक", "1150.00"), ("चाय का प्याला", "350.00")),
    ),
    "ur": _Tongue(
        "عائشہ", "خان", "+923000000042", "PK", "Asia/Karachi", "PKR",
        (("کشمیری شال", "7500.00"), ("پیتل کا چراغ", "3200.00"), ("چائے کی پیالی", "950.00")),
    ),
    "de": _Tongue(
        "Jürgen", "Groß", "+4930000042", "DE", "Europe/Berlin", "EUR",
        (("Leselampe aus Messing", "64,00"), ("Leinenkissen", "29.50"), ("Teetasse", "12.00")),
    ),
    "fr": _Tongue(
        "Zoé", "Lefèvre", "+33100000042", "FR", "Europe/Paris", "EUR",
        (("Lampe en laiton", "64.00"), ("Coussin en lin", "29.50"), ("Tasse à thé", "12.00")),
    ),
    "ar": _Tongue(
        "ليلى", "حسن", "+971500000042", "AE", "Asia/Dubai", "AED",
        (("مصباح نحاسي", "240.00"), ("وسادة كتان", "110.00"), ("فنجان شاي", "45.00")),
    ),
}  # fmt: skip


def shopper(locale: str) -> dict[str, Any]:
    """The traits of somebody who reads ``locale``; an English reader where we know nobody."""
    tongue = _tongue(locale)
    return {
        "email": "sample@example.com",
        "phone": tongue.phone,
        "first_name": tongue.first,
        "last_name": tongue.last,
        "country": tongue.country,
        "timezone": tongue.timezone,
        "locale": locale,
        "orders": 3,
        "lifetime_value": 240,
    }


def event(locale: str, shop: Shop) -> dict[str, Any]:
    """What any event of the shop may carry, all at once: a product, a cart of three, an order, a
    yes that is to be confirmed."""
    tongue = _tongue(locale)
    products = [
        {
            "product_id": f"sample-{n}",
            "sku": f"S-{n}",
            "name": name,
            "price": price.replace(",", "."),
            "currency": tongue.currency,
            "quantity": 2 if n == 2 else 1,
            "url": f"{shop.url}/products/sample-{n}",
            "image_url": f"{shop.url}/images/sample-{n}.jpg",
        }
        for n, (name, price) in enumerate(tongue.things, 1)
    ]
    return {
        **products[0],
        "products": products,
        "product_ids": [product["product_id"] for product in products],
        "cart_id": "sample-cart",
        "cart_url": f"{shop.url}/cart/sample-cart",
        "checkout_url": f"{shop.url}/checkout/sample-cart",
        "order_id": "10042",
        "total": products[0]["price"],
        "revenue": products[0]["price"],
        "old_price": str(Decimal(products[0]["price"]) * 5 / 4),
        "code": "SAMPLE42",
        "channel": "email",
        "topic": "offers",
        "yes_at": "2026-03-02T10:00:00+00:00",
        "segment": "sample",
    }


def offer(terms: Mapping[str, Any]) -> dict[str, Any]:
    """An offer as a run would have it: ``terms`` as they are written, with a code of nobody's
    where each run gets one of its own."""
    coupon = terms.get("coupon")
    if isinstance(coupon, str) and " " not in coupon:
        return dict(terms)
    return {**terms, "coupon": "SAMPLE42", "code": "SAMPLE42"}


def _tongue(locale: str) -> _Tongue:
    language = locale.replace("_", "-").split("-")[0].lower()
    return _TONGUES.get(language, _TONGUES["en"])
