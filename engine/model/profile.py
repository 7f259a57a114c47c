"""A profile: one shopper, however many identifiers lead to them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec


class Profile(msgspec.Struct, frozen=True, gc=False):
    """What is known of one shopper.

    ``id``              63-bit number derived from the first identifier seen; stable for ever.
    ``traits``          what identify calls and ``update`` steps set (``email``, ``phone``,
                        ``first_name``, ``locale``, ``timezone``, … in snake_case).
    ``orders``          Order Completed events counted.
    ``lifetime_value``  money spent less refunds, by ISO currency.
    ``first_seen`` / ``last_seen`` / ``last_order_at``   event times, UTC.
    """

    id: int
    traits: dict[str, Any] = {}
    orders: int = 0
    lifetime_value: dict[str, Decimal] = {}
    first_seen: datetime | None = None
    last_seen: datetime | None = None
    last_order_at: datetime | None = None


#: Places of consent beside the topics, whose names no topic can have. A STOP by keyword: not
#: granted while the shopper wants nothing on the channel, whatever was said about topics. And a
#: pause: not granted until ``Consent.until``.
STOPPED = "(stop)"
PAUSED = "(pause)"


class Consent(msgspec.Struct, frozen=True, gc=False):
    """One decision of a shopper about one channel and topic, or what all of them come to.

    ``topic`` "*" covers every topic of the channel; ``STOPPED`` and ``PAUSED`` are places of their
    own. ``granted`` False always wins over an older True, and on a merge of two profiles the
    stricter of the two stands (P5).

    ``confirmed_at``  when the last yes was said that the owner of the address confirmed (double
                      opt-in), however much later they did.
    ``denied_at``     of a yes: the last no before it, which ends what was confirmed until then.
    ``until``         of a pause: its end.
    """

    channel: str
    topic: str
    granted: bool
    at: datetime
    source: str = ""
    confirmed_at: datetime | None = None
    denied_at: datetime | None = None
    until: datetime | None = None
