"""Shops with segments: rules drawn by chance for the journeys drawn by chance, and event-time
replay that also looks at whom time alone puts in or out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from engine.core.segment_story import Story
from engine.core.segments import Standing, touch_of
from engine.model.segment import Segment
from engine.runtime.replay import Replay, Until
from engine.runtime.segments.keep import keep_up
from engine.runtime.segments.search import search
from engine.runtime.shell import Shell
from engine.runtime.wake import wake
from engine.store import profiles as profiles_store
from engine.store import runs as runs_store
from engine.store import segment_desk
from engine.store.database import Connection, Database
from tests.property.segment_strategies import compiled, rules

#: What the segments are called; ``vip`` is told of by the shop as well.
NAMES = ("vip", "keen", "lost")
#: Who is on the static lists that rules may ask for.
LISTS = {
    "vip": frozenset({"user:u1", "email:shopper2@example.com"}),
    "blocked": frozenset({"user:u2"}),
}
_TICK = timedelta(microseconds=1)


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


class LookingReplay(Replay):
    """Looks at each shopper at the very moment at which time may put them in or out."""

    def keep(self, found: Mapping[str, Segment]) -> None:
        put(self._shell, found)
        # What a look tells of comes before the next timer.
        self._one_by_one = True

    def _fire_each(self, until: Until) -> None:
        while True:
            with self.database.connection() as connection:
                timers = runs_store.first_timers(connection, until)
                looks = _first_looks(connection, until)
            first = {
                profile: min(some[profile] for some in (timers, looks) if profile in some)
                for profile in timers.keys() | looks.keys()
            }
            if not first:
                return
            self._send({profile: at - _TICK for profile, at in first.items()})
            looking = {p: at for p, at in first.items() if looks.get(p) == at}
            for profile, at in looking.items():
                self._look(profile, at)
            waking = {p: at for p, at in first.items() if p not in looking}
            if waking:
                wake(self._shell, until=waking)
            self._drain_emitted()

    def _look(self, profile: int, at: datetime) -> None:
        shell = self._shell
        with self.database.connection() as connection:
            locked, _ = profiles_store.lock(connection, [profile])
            story = Story(locked[profile])
            keep_up(shell, connection, {profile: story}, shell.clock.now(), "look", until=at)


def _first_looks(connection: Connection, until: Until) -> dict[int, datetime]:
    rows = connection.execute(
        "select profile_id, min(look_at) from segment_member where look_at is not null group by 1"
    ).fetchall()
    ends = {id: until if isinstance(until, datetime) else until.get(id) for id, _ in rows}
    return {id: at for id, at in rows if (end := ends[id]) is not None and at <= end}


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
