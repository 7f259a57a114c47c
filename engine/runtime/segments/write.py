"""Writing who entered and left: rows, days and events, in the transaction that found it out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import date, datetime

from engine.core.segment_story import told_by
from engine.core.segments import Change, Standing, Subject
from engine.core.zones import zone_named
from engine.runtime import save
from engine.store import identities as identities_store
from engine.store import segments as segments_store
from engine.store.database import Connection
from engine.store.segments import Day, Row

log = logging.getLogger(__name__)

Standings = Mapping[int, Mapping[str, Standing]]


def write(
    connection: Connection,
    before: Standings,
    after: Standings,
    changes: Iterable[Change],
    now: datetime,
    writer: str,
    timezone: str,
    *,
    doubled: Mapping[str, int] | None = None,
) -> int:
    """Write what became of ``before``, count the ``changes`` and put them into the inbox as events;
    gives how many. ``doubled``: members whom merges made fewer, by segment."""
    rows = [
        Row(id, name, *standing)
        for id, mine in after.items()
        for name, standing in mine.items()
        if standing != before.get(id, {}).get(name, Standing())
    ]
    if rows:
        segments_store.write(connection, rows)
    told = list(changes)
    days = _days(before, rows, told, now, timezone, doubled or {})
    if days:
        segments_store.count(connection, writer, days)
    return _tell(connection, told, now, writer) if told else 0


def report(subjects: Mapping[int, Subject]) -> None:
    """Log what could not be decided, each segment once a batch."""
    told: set[str] = set()
    for id, subject in subjects.items():
        for name, error in subject.faults:
            if name not in told:
                told.add(name)
                log.error("segment '%s' cannot be decided for %d", name, id, exc_info=error)


def _days(
    before: Standings,
    rows: list[Row],
    changes: list[Change],
    now: datetime,
    timezone: str,
    doubled: Mapping[str, int],
) -> list[Day]:
    zone = zone_named(timezone)
    found: dict[tuple[str, date], list[int]] = {}
    net: dict[tuple[str, int], int] = {}
    for change in changes:
        day = found.setdefault((change.segment, change.at.astimezone(zone).date()), [0, 0, 0])
        day[0 if change.member else 1] += 1
        place = (change.segment, change.profile_id)
        net[place] = net.get(place, 0) + (1 if change.member else -1)
    today = now.astimezone(zone).date()
    others = {name: -fewer for name, fewer in doubled.items()}
    for row in rows:
        was = before.get(row.profile_id, {}).get(row.segment, Standing()).member
        other = row.member - was - net.get((row.segment, row.profile_id), 0)
        if other:
            others[row.segment] = others.get(row.segment, 0) + other
    for name, other in others.items():
        found.setdefault((name, today), [0, 0, 0])[2] += other
    return [Day(name, day, *numbers) for (name, day), numbers in found.items() if any(numbers)]


def _tell(connection: Connection, changes: list[Change], now: datetime, writer: str) -> int:
    """Put the events into the inbox that tell of ``changes``; gives how many."""
    known = identities_store.strongest(connection, {change.profile_id for change in changes})
    emitted = []
    for change in changes:
        one = told_by(change)
        if one is None:
            log.warning("segment '%s' goes round in a circle with journeys", change.segment)
        elif change.profile_id in known:
            emitted.append(one)
    if emitted:
        save.put_into_inbox(connection, emitted, now, writer)
    return len(emitted)
