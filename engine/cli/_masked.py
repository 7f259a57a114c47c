"""An event shown to a person who need not know whose it is."""

from __future__ import annotations

import json
from typing import Any

#: Texts that are the shop's or the protocol's, wherever they stand.
_SHOP = frozenset(
    {"currency", "product_id", "sku", "category", "brand", "variant", "order_id", "coupon"}
    | {"channel", "topic", "made_by"}
)
#: And those that are so only of the event itself.
_OWN = frozenset(
    {"type", "kind", "action", "event", "name", "messageId", "id", "timestamp", "time", "sentAt"}
    | {"originalTimestamp", "received_at", "receivedAt"}
)
#: Numbers that tell of a person.
_PERSONAL = ("phone", "zip", "post", "birth", "age", "card", "lat", "lon", "ip", "id")


def masked(body: str) -> str:
    """The JSON of an event with the shopper's texts hidden, laid out for reading; what is not
    JSON is not shown at all."""
    try:
        value = json.loads(body)
    except ValueError:
        return f"(not JSON, {len(body):,} characters)"
    return json.dumps(_masked(value, "", top=True), indent=2, ensure_ascii=False)


def _masked(value: Any, key: str, *, top: bool = False, own: bool = False) -> Any:
    if isinstance(value, dict):
        return {name: _masked(each, name, own=top) for name, each in value.items()}
    if isinstance(value, list):
        # Those of a batch are events themselves.
        return [_masked(each, key, top=key == "batch", own=own) for each in value]
    if isinstance(value, str):
        if key in _SHOP or (own and key in _OWN):
            return value
        kind, colon, _ = value.partition(":")
        return f"{kind}:…" if key == "identifiers" and colon else f"… ({len(value)} characters)"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and any(word in key.lower() for word in _PERSONAL) and key not in _SHOP:
        return "…"
    return value
