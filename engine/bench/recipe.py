"""The events of a bench: what a storefront would send, each of another shopper if so wished."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

KEY = "bench-key"

_encode = msgspec.json.encode


def address(shopper: int) -> str:
    """Where mail to a shopper goes. It tells a mail at the sink from all others."""
    return f"shopper{shopper}@bench.example"


def view(number: int, shopper: int, run: str) -> dict[str, Any]:
    """A product looked at. ``run`` keeps the ids of two runs apart."""
    product = f"P{number % 997}"
    return {
        "type": "track",
        "event": "Product Viewed",
        "messageId": f"{run}-{number}",
        "userId": f"u{shopper}",
        "anonymousId": f"a-{shopper}",
        "properties": {
            "product_id": product,
            "sku": f"{product}-42",
            "category": "Shoes",
            "name": f"Walking shoe {product}",
            "brand": "Willow",
            "price": 89.95,
            "currency": "USD",
            "url": f"https://shop.example/p/{product}",
        },
        "context": {
            "traits": {"email": address(shopper), "first_name": f"Anna{shopper}"},
            "library": {"name": "winback.js", "version": "1"},
            "page": {"url": f"https://shop.example/p/{product}", "referrer": ""},
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "locale": "en-US",
        },
    }


def order(number: int, shopper: int, run: str) -> dict[str, Any]:
    """An order of everything."""
    return {
        "type": "track",
        "event": "Order Completed",
        "messageId": f"{run}-order-{number}",
        "userId": f"u{shopper}",
        "properties": {
            "order_id": f"{run}-{number}",
            "revenue": 89.95,
            "currency": "USD",
            "products": [{"product_id": "P1", "price": 89.95, "quantity": 1}],
        },
    }


def post(path: str, body: dict[str, Any]) -> bytes:
    """An HTTP/1.1 request, whole."""
    data = _encode(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Write-Key: {KEY}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def single(event: dict[str, Any]) -> bytes:
    """The request of one event."""
    return post("/v1/track", event)


def batch(events: list[dict[str, Any]]) -> bytes:
    """The request of many."""
    return post("/v1/batch", {"batch": events, "sentAt": datetime.now(UTC).isoformat()})
