"""Reading recorded lines for a purpose: only what somebody will look at is built.

A recording's lines carry pages, user agents and products by the dozen; most journeys look at two
or three properties. Building the rest costs more than deciding.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Optional, TypedDict, cast

import msgspec

from engine.intake import wire
from engine.intake.identifiers import CART_FIELDS
from engine.intake.segment import recorded_event
from engine.model.event import Event

#: What the way of an event itself looks at: identity, products, money, consent, calendars.
_PROPERTIES = (
    *("email", "phone", *CART_FIELDS),
    *("product_id", "price", "revenue", "total", "value", "currency"),
    *("channel", "topic", "source", "journey", "segment"),
)
_TRAITS = (
    *("email", "phone", "consent", "locale", "timezone"),
    *("address", "location", "country", "country_code", "region", "state", "province", "city"),
)
_CONTEXT = ("locale", "timezone", "location", "made_by", *CART_FIELDS)

#: Of a type that is put together here, mypy can know nothing.
_typed_dict: Any = TypedDict


@dataclass(frozen=True, slots=True)
class Looks:
    """What will be looked at: ``properties`` of events and ``traits`` of profiles, by name; None
    stands for all."""

    properties: frozenset[str] | None = None
    traits: frozenset[str] | None = None


class Excerpt:
    """Reads lines of a recording as ``read_recorded`` does, without what nobody looks at.

    What is left out is not checked either: a number out of range in a property that no journey
    reads does not spoil its line. A line without a ``messageId`` gets one from what is written in
    it and where, so that two readings agree.
    """

    def __init__(self, looks: Looks, received_at: datetime, region: str) -> None:
        self._received_at = received_at
        self._region = region
        self._decode = msgspec.json.Decoder(_item(looks), float_hook=wire.number).decode

    def read(self, line: bytes, number: int) -> Event:
        """The event of line ``number``. Raises ``ValueError`` with the reason."""
        line = wire.clean(line)
        try:
            item = cast(wire.Item, self._decode(line))
        except (ValueError, RecursionError):
            # Of another shape than it should be: the careful reader takes it, or says why not.
            item = wire.decode_item(line)
        if item.messageId is None or item.messageId == "":
            digest = blake2b(b"%d\0%b" % (number, line), digest_size=16).hexdigest()
            item.messageId = f"line-{digest}"
        return recorded_event(item, self._received_at, self._region)


def _item(looks: Looks) -> Any:
    """``wire.Item`` with no more in it than ``looks`` asks for."""
    properties: Any = dict[str, Any]
    if looks.properties is not None:
        names: dict[str, Any] = dict.fromkeys((*_PROPERTIES, *looks.properties), Any)
        if "products" not in looks.properties:
            names["products"] = list[_typed_dict("Product", {"product_id": Any}, total=False)]  # type: ignore[misc]
        properties = _typed_dict("Properties", names, total=False)
    traits: Any = dict[str, Any]
    if looks.traits is not None:
        traits = _typed_dict("Traits", dict.fromkeys((*_TRAITS, *looks.traits), Any), total=False)
    context = _typed_dict(
        "Context", {**dict.fromkeys(_CONTEXT, Any), "traits": traits}, total=False
    )
    smaller = {"properties": Optional[properties], "context": Optional[context]}  # noqa: UP045
    fields = [
        (field.name, smaller.get(field.name, field.type), None)
        for field in msgspec.structs.fields(wire.Item)
    ]
    return msgspec.defstruct("Item", fields, gc=False)
