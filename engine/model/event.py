"""An event: one thing that a shopper did, or that a provider or shop reports of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

IdentifierKind = Literal["user", "email", "phone", "cart", "anonymous"]

#: Strongest first. The strongest identifier of an event names its sender (and so its lane).
IDENTIFIER_KINDS: tuple[IdentifierKind, ...] = ("user", "email", "phone", "cart", "anonymous")

EventKind = Literal["track", "identify", "page", "screen", "group", "alias"]


class Event(msgspec.Struct, frozen=True, gc=False):
    """One accepted event.

    ``id``            the sender's ``messageId``; the same id twice is the same event (P2).
    ``name``          Segment e-commerce name ("Product Viewed"); for the kinds without a name
                      the kind itself in capitals ("Identify", "Page", "Alias").
    ``time``          when it happened, UTC, corrected for the sender's clock, never later
                      than ``received_at``.
    ``received_at``   when the collector took it, UTC.
    ``identifiers``   ``"kind:value"`` strings, normalised, strongest first, never empty.
    ``properties``    as sent; for Identify these are the traits. Decimals, never floats.
    """

    id: str
    kind: EventKind
    name: str
    time: datetime
    received_at: datetime
    identifiers: tuple[str, ...]
    properties: dict[str, Any]
    context: dict[str, Any] = {}

    @property
    def sender(self) -> str:
        """The strongest identifier: what the lane is a hash of."""
        return self.identifiers[0]

    @property
    def order_key(self) -> tuple[datetime, str]:
        """The place of this event in its shopper's history: by its own time, ties by id."""
        return (self.time, self.id)
