"""Whoever changes runs outside of a drain or a wake has their shoppers looked at soon."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from engine.runtime.segments.shelf import SegmentShelf
from engine.store import segments as segments_store
from engine.store.database import Connection


def look_soon(connection: Connection, runs: Iterable[tuple[int, str]], now: datetime) -> None:
    """Have the shoppers of these runs, (profile, journey), looked at in the segments that ask about
    the journey. Their profiles must be locked."""
    some = list(runs)
    if not some:
        return
    book = SegmentShelf().book(connection)
    segments_store.look_at(
        connection,
        [(profile, name) for profile, journey in some for name in book.of_journeys({journey})],
        now,
    )
