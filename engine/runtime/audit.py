"""The audit: are the promises kept? Counted from the rows, on a database that may be at work.

It does not take the engine's word where it matters. Whether a stop was accepted before a
message was claimed is asked of PostgreSQL (could the claiming transaction see the accepting
one?); whether it stops the run is judged anew by the conditions of the version that the run
entered; whether it was known to be the same shopper, by the identifiers that had been named
together until then.

What it cannot judge: stop conditions that look at the profile or at counted history, which have
changed since, and runs of versions that nobody has kept. Those are counted as ``unjudged``.
Permission is judged by the rules that it is handed, so a rule that was tightened finds messages
from before: ``since`` leaves those out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.core.book import JourneyBook
from engine.core.conditions import holds, names_used
from engine.core.facts_view import Facts
from engine.core.ids import derive
from engine.core.shopper import Shopper
from engine.language import load_journey
from engine.model.journey import Journey, Stop
from engine.model.policy import Policy
from engine.model.profile import Profile
from engine.runtime.evidence import Finding, Notes, Ties
from engine.runtime.permission import check_permission
from engine.store import audit as audit_store
from engine.store import failures as failures_store
from engine.store import listing_views as views_store
from engine.store import versions as versions_store
from engine.store.audit import StoppedRun, Stopper
from engine.store.audit_checks import CHECKS, DOUBLED
from engine.store.database import Connection, Database
from engine.store.failures import Fault
from engine.store.listing_views import OnLists

PROMISES: Mapping[str, str] = {
    "P1": "accepted is kept",
    "P2": "counted once",
    "P3": "the purchase stops it",
    "P4": "one intent, at most one send",
    "P5": "no permission, no send",
    "P6": "a late order still counts",
}


@dataclass(frozen=True, slots=True)
class AuditReport:
    """``promises``  violations of each, P1 to P6: 0 everywhere is healthy.

    ``sent_after_stop``  messages that went though the gate could see their stop.
    ``duplicate_sends``  messages handed over again though the provider may have had them.
    ``lost_events``      accepted, and neither waiting nor worked.
    ``known_late``       messages that went before their stop was accepted, though it had
                         happened by then: no violation, but never hidden.
    ``unknown``          messages whose provider never answered, and nothing has told since;
                         those that a report or a look-up told are in ``facts`` as ``resolved``.
    ``wire_ms``          the widest time from a claim to the provider's call, in real ms.
    ``failing``          what journeys raised, ever, and the runs that wait for it to be mended.
    ``ads``              who is on ad platforms' lists, and how long a purchase takes them off.
    ``facts``            figures: what there is, and what is left to do.
    """

    promises: Mapping[str, int]
    sent_after_stop: int
    duplicate_sends: int
    lost_events: int
    known_late: int
    unknown: int
    unjudged: int
    wire_ms: float
    facts: Mapping[str, int]
    failing: tuple[Fault, ...]
    ads: OnLists
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return not any(self.promises.values())


def audit(
    database: Database,
    book: JourneyBook,
    policy: Policy | None = None,
    *,
    speed: float = 1.0,
    since: datetime | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> AuditReport:
    """Audit the whole database, in one read-only transaction.

    ``book``    the journeys; versions that it lacks are read from the database.
    ``policy``  the rules for permission; without them P5 covers the holdout only.
    ``speed``   clock seconds in one real second, for ``wire_ms``.
    ``since``   of the messages, judge only those claimed since then.
    ``progress`` is told what is looked at next.
    """
    notes = Notes()
    with database.connection() as connection:
        audit_store.begin(connection)
        rules = _Rules(_versions(connection, book), book.currency)
        notes.unjudged += versions_store.unknown(connection, list(rules.versions))
        progress("events accepted and worked")
        lost, facts = _kept(connection, notes)
        for check in CHECKS:
            progress(check.words)
            count, examples = audit_store.violations(connection, check)
            notes.add(check.promise, check.words, examples, count)
        progress(DOUBLED.words)
        count, examples = audit_store.violations(connection, DOUBLED)
        doubled = notes.add("P4", DOUBLED.words, examples, count)
        doubled += _twins(connection, notes)
        progress("messages and the stops before them")
        after_stop, known_late = _after_stop(connection, rules, since, notes)
        progress("runs and what stopped them")
        _stopped(connection, rules, notes)
        _missed(connection, rules, notes)
        if policy is not None:
            check_permission(connection, policy, since, notes, progress)
        facts |= audit_store.facts(connection)
        wire = audit_store.wire(connection)
        ads = views_store.on_lists(connection)
        failing = tuple(failures_store.found(connection))
    promises = dict.fromkeys(PROMISES, 0)
    for finding in notes.findings:
        promises[finding.promise] += finding.count
    return AuditReport(
        promises=promises,
        sent_after_stop=after_stop,
        duplicate_sends=doubled,
        lost_events=lost,
        known_late=known_late,
        unknown=facts["unknown"],
        unjudged=notes.unjudged,
        wire_ms=round(wire.total_seconds() * 1000 / speed, 1),
        facts=facts,
        failing=failing,
        ads=ads,
        findings=tuple(sorted(notes.findings, key=lambda f: f.promise)),
    )


def _kept(connection: Connection, notes: Notes) -> tuple[int, dict[str, int]]:
    """P1: accepted = taken + waiting, and taken = worked + duplicates + refused."""
    found = audit_store.ledger(connection)
    missing = found.accepted - found.taken - found.inbox
    worked = found.events + found.forgotten
    unworked = found.taken - worked - found.duplicates - found.refused
    figures = [f"{name} {value}" for name, value in found._asdict().items()]
    notes.add("P1", "events accepted, yet neither waiting nor taken", figures, max(missing, 0))
    notes.add("P1", "events taken, yet neither worked nor set aside", figures, max(unworked, 0))
    extra = max(-missing, 0) + max(-unworked, 0)
    notes.add("P1", "events that nobody counted when they were accepted", figures, extra)
    return max(missing, 0) + max(unworked, 0), {
        "accepted": found.accepted,
        "worked": worked,
        "inbox": found.inbox,
        "duplicates": found.duplicates,
        "set_aside": found.refused,
        "forgotten": found.forgotten,
    }


def _twins(connection: Connection, notes: Notes) -> int:
    """Messages of one run about one step must each belong to a visit of it."""
    wrong = []
    for twin in audit_store.twins(connection):
        visits = {derive(twin.run, twin.step, visit) for visit in range(1, twin.visits + 1)}
        wrong += [f"message {id}" for id in twin.messages if id not in visits]
    return notes.add("P2", "messages that no visit of their step accounts for", wrong)


def _after_stop(
    connection: Connection, rules: _Rules, since: datetime | None, notes: Notes
) -> tuple[int, int]:
    """P3: no message went after its stop was accepted."""
    broken: dict[str, str] = {}
    late: set[str] = set()
    unsure: set[str] = set()
    for found in audit_store.stoppers(connection, rules.names, since):
        stops = rules.stops(found)
        if stops is None:
            unsure.add(found.message)
        elif not stops:
            continue
        elif not found.visible:
            late.add(found.message)
        elif found.tied or Ties(connection, found.profile, found.snapshot).together(
            found.trigger_id, found.event
        ):
            broken[found.message] = found.event
        else:
            late.add(found.message)
    notes.unjudged += len(unsure - broken.keys())
    names = [f"message {message} after event {event}" for message, event in broken.items()]
    count = notes.add("P3", "messages sent after their stop was accepted", names)
    return count, len(late - broken.keys())


def _stopped(connection: Connection, rules: _Rules, notes: Notes) -> None:
    """P6: what stopped a run is one of its stops."""
    wrong = []
    for found in audit_store.stopped(connection):
        if found.in_doubt:
            notes.unjudged += 1  # stopped because nobody could judge it (P3, P10)
        elif rules.knows(found) and rules.stops(found) is False:
            wrong.append(f"run {found.run} by event {found.event}")
    notes.add("P6", "runs stopped by an event that is no stop of theirs", wrong)


def _missed(connection: Connection, rules: _Rules, notes: Notes) -> None:
    """P6: every run that goes on has no stop behind its start in the history."""
    wrong: dict[str, str] = {}
    for found in audit_store.missed(connection, rules.names):
        if rules.stops(found):
            wrong[found.run] = found.event
    names = [f"run {run} despite event {event}" for run, event in wrong.items()]
    notes.add("P6", "runs that go on after their stop was worked", names)


class _Rules:
    """The stops of every journey version, judged apart from the runtime."""

    def __init__(self, versions: Mapping[tuple[str, str], Journey], currency: str) -> None:
        self.versions = versions
        self.names = sorted(
            {(name, v, stop.event) for (name, v), j in versions.items() for stop in j.stops}
        )
        self._currency = currency

    def knows(self, found: StoppedRun) -> bool:
        return (found.journey, found.version) in self.versions

    def stops(self, found: Stopper | StoppedRun) -> bool | None:
        """Whether the event stops the run; None when that cannot be judged any more."""
        unsure = False
        facts: dict[str, Any] | None = None
        for rule in self.versions[found.journey, found.version].stops:
            if rule.event != found.name:
                continue
            if rule.condition is None:
                return True
            if _looks_elsewhere(rule):
                unsure = True
                continue
            if facts is None:
                facts = Facts(
                    Shopper(Profile(found.profile)),
                    self._currency,
                    found.time,
                    found.key,
                    {"event_name": found.name, **found.properties},
                    found.trigger,
                )
            try:
                if holds(rule.condition, facts)[0]:
                    return True
            except Exception:  # what the journey raised then, it raises here (P10)
                unsure = True
        return None if unsure else False


def _looks_elsewhere(rule: Stop) -> bool:
    condition = rule.condition
    return condition is not None and (
        bool(condition.history) or any(name == "profile" for name, _ in names_used(condition))
    )


def _versions(connection: Connection, book: JourneyBook) -> dict[tuple[str, str], Journey]:
    found = dict(book.versions)
    for name, version, source in versions_store.ever(connection):
        if (name, version) not in found:
            journey, _ = load_journey(source, name)
            if journey is not None and journey.version == version:
                found[name, version] = journey
    return found
