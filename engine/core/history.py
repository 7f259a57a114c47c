"""What a condition may ask of a shopper's past. The runtime hands in the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from engine.core.facts import product_ids


class PastEvent(Protocol):
    """One event of the past: its own time (UTC) and its properties as sent."""

    @property
    def time(self) -> datetime: ...

    @property
    def properties(self) -> Mapping[str, Any]: ...


class History(Protocol):
    """The events of one profile, by name."""

    def times(self, name: str, since: datetime | None) -> Iterable[PastEvent]:
        """Events called ``name`` at or after ``since`` (None: all that are known)."""
        ...


def past(
    history: History, name: str, within: timedelta | None, now: datetime
) -> Iterable[PastEvent]:
    """Events called ``name`` in the window that ends at ``now``, both ends included.

    Judged by their own time, so an event that has not happened yet by ``now`` does not count
    even when it is known already (P6, P8).
    """
    since = None if within is None else now - within
    return (
        event
        for event in history.times(name, since)
        if event.time <= now and (since is None or event.time >= since)
    )


def bought_product(
    history: History, product_id: str, within: timedelta | None, now: datetime
) -> bool:
    """Whether an order in the window holds the product."""
    return any(
        product_id in product_ids(event.properties)
        for event in past(history, "Order Completed", within, now)
    )
