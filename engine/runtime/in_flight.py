"""The shoppers in flight when journeys change: each run's fate, decided by the core.

The plan counts what comes out of ``decide``; the apply carries the same out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from engine.core.book import JourneyBook, Needs, open_book, widen
from engine.core.decision import Outcome
from engine.core.migrate import Fate, Rule, added_stops, fate
from engine.core.shopper import Past, Shopper, ShopperHistory
from engine.core.stops import look_back
from engine.model.journey import Journey
from engine.store import runs as runs_store
from engine.store import versions as versions_store
from engine.store.database import Connection
from engine.store.versions import Waiting

Kind = Literal["new", "changed", "removed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Change:
    """One journey between the live set and what is wanted.

    ``live``    the version that is live; None: none is, or it can no longer be read.
    ``wanted``  what is to be live; None: nothing.
    ``rule``    what happens to shoppers in flight on any version but ``wanted``.
    ``others``  those versions, each with its journey (None: it can no longer be read).
    """

    name: str
    kind: Kind
    live: Journey | None
    wanted: Journey | None
    rule: Rule
    others: Mapping[str, Journey | None] = field(default_factory=dict)


class Decision(NamedTuple):
    """What becomes of one run. ``outcome``: what the core decided where a stop that is new in the
    wanted version finds its event in the past; under the rule ``finish`` it is only told."""

    change: Change
    old: Journey | None
    waiting: Waiting
    fate: Fate
    outcome: Outcome | None


def decide(
    connection: Connection,
    changes: Iterable[Change],
    now: datetime,
    currency: str,
    *,
    locked: bool = False,
) -> Iterator[list[Decision]]:
    """The fate of every run in flight on a version that ``changes`` replace, some thousand at a
    time. Nothing is written. ``locked``: those that do not just finish, only of shoppers whom this
    transaction has locked."""
    by_name = {change.name: change for change in changes if change.others}
    versions = [(name, v) for name, change in by_name.items() for v in change.others]
    if not versions:
        return
    judge = _PastStops(connection, by_name, currency)
    moving = [name for name, change in by_name.items() if change.rule != "finish"]
    for chunk in versions_store.waiting(
        connection, versions, judge.names, locked=moving if locked else None
    ):
        outcomes = judge.outcomes([one for one in chunk if one.touched])
        decisions = []
        for one in chunk:
            run = one.run
            change = by_name[run.journey]
            old = change.others[run.version]
            outcome = outcomes.get(run.id)
            found = fate(old, change.wanted, change.rule, run, one.since, now)
            if outcome is not None and change.rule == "move":
                why = outcome.enrollments[run.id].reason
                found = found._replace(action="stops", at=found.at or run.at, why=why)
            decisions.append(Decision(change, old, one, found, outcome))
        yield decisions


class _PastStops:
    """Stops that are new in a wanted version, held against what shoppers did since their run
    began: by the core's own way of looking back (P6)."""

    def __init__(
        self, connection: Connection, changes: Mapping[str, Change], currency: str
    ) -> None:
        self._connection = connection
        self._changes = changes
        edited: dict[tuple[str, str], Journey] = {}
        for name, change in changes.items():
            if change.wanted is None or change.rule == "leave":
                continue
            for version, old in change.others.items():
                stops = added_stops(old, change.wanted) if old else ()
                if stops:
                    edited[name, version] = dataclasses.replace(
                        change.wanted, version=version, stops=stops
                    )
        self._book: JourneyBook = open_book([], edited, currency=currency)
        self.names = [
            (name, version, event)
            for (name, version), journey in edited.items()
            for event in {stop.event for stop in journey.stops}
        ]
        self._needs: Needs = {event: None for _, _, event in self.names}
        for journey in edited.values():
            for stop in journey.stops:
                if stop.condition:
                    widen(self._needs, dict(stop.condition.history))

    def outcomes(self, touched: list[Waiting]) -> dict[str, Outcome]:
        """By run id, what the core decided where such a stop matches."""
        if not touched:
            return {}
        owners = list(dict.fromkeys(one.run.profile_id for one in touched))
        # Conditions look back from the event that may stop the run, never from before its start.
        first = min(one.run.entered_at for one in touched)
        profiles = versions_store.profiles(self._connection, owners)
        histories = {id: ShopperHistory() for id in owners}
        for id, name, time, event, properties in runs_store.history(
            self._connection, owners, self._needs, first
        ):
            histories[id].add(name, Past(time, event, properties))
        wanted = {one.run.id for one in touched}
        whole = [run for run in runs_store.live(self._connection, owners) if run.id in wanted]
        triggers = {
            event: properties
            for _, event, properties in runs_store.triggers(
                self._connection, [(run.profile_id, run.event_id) for run in whole]
            )
        }
        found: dict[str, Outcome] = {}
        for run in whole:
            shopper = Shopper(
                profiles[run.profile_id],
                live={run.id: run},
                history=histories[run.profile_id],
                triggers={run.event_id: triggers.get(run.event_id, {})},
            )
            look_back(self._book, shopper)
            if run.id in shopper.outcome.stopped:
                found[run.id] = shopper.outcome
        return found
