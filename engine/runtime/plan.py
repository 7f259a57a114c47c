"""The plan: what would change if these journeys went live, and for whom.

It only reads. ``winback apply`` makes the same plan again under locks and carries it out, so the
plan's numbers are what happens, up to what shoppers do in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from difflib import unified_diff

from engine.core.migrate import Action, Rule, step_label
from engine.errors import WinbackError
from engine.language import load_journey
from engine.model.journey import Journey
from engine.runtime.blast import InFlight, Part, new_shoppers
from engine.runtime.in_flight import Change, Decision, Kind, decide
from engine.store import journeys as journeys_store
from engine.store import versions as versions_store
from engine.store.database import Connection
from engine.store.versions import LiveSet


class NothingToGoBackTo(WinbackError):
    """There is nothing to roll back to: nothing was applied before what is live."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be live. ``broken`` journeys cannot be read: they stay as they are. ``rule`` is
    for all shoppers in flight, whatever the journeys say. ``back_to``: a rollback to that set."""

    journeys: Mapping[str, Journey]
    broken: frozenset[str] = frozenset()
    rule: Rule | None = None
    back_to: LiveSet | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """``waiting`` runs that wait at one step of one version: how many of them meet which fate.
    ``would_stop``: of those who finish on their version, the ones that a new stop would have
    ended, had they been moved."""

    version: str
    at: str
    step: str
    waiting: int
    fates: Mapping[Action, int]
    would_stop: int = 0


@dataclass(frozen=True, slots=True)
class JourneyPlan:
    """``live`` and ``wanted`` are versions, "" for none; ``diff`` a unified diff of the YAML."""

    name: str
    change: str
    live: str
    wanted: str
    rule: Rule
    diff: str = ""
    in_flight: tuple[Group, ...] = ()

    def count(self, action: Action) -> int:
        return sum(group.fates.get(action, 0) for group in self.in_flight)


@dataclass(frozen=True, slots=True)
class Plan:
    """``base`` is the set that is live, None where the journeys follow the files. ``parts`` add up
    to ``messages``: how many more may go in the first day, at worst."""

    base: LiveSet | None
    journeys: tuple[JourneyPlan, ...]
    parts: tuple[Part, ...] = ()

    @property
    def messages(self) -> int:
        return sum(part.messages for part in self.parts)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to apply."""
        return self.base is not None and all(j.change == "unchanged" for j in self.journeys)


@dataclass(slots=True)
class Count:
    """Counts decisions by journey, version and step while they pass."""

    others: Mapping[str, Journey]
    now: datetime
    _fates: dict[tuple[str, str, str], Counter[Action]] = field(default_factory=dict)
    _would_stop: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _blast: InFlight = field(init=False)

    def __post_init__(self) -> None:
        self._blast = InFlight(self.others, self.now)

    def add(self, decision: Decision) -> None:
        run = decision.waiting.run
        place = (run.journey, run.version, run.at or "")
        self._fates.setdefault(place, Counter())[decision.fate.action] += 1
        if decision.outcome is not None and decision.fate.action == "finishes":
            self._would_stop[place] += 1
        self._blast.add(decision)

    def groups(self, change: Change) -> tuple[Group, ...]:
        return tuple(
            Group(
                version,
                at,
                _label(change.others.get(version), at),
                sum(fates.values()),
                dict(fates),
                self._would_stop[change.name, version, at],
            )
            for (name, version, at), fates in sorted(self._fates.items())
            if name == change.name
        )

    def parts(self) -> list[Part]:
        return self._blast.parts()


def live_now(connection: Connection) -> LiveSet | None:
    """The set that is live; None where the journeys follow the files."""
    newest = versions_store.newest(connection)
    return None if newest is None or newest.follows_files else newest


def before_it(connection: Connection, rule: Rule | None = None) -> Wanted:
    """What a rollback wants. Raises ``NothingToGoBackTo``."""
    base = live_now(connection)
    target = None if base is None else versions_store.before(connection, base)
    if target is None:
        raise NothingToGoBackTo
    kept = read(connection, list(target.versions.items()))
    journeys = {name: journey for (name, _), journey in kept.items() if journey is not None}
    broken = frozenset(target.versions.keys() - journeys.keys())
    return Wanted(journeys, broken, rule, target)


