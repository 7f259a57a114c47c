"""Shops with segments: rules drawn by chance for the journeys drawn by chance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from engine.core.segments import Standing, touch_of
from engine.language.segment_lists import StaticList
from engine.language.segments import SegmentSet
from engine.model.segment import Segment
from engine.runtime.replay import Replay
from engine.runtime.segments.search import search
from engine.runtime.shell import Shell
from engine.store import segment_desk
from engine.store.database import Database
from tests.property.segment_strategies import compiled, rules

#: What the segments are called; ``vip`` is told of by the shop as well.
NAMES = ("vip", "keen", "lost")
#: Who is on the static lists that rules may ask for.
LISTS = {
    "vip": frozenset({"user:u1", "email:shopper2@example.com"}),
    "blocked": frozenset({"user:u2"}),
}


@st.composite
def segments(draw: st.DrawFn) -> dict[str, Segment]:
    """One for each of ``NAMES``. Rules about runs ask of the journeys that are there; some ask what
    was told of another segment."""
    found = {}
    for name in NAMES:
        rule = draw(rules)
        if draw(st.integers(0, 4)) == 0:
            other = draw(st.sampled_from(NAMES))
            word = draw(st.sampled_from(("Entered", "Left")))
            told = {
                "did": f"Segment {word}",
                "if": f"event.segment == '{other}'",
                "within": "1 day",
            }
            rule = draw(st.sampled_from([told, {"any": [rule, told]}]))
        text = json.dumps(rule).replace("win-back", draw(st.sampled_from(("one", "two"))))
        found[name] = compiled(json.loads(text), name)
    return found


def put(shell: Shell, found: Mapping[str, Segment]) -> None:
    """Put segments into force before anybody is there."""
    with shell.database.connection() as connection:
        segment_desk.keep(
            connection,
            [
                (s.name, s.version, s.title, s.source, touch_of(s.rule).scored)
                for s in found.values()
            ],
            shell.clock.now(),
        )
        segment_desk.keep_lists(connection, LISTS)
    for _ in range(2):
        search(shell)


class Unscored(Replay):
    """As a simulation of a recording: nobody has RFM scores, for there is no shop to measure."""

    def _scales(self, first: datetime, end: datetime) -> Iterator[datetime]:
        return iter(())


def files(found: Mapping[str, Segment]) -> SegmentSet:
    """Segments as a project's folder has them."""
    lists = {name: StaticList(name, who, name) for name, who in LISTS.items()}
    return SegmentSet(dict(found), lists, [], frozenset(found))


def stored_standings(database: Database) -> dict[tuple[int, str], Standing]:
    """Every row that says anything."""
    with database.connection() as connection:
        rows = connection.execute(
            "select profile_id, segment, member, since, look_at from segment_member"
            " where member or since is not null or look_at is not null"
        ).fetchall()
    return {(row[0], row[1]): Standing(*row[2:]) for row in rows}


def stored_crossings(database: Database) -> dict[str, tuple[Any, ...]]:
    with database.connection() as connection:
        rows = connection.execute(
            'select segment, sum(entered)::int, sum("left")::int from segment_day group by 1'
        ).fetchall()
    return {row[0]: row[1:] for row in rows if any(row[1:])}
