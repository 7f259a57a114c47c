"""Which journeys were in force at a moment of the past, as far as the database can tell.

Under ``winback apply`` it can tell exactly. While workers followed the files it knows when each
version was first seen, but not when a file was taken away or an older text put back.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.model.journey import Journey
from engine.runtime.plan import read
from engine.store import explain as explain_store
from engine.store.database import Connection

#: A worker that has not looked yet works with what was in force before.
_SLACK = timedelta(seconds=10)


class Then(NamedTuple):
    """``journeys`` by name; of those in ``sure`` it is certain that they were in force, and so
    that whoever did not enter them was not let in."""

    journeys: dict[str, Journey]
    sure: frozenset[str]


class Past:
    """Answers for one shop. ``now_live`` names the journeys that are in force today."""

    def __init__(self, connection: Connection, now_live: Collection[str]) -> None:
        self._connection = connection
        self._now_live = frozenset(now_live)
        self._sets = explain_store.live_sets(connection)
        self._kept = explain_store.kept_versions(connection)
        self._read: dict[tuple[str, str], Journey | None] = {}

    def at(self, moment: datetime) -> Then:
        """What was in force at ``moment``."""
        earlier = [one for one in self._sets if one.since <= moment]
        newest = earlier[-1] if earlier else None
        if newest is not None and newest.versions is not None:
            journeys = self._journeys(newest.versions)
            settled = moment - newest.since > _SLACK
            return Then(journeys, frozenset(journeys) if settled else frozenset())
        versions: dict[str, str] = {}
        seen: dict[str, list[datetime]] = {}
        for name, version, first_used in self._kept:
            seen.setdefault(name, []).append(first_used)
            if first_used <= moment:
                versions[name] = version
        journeys = self._journeys(versions)
        sure = {
            name
            for name in journeys
            if not self._sets
            and name in self._now_live
            and len(seen[name]) == 1
            and moment - seen[name][0] > _SLACK
        }
        return Then(journeys, frozenset(sure))

    def _journeys(self, versions: dict[str, str]) -> dict[str, Journey]:
        missing = [place for place in versions.items() if place not in self._read]
        if missing:
            self._read |= read(self._connection, missing)
        found = {name: self._read[name, version] for name, version in versions.items()}
        return {name: journey for name, journey in found.items() if journey is not None}
