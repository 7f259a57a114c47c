"""The apply: the wanted journeys go live and the shoppers in flight meet their fate, all in one
transaction or not at all.

It makes the plan again under locks, so it acts on what is, not on what was when a person read
it. Workers look at the stamp of the live set every second. A worker that has not looked yet may
let a shopper in on a version that has just been replaced; ``follow_up``, some seconds later,
does with those what the apply would have done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from engine.core.decision import Mark
from engine.core.migrate import moved_words
from engine.errors import WinbackError
from engine.runtime.in_flight import Change, Decision, decide
from engine.runtime.plan import Count, Plan, Wanted, changes_to, finished, live_now, read
from engine.runtime.segments.soon import look_soon
from engine.store import coupons as coupons_store
from engine.store import journeys as journeys_store
from engine.store import memberships as memberships_store
from engine.store import messages as messages_store
from engine.store import runs as runs_store
from engine.store import versions as versions_store
from engine.store.database import START_AGAIN, Connection, Database, Unavailable
from engine.store.versions import LiveSet

_TRIES = 10
_Result = TypeVar("_Result")


class Overtaken(WinbackError):
    """Somebody else applied since the plan was made: plan again."""


class TooFar(WinbackError):
    """More messages might go in the first day than are allowed."""

    def __init__(self, messages: int, allowed: int) -> None:
        super().__init__(
            f"This may send up to {messages:,} messages more in the first day; allowed are "
            f"{allowed:,}. If that is meant: winback apply --allow {messages}. Nothing was changed."
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """``plan`` as it was carried out; ``live_set`` the id of the set that is live now."""

    plan: Plan
    live_set: int


def apply(
    database: Database,
    wanted: Wanted,
    now: Callable[[], datetime],
    by: str,
    *,
    planned: Plan | None = None,
    allowed: int | None = None,
    currency: str = "USD",
) -> Applied:
    """Make ``wanted`` live.

    ``planned``  what was shown: raises ``Overtaken`` when another set has gone live since.
    ``allowed``  raises ``TooFar`` when more messages may go in the first day. None: any number.
    Either changes nothing.
    """

    def work(connection: Connection) -> Applied:
        versions_store.lock(connection)
        base, changes = changes_to(connection, wanted)
        if planned is not None and _id(planned.base) != _id(base):
            raise Overtaken
        at = now()
        versions_store.lock_shoppers(connection, _replaced(changes))
        count = _carry_out(connection, changes, at, Count(wanted.journeys, at), currency)
        plan = finished(connection, wanted, base, changes, count)
        if allowed is not None and plan.messages > allowed:
            raise TooFar(plan.messages, allowed)
        journeys = wanted.journeys.values()
        journeys_store.keep(connection, [(j.name, j.version, j.source) for j in journeys], at)
        versions = {j.name: j.version for j in journeys}
        for name in wanted.broken:
            old = wanted.back_to or base
            if old is not None and name in old.versions:
                versions[name] = old.versions[name]
        origin = wanted.back_to.origin if wanted.back_to else None
        return Applied(plan, versions_store.write(connection, versions, at, by, origin=origin))

    return _in_one_go(database, work)


def follow_up(
    database: Database,
    applied: Applied,
    wanted: Wanted,
    now: Callable[[], datetime],
    currency: str = "USD",
) -> int:
    """Do with the runs that workers let in meanwhile, on versions that ``applied`` has replaced,
    what it did with the others; gives how many. Does nothing once another set is live."""
    rules = {
        journey.name: journey.rule
        for journey in applied.plan.journeys
        if journey.change != "unchanged" and journey.rule != "finish"
    }

    def work(connection: Connection) -> int:
        versions_store.lock(connection)
        if _id(live_now(connection)) != applied.live_set:
            return 0
        late = []
        for name, versions in versions_store.in_flight(connection, list(rules)).items():
            new = wanted.journeys.get(name)
            replaced = [(name, v) for v in versions if new is None or v != new.version]
            if replaced:
                others = {v: journey for (_, v), journey in read(connection, replaced).items()}
                late.append(Change(name, "changed", None, new, rules[name], others))
        at = now()
        versions_store.lock_shoppers(connection, _replaced(late))
        count = Count(wanted.journeys, at)
        _carry_out(connection, late, at, count, currency)
        return sum(group.waiting for change in late for group in count.groups(change))

    return _in_one_go(database, work)


def follow_files(database: Database, now: Callable[[], datetime], by: str) -> int:
    """Let the journeys be the project's files again; gives the id of the set that says so."""

    def work(connection: Connection) -> int:
        versions_store.lock(connection)
        return versions_store.write(connection, {}, now(), by, follows_files=True)

    return _in_one_go(database, work)


def _carry_out(
    connection: Connection, changes: list[Change], now: datetime, count: Count, currency: str
) -> Count:
    for decisions in decide(connection, changes, now, currency, locked=True):
        moves: list[versions_store.Move] = []
        leaves: list[versions_store.Leave] = []
        stops: list[Decision] = []
        for decision in decisions:
            count.add(decision)
            action = decision.fate.action
            if action == "leaves":
                leaves.append(_leave(decision, now))
            elif action != "finishes":
                moves.append(_move(decision, now))
                if action == "stops":
                    stops.append(decision)
        if moves:
            versions_store.move(connection, moves)
        if leaves:
            versions_store.leave(connection, leaves, now)
        if stops:
            _stop(connection, stops, now)
        ended = [d.waiting.run for d in decisions if d.fate.action in ("leaves", "stops")]
        look_soon(connection, [(run.profile_id, run.journey) for run in ended], now)
    return count


def _move(decision: Decision, now: datetime) -> versions_store.Move:
    run, fate, new = decision.waiting.run, decision.fate, decision.change.wanted
    assert new is not None and fate.at is not None
    words = moved_words(run.version, new.version, fate.why)
    return versions_store.Move(
        run.profile_id,
        run.id,
        new.version,
        fate.at,
        fate.wake_at,
        fate.waiting_for,
        Mark(fate.at, "moves", words, now),
    )


def _leave(decision: Decision, now: datetime) -> versions_store.Leave:
    run, why = decision.waiting.run, decision.fate.why
    return versions_store.Leave(run.profile_id, run.id, why, Mark(run.at or "", "leaves", why, now))


def _stop(connection: Connection, stops: list[Decision], now: datetime) -> None:
    """As the drain writes a stop (P3): the run, its waiting messages, its audience places."""
    ended = []
    traces: dict[str, list[Mark]] = {}
    for decision in stops:
        assert decision.outcome is not None
        run = decision.outcome.enrollments[decision.waiting.run.id]
        ended.append(msgspec.structs.replace(run, at=decision.fate.at))
        traces |= decision.outcome.traces
    profiles, ids = [run.profile_id for run in ended], [run.id for run in ended]
    runs_store.update(connection, ended, traces)
    messages_store.cancel(connection, profiles, ids, now)
    coupons_store.return_of_stopped(connection, profiles, ids, now)
    memberships_store.take_off(connection, profiles, ids, now)


def _replaced(changes: list[Change]) -> list[tuple[str, str]]:
    """The (journey, version)s whose runs this is about; those that finish are left in peace."""
    return [(c.name, v) for c in changes for v in c.others if c.rule != "finish"]


def _id(live: LiveSet | None) -> int | None:
    return None if live is None else live.id


def _in_one_go(database: Database, work: Callable[[Connection], _Result]) -> _Result:
    for _ in range(_TRIES):
        try:
            with database.connection() as connection:
                return work(connection)
        except START_AGAIN:
            continue
    raise Unavailable(f"the workers were faster {_TRIES} times in a row")
