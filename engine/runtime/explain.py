"""What became of one shopper, and why: every run with its trace, and every message's fate.

For the operator's terminal. Addresses are named only as far as whoever asks named them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from engine.core.decision import Mark
from engine.core.migrate import moved_between
from engine.core.receipts import REPORTER
from engine.errors import WinbackError
from engine.intake import identifiers as naming
from engine.language.reader import parse
from engine.language.report import Report
from engine.language.tree import Listing, Tree
from engine.language.tree import Mapping as Keys
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.profile import Consent, Profile
from engine.runtime.plan import read
from engine.store import consent_log
from engine.store import coupons as coupons_store
from engine.store import explain as explain_store
from engine.store import refusals as refusals_store
from engine.store import retention as retention_store
from engine.store import versions as versions_store
from engine.store.database import Connection
from engine.store.explain import Attempt, Logged
from engine.store.refusals import Refused


class Nobody(WinbackError):
    """Nobody here goes by that name."""


@dataclass(frozen=True, slots=True)
class Line:
    """One decision: at ``path`` of the journey (``file_line`` in the YAML of that ``version``, 0
    where that is not kept) the engine decided ``verdict`` because ``why``."""

    at: datetime
    path: str
    file_line: int
    version: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class Story:
    """One run, with its decisions and its messages."""

    run: Enrollment
    lines: tuple[Line, ...]
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """``names`` are the shopper's identifiers, addresses hidden unless they were asked for by
    them; ``proof`` is every decision about consent, ``bases`` the lawful basis of each message
    that went, by id; ``blocks`` are (channel, reason) of suppressed addresses, ``attempts`` and
    ``refusals`` by message. ``log``, ``traces``, ``versions`` and ``codes`` (by claim what a pool
    of coupons answered) are what a replay needs."""

    profile: Profile
    names: tuple[str, ...]
    merged_from: int
    consents: tuple[Consent, ...]
    proof: tuple[consent_log.Line, ...]
    bases: Mapping[str, str]
    blocks: tuple[tuple[str, str], ...]
    stories: tuple[Story, ...]
    attempts: Mapping[str, tuple[Attempt, ...]]
    refusals: Mapping[str, tuple[Refused, ...]]
    log: tuple[Logged, ...]
    traces: Mapping[str, list[Mark]]
    versions: Mapping[tuple[str, str], Journey | None]
    codes: Mapping[str, str | None]
    #: since when the log is whole, where something of it is gone (`retention`)
    whole_since: datetime | None = None

    @property
    def failed(self) -> frozenset[str]:
        """Runs in which a step or a rule raised (P10)."""
        return frozenset(
            id for id, trace in self.traces.items() if any(m.verdict == "fails" for m in trace)
        )

    def receipts(self, message: str) -> list[Event]:
        """What the provider reported of a message, and what we saw of it (clicks), oldest first."""
        told = [
            logged.event
            for logged in self.log
            if REPORTER in logged.event.context
            and logged.event.properties.get("message_id") == message
        ]
        return sorted(told, key=lambda event: event.order_key)


def explain(connection: Connection, asked: str, country: str) -> Explanation:
    """All about the shopper called ``asked``: a user id, an e-mail address, a phone number (of
    ``country`` where it has no +), an anonymous id, a cart, or a profile's number. Raises
    ``Nobody``."""
    names = called(asked, country)
    number = int(asked) if asked.isdecimal() and len(asked) < 20 else None
    id = explain_store.owner(connection, names, number)
    if id is None:
        raise Nobody(
            f"Nobody goes by {asked!r}: give a user id, an e-mail address, a phone number with +, "
            "an anonymous id, a cart id, or the number of a profile."
        )
    known = explain_store.identifiers(connection, id)
    runs = explain_store.runs(connection, id)
    traces = {run.id: [msgspec.convert(mark, Mark) for mark in trace] for run, trace in runs}
    versions = read(connection, sorted(_versions(runs, traces)))
    messages: dict[str, list[Message]] = {}
    for message in explain_store.messages(connection, id):
        messages.setdefault(message.enrollment_id, []).append(message)
    attempts: dict[str, list[Attempt]] = {}
    for attempt in explain_store.attempts(connection, id):
        attempts.setdefault(attempt.message_id, []).append(attempt)
    refusals: dict[str, list[Refused]] = {}
    for refusal in refusals_store.of_profile(connection, id):
        refusals.setdefault(refusal.message_id, []).append(refusal)
    lines = _Lines(versions)
    return Explanation(
        versions_store.profiles(connection, [id])[id],
        tuple(name if name in names else _hidden(name) for name in known),
        explain_store.merged_from(connection, id),
        tuple(explain_store.consents(connection, id)),
        tuple(consent_log.of(connection, id)),
        explain_store.bases(connection, id),
        tuple(explain_store.suppressions(connection, known)),
        tuple(
            Story(run, lines.of(run, traces[run.id]), tuple(messages.get(run.id, ())))
            for run, _ in runs
        ),
        {id: tuple(found) for id, found in attempts.items()},
        {id: tuple(found) for id, found in refusals.items()},
        tuple(explain_store.events(connection, id)),
        traces,
        versions,
        coupons_store.of_runs(connection, [run.id for run, _ in runs]),
        retention_store.whole_since(connection, id),
    )


def called(asked: str, country: str) -> list[str]:
    """The identifiers that a person may mean by ``asked``."""
    kind, colon, _ = asked.partition(":")
    if colon and kind in ("user", "email", "phone", "cart", "anonymous"):
        return [asked]
    found: Iterable[str | None] = (
        naming.email(asked),
        naming.phone(asked, country),
        *(naming.identifier(kind, asked) for kind in ("user", "cart", "anonymous")),
    )
    return [name for name in found if name is not None]


def entered_version(run: Enrollment, trace: Iterable[Mark]) -> str:
    """The version that a run entered; it may have been moved since."""
    for mark in trace:
        between = moved_between(mark.why) if mark.verdict == "moves" else None
        if between is not None:
            return between[0]
    return run.version


def _versions(
    runs: Iterable[tuple[Enrollment, Any]], traces: Mapping[str, list[Mark]]
) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for run, _ in runs:
        found.add((run.journey, run.version))
        for mark in traces[run.id]:
            for version in (mark.verdict == "moves" and moved_between(mark.why)) or ():
                found.add((run.journey, version))
    return found


def _hidden(name: str) -> str:
    kind, _, _ = name.partition(":")
    return f"{kind}:(hidden)" if kind in ("email", "phone") else name


class _Lines:
    """Finds decisions in the YAML that they were made by."""

    def __init__(self, versions: Mapping[tuple[str, str], Journey | None]) -> None:
        self._trees = {
            place: None if journey is None else parse(journey.source, Report(""))
            for place, journey in versions.items()
        }

    def of(self, run: Enrollment, trace: list[Mark]) -> tuple[Line, ...]:
        version = entered_version(run, trace)
        lines = []
        for mark in trace:
            if mark.verdict == "moves" and (between := moved_between(mark.why)):
                version = between[1]
            tree = self._trees.get((run.journey, version))
            line = 0 if tree is None else line_of(tree, mark.path)
            lines.append(Line(mark.at, mark.path, line, version, mark.verdict, mark.why))
        return tuple(lines)


def line_of(tree: Tree, path: str) -> int:
    """The line of the file in which ``path`` of a trace begins, as near as it names something."""
    place = tree.place
    for part in path.split("/"):
        child: Tree | None = None
        if isinstance(tree, Keys):
            entries = tree.entries
            named = [entry for entry in entries if entry.key.text.replace("_", " ") == part]
            if named:
                place, child = named[0].key.place, named[0].value
            elif part.isdecimal() and int(part) < len(entries):
                place, child = entries[int(part)].key.place, entries[int(part)].value
        elif isinstance(tree, Listing) and part.isdecimal() and int(part) < len(tree.items):
            child = tree.items[int(part)]
            place = child.place
        if (
            child is None
        ):  # what follows names no place of its own (the one stop, written without -)
            return place.line
        tree = child
    return place.line
