"""A batch of a search: its shoppers decided in columns, and what is written put right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np

from engine.core.segments import Change, Standing, Subject, look_now
from engine.core.segments.columns import Wanted, places_of
from engine.core.segments.slide import NEVER, Bools, Ints
from engine.core.segments.standing import Book
from engine.core.segments.sweep import Answer, Sweep
from engine.core.zones import zone_named
from engine.runtime.segments import gather, load
from engine.runtime.segments.write import report, write
from engine.runtime.shell import Shell
from engine.store import segment_columns as columns_store
from engine.store import segments as segments_store
from engine.store import versions as versions_store
from engine.store.database import Connection
from engine.store.segment_columns import Fresh, Range, Stood
from engine.store.segments import Day

_WRITER = "fill"
#: Shoppers judged one by one that are in memory at once.
_SINGLES = 1_000


class Batch:
    """``decide``, then ``finish`` when no other batch is finishing: only then days are counted."""

    def __init__(self, shell: Shell, connection: Connection, book: Book, quiet: set[str]) -> None:
        self._shell = shell
        self._connection = connection
        self._book = book
        self._quiet = quiet
        self._now = shell.clock.now()
        self._net: dict[str, int] = {}
        self._singles: dict[int, list[str]] = {}
        self.mended = 0
        self.emitted = 0

    def decide(self, ids: Ints, behind: int, wanted: Wanted) -> None:
        """Decide about ``ids``, all the shoppers behind that one, which are locked. Who changes
        sides in a segment that is to be told of it is left for ``finish``, as is whom columns
        cannot tell."""
        self._now = self._shell.clock.now()
        stood: dict[str, list[Stood]] = {}
        some = Range(behind, int(ids[-1]))
        for one in columns_store.standings(self._connection, some, self._book.every, self._now):
            stood.setdefault(one.segment, []).append(one)
        sweep = Sweep(gather.columns(self._connection, ids, behind, wanted, self._now), self._now)
        added = []
        for name, held in self._book.held.items():
            answer = sweep.decide(held.segment.rule, held.segment.setting, held.scale)
            fresh, changed = self._compare(name, ids, answer, stood.get(name, ()))
            added.append(fresh)
            columns_store.change(self._connection, changed, self._now)
        columns_store.add(self._connection, added, self._now)

    def _compare(
        self, name: str, ids: Ints, answer: Answer, stood: list[Stood] | tuple[()]
    ) -> tuple[Fresh, Fresh]:
        """Rows that are new, and those that are otherwise."""
        there = np.zeros(len(ids), np.bool_)
        member = there.copy()
        look_at = np.full(len(ids), NEVER, np.int64)
        single = answer.unsure
        for one in stood:
            known, place = places_of(ids, one.profiles)
            place = place[known]
            there[place], member[place], look_at[place] = True, one.member, one.look_at[known]
            known, place = places_of(ids, one.ahead)
            single[place[known]] = True  # decided as of their last change, which is later
        moved = answer.member != member
        if name not in self._quiet:
            single |= moved
        differs = (moved | (answer.until != look_at)) & ~single
        for id in ids[single].tolist():
            self._singles.setdefault(id, []).append(name)
        moved &= differs
        self.mended += int(moved.sum())
        net = int(answer.member[moved].sum()) * 2 - int(moved.sum())
        if net:
            self._net[name] = net

        def rows(those: Bools) -> Fresh:
            return Fresh(name, ids[those], answer.member[those], answer.until[those])

        return rows(differs & ~there), rows(differs & there)

    def finish(self) -> None:
        """Count, and decide one by one what was left over."""
        zone = self._shell.book().timezone
        if self._net:
            today = self._now.astimezone(zone_named(zone)).date()
            days = [Day(name, today, 0, 0, net) for name, net in self._net.items()]
            segments_store.count(self._connection, _WRITER, days)
        ids = sorted(self._singles)
        for start in range(0, len(ids), _SINGLES):
            self._one_by_one(ids[start : start + _SINGLES], self._now, zone)

    def _one_by_one(self, ids: list[int], now: datetime, zone: str) -> None:
        asked = {id: set(self._singles[id]) for id in ids}
        names = sorted(set().union(*asked.values()))
        standings: dict[int, dict[str, Standing]] = {id: {} for id in ids}
        for row in segments_store.standings(self._connection, ids, names, None):
            if row.segment in asked[row.profile_id]:
                standing = Standing(row.member, row.since, row.look_at)
                standings[row.profile_id][row.segment] = standing
        before = {id: dict(mine) for id, mine in standings.items()}
        profiles = versions_store.profiles(self._connection, ids)
        subjects = load.subjects(self._connection, self._book, names, profiles, now)
        changes = list(self._looked(subjects, standings, now))
        report(subjects)
        told = [change for change in changes if change.segment not in self._quiet]
        self.mended += len(changes)
        self.emitted += write(self._connection, before, standings, told, now, _WRITER, zone)

    def _looked(
        self,
        subjects: Mapping[int, Subject],
        standings: dict[int, dict[str, Standing]],
        now: datetime,
    ) -> Iterator[Change]:
        for id, subject in subjects.items():
            names = sorted(self._singles[id])
            yield from look_now(self._book, subject, standings[id], names, now)