def changes_to(connection: Connection, wanted: Wanted) -> tuple[LiveSet | None, list[Change]]:
    """What changes between the live set and ``wanted``, journey by journey."""
    base = live_now(connection)
    live = dict(base.versions) if base else {}
    names = sorted((live.keys() | wanted.journeys.keys()) - wanted.broken)
    flying = versions_store.in_flight(connection, names)
    others = {
        name: [
            v
            for v in flying.get(name, {})
            if name not in wanted.journeys or v != wanted.journeys[name].version
        ]
        for name in names
    }
    needed = {(name, v) for name, versions in others.items() for v in versions}
    known = read(connection, sorted(needed | {(n, v) for n, v in live.items() if n in others}))
    changes = []
    for name in names:
        new = wanted.journeys.get(name)
        if base is not None:
            old = known.get((name, live[name])) if name in live else None
            kind: Kind = _kind(live.get(name), new)
        else:
            # Nothing was applied: what changes is for those who entered before the last edit.
            old = known.get((name, others[name][0])) if others[name] else None
            kind = "changed" if others[name] else "new"
        mine = {} if kind == "unchanged" else {v: known.get((name, v)) for v in others[name]}
        changes.append(Change(name, kind, old, new, _rule(wanted, old, new), mine))
    return base, changes


def draw(connection: Connection, wanted: Wanted, now: datetime, currency: str) -> Plan:
    """What would change, and for whom, if ``wanted`` went live at ``now``."""
    base, changes = changes_to(connection, wanted)
    count = Count(wanted.journeys, now)
    for decisions in decide(connection, changes, now, currency):
        for decision in decisions:
            count.add(decision)
    return finished(connection, wanted, base, changes, count)


def finished(
    connection: Connection,
    wanted: Wanted,
    base: LiveSet | None,
    changes: list[Change],
    count: Count,
) -> Plan:
    """The plan of ``changes`` whose decisions have been counted."""
    parts = count.parts()
    if base is not None:  # else the files are live: who comes in gets that already
        known = {c.name: c.live for c in changes if c.live is not None}
        parts += new_shoppers(connection, changes, known, wanted.journeys, count.now)
    live = base.versions if base else {}
    return Plan(
        base,
        tuple(
            JourneyPlan(
                change.name,
                change.kind,
                live.get(change.name, "") if base else _version(change.live),
                _version(change.wanted),
                change.rule,
                _diff(change),
                count.groups(change),
            )
            for change in changes
        ),
        tuple(parts),
    )


def read(
    connection: Connection, versions: list[tuple[str, str]]
) -> dict[tuple[str, str], Journey | None]:
    """Kept versions as journeys; None where one can no longer be read as it was meant."""
    found: dict[tuple[str, str], Journey | None] = dict.fromkeys(versions)
    for name, version, source in journeys_store.sources(connection, versions):
        journey, _ = load_journey(source, name)
        if journey is not None and journey.version == version:
            found[name, version] = journey
    return found


def _kind(live: str | None, new: Journey | None) -> Kind:
    if live is None:
        return "new"
    if new is None:
        return "removed"
    return "unchanged" if live == new.version else "changed"


def _rule(wanted: Wanted, old: Journey | None, new: Journey | None) -> Rule:
    """The edited journey says what happens to those in flight. A rollback asks the version that
    it takes back, a removal the one that is removed."""
    if wanted.rule is not None:
        return wanted.rule
    asked = old if (wanted.back_to is not None or new is None) and old is not None else new
    return asked.change.rule if asked is not None else "finish"


def _diff(change: Change) -> str:
    if change.kind == "unchanged":
        return ""
    old = change.live.source if change.live else ""
    new = change.wanted.source if change.wanted else ""
    name = f"{change.name}.yaml"
    return "\n".join(
        unified_diff(
            old.splitlines(), new.splitlines(), f"live/{name}", f"wanted/{name}", lineterm=""
        )
    )


def _version(journey: Journey | None) -> str:
    return "" if journey is None else journey.version


def _label(journey: Journey | None, at: str) -> str:
    return at if journey is None or not at else step_label(journey, at)
