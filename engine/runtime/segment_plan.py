"""What a plan says of segments: whom a definition that is not in force yet would take in and let
go, and what journeys it may make of that.

Whoever is found in or out by a new definition has not entered or left, so nothing is sent at once.
But other shoppers may come and go from then on, and those start journeys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from engine.core.reach import Reach
from engine.core.segments import Book, Held, judge
from engine.language.segments import SegmentError, compile_segment
from engine.model.journey import SEGMENT_ENTERED, SEGMENT_LEFT, Journey
from engine.model.segment import Scale, Segment
from engine.runtime.blast import FIRST_DAY, LOOK_BACK, Part
from engine.runtime.reached import reached
from engine.runtime.segments import load
from engine.store import segment_plan as plan_store
from engine.store import segments as segments_store
from engine.store.database import Connection

_DAY = timedelta(days=1)
#: Shoppers in a batch.
_BATCH = 2000


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """A segment whose definition is ``new``, ``changed`` or ``removed``. Of the ``members`` it has
    now some ``go`` at once, and others ``come``; with the new definition so many would have
    ``entered`` and ``left`` in the last day. ``journeys`` hear of it."""

    segment: str
    change: str
    journeys: tuple[str, ...]
    members: int = 0
    come: int = 0
    go: int = 0
    entered: int = 0
    left: int = 0


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """What would change, and how many messages more it may lead to in the first day."""

    changes: tuple[SegmentChange, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def messages(self) -> int:
        return sum(part.messages for part in self.parts)


def draw(
    connection: Connection,
    journeys: Mapping[str, Journey],
    wanted: Mapping[str, Segment],
    broken: Collection[str],
    lists: Mapping[str, Collection[str]],
    now: datetime,
) -> SegmentPlan:
    """Compare ``wanted`` with what is in force, as far as ``journeys`` hear of it. ``broken`` ones
    stay as they are. Looks at every shopper where a definition has changed, and locks nobody."""
    in_force = {row.name: row for row in segments_store.in_force(connection)}
    live = {name: _compiled(row.source) for name, row in in_force.items()}
    known = {name: one for name, one in live.items() if one is not None} | dict(wanted)
    heard = {name: reached([journey], known) for name, journey in journeys.items()}
    changes, held = {}, []
    for name in sorted({segment for some in heard.values() for segment in some} - set(broken)):
        by = tuple(sorted(journey for journey, some in heard.items() if name in some))
        row, new = in_force.get(name), wanted.get(name)
        if new is None:
            changes[name] = SegmentChange(name, "removed", by)
        elif row is None or row.version != new.version:
            changes[name] = SegmentChange(name, "new" if row is None else "changed", by)
            scale = None if row is None or row.scale is None else Scale.of_json(row.scale)
            held.append(Held(new, scale))
    if held:
        counted = _count(connection, Book(held), lists, now)
        for name in [one.segment.name for one in held]:
            changes[name] = SegmentChange(
                name, changes[name].change, changes[name].journeys, **counted[name]
            )
    return SegmentPlan(tuple(changes.values()), _parts(connection, journeys, changes, now))


def _compiled(source: str) -> Segment | None:
    try:
        return compile_segment(source)
    except SegmentError:
        return None  # it decides nothing any more: the workers' log says so


def _count(
    connection: Connection, book: Book, lists: Mapping[str, Collection[str]], now: datetime
) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {name: Counter() for name in book.every}
    listed = plan_store.on_lists(connection, lists)
    names = sorted(book.every)
    behind = -1
    while profiles := plan_store.profiles_behind(connection, behind, _BATCH):
        behind = profiles[-1].id
        by_id = {profile.id: profile for profile in profiles}
        subjects = load.subjects(connection, book, names, by_id, now - _DAY)
        rows = segments_store.standings(connection, by_id, names, None)
        members = {(row.profile_id, row.segment) for row in rows if row.member}
        for id, subject in subjects.items():
            subject.lists = listed.get(id, frozenset())
            for name in names:
                one, count = book.held[name], found[name]
                rule, setting = one.segment.rule, one.segment.setting
                inside = judge(rule, subject, now, setting, one.scale).member
                before = judge(rule, subject, now - _DAY, setting, one.scale).member
                was = (id, name) in members
                count["members"] += was
                count["come"] += inside and not was
                count["go"] += was and not inside
                count["entered"] += inside and not before
                count["left"] += before and not inside
    return found


def _parts(
    connection: Connection,
    journeys: Mapping[str, Journey],
    changes: Mapping[str, SegmentChange],
    now: datetime,
) -> tuple[Part, ...]:
    """What the journeys that such a segment starts may send in the first day beyond what they send
    already, by who would have come or gone in the last one."""
    started = [j for j in journeys.values() if j.trigger.segment in changes]
    if not started:
        return ()
    days = plan_store.busiest_day(connection, (SEGMENT_ENTERED, SEGMENT_LEFT), now, LOOK_BACK)
    parts = []
    for journey in sorted(started, key=lambda journey: journey.name):
        trigger = journey.trigger
        change = changes[trigger.segment]
        coming = change.entered if trigger.event == SEGMENT_ENTERED else change.left
        more = coming - days.get((trigger.event, trigger.segment), (0, 0))[1]
        messages = Reach(journey, journeys).from_start(FIRST_DAY)
        if more > 0 and messages:
            parts.append(Part(journey.name, f"more by {change.segment}", more, more * messages))
    return tuple(parts)
