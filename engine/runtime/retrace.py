"""One shopper replayed from the event log, decision by decision (P8).

The log says which event was worked when (``processed_at``: no two drains read the clock in the
same microsecond, so those of one time were one batch), and of each timer the trace says
when it fired: a mark's time is the timer's own time if it fired within a minute of it, else the
clock's time (``engine.core.timing.step_time``). So events, timers and edits come in the order
and at the times of then, through the same core, and whatever comes out must be what is stored:
runs, messages and traces, to the letter.

Three things the log does not say. Whether a timer that fired on time was before or after an event
worked within the same minute: both are tried. When a finished run was let go, so that a later
stop no longer reaches it: the trace is believed. Which journeys were in force while workers
followed files that were edited: see ``engine.runtime.in_force``; who entered is checked, who did
not enter is checked only where it is certain. Runs that a fault struck are left out: code that was
mended since does not raise what raised then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby

import msgspec

from engine.core.book import JourneyBook, open_book
from engine.core.decision import Mark
from engine.core.entries import entries
from engine.core.identity import resolve
from engine.core.migrate import added_stops, fate, moved_between, moved_words
from engine.core.profiles import merged_profiles
from engine.core.react import after_merge, on_event, on_timers
from engine.core.shopper import Run, Shopper
from engine.core.stops import keep, look_back
from engine.core.timing import ON_TIME
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.profile import Profile
from engine.runtime.explain import Explanation, entered_version
from engine.runtime.in_force import Past

_TICK = timedelta(microseconds=1)
_BY_EVENT = ("came", "stops", "goal", "moves", "leaves")

#: What of a run must come out the same; ``live`` and ``on_audience`` follow deliveries too.
_RUN = (
    *("journey", "version", "key", "bucket", "event_id", "entered_at", "status", "at", "wake_at"),
    *("waiting_for", "visits", "held_out", "goal", "reason", "stopped_by", "ended_at", "offer"),
)
#: What of a message is decided with it, and not by what became of it.
_MESSAGE = (
    *("enrollment_id", "journey", "version", "step", "channel", "template", "topic", "event_id"),
    *("created_at", "expires_at", "on_unknown", "offer", "grace"),
)


def differences(found: Explanation, past: Past, currency: str, timezone: str) -> list[str]:
    """Replay the shopper of ``found``; gives what comes out differently, in words: nothing, if
    the promise is kept."""
    first = _Replay(found, past, currency, timezone, timers_first=True).differences()
    if not first:
        return first
    other = _Replay(found, past, currency, timezone, timers_first=False).differences()
    return min(first, other, key=len)


class _Replay:
    def __init__(
        self, found: Explanation, past: Past, currency: str, timezone: str, *, timers_first: bool
    ) -> None:
        self._found = found
        self._past = past
        self._shop = (currency, timezone)
        self._timers_first = timers_first
        self._older = {k: j for k, j in found.versions.items() if j is not None}
        self._recorded = {story.run.id: story.run for story in found.stories}
        self._entered: dict[str, dict[str, str]] = {}
        for story in found.stories:
            run, trace = story.run, found.traces[story.run.id]
            if not (trace and trace[0].verdict == "arrives"):
                version = entered_version(run, trace)
                self._entered.setdefault(run.event_id, {})[run.journey] = version
        self._people: dict[int, Shopper] = {}
        self._who: dict[str, int] = {}
        self._books: dict[tuple[tuple[str, str], ...], JourneyBook] = {}

    def differences(self) -> list[str]:
        batches = [
            (at, [logged.event for logged in some])
            for at, some in groupby(self._found.log, key=lambda logged: logged.processed_at)
        ]
        edits = [
            (mark.at, id, mark)
            for id, trace in self._found.traces.items()
            for mark in trace
            if mark.verdict in ("moves", "leaves")
        ]
        edits.sort(key=lambda edit: edit[:2])
        for at, batch in batches:
            while edits and edits[0][0] < at:
                self._edit(*edits.pop(0))
            self._fire(at, batch=True)
            self._work(batch, at)
        for edit in edits:
            self._edit(*edit)
        self._fire(None, batch=False)
        return list(self._compared())

    def _work(self, batch: list[Event], at: datetime) -> None:
        owners = self._resolve(batch, at)
        for event, shopper in sorted(
            zip(batch, owners, strict=True), key=lambda one: one[0].order_key
        ):
            self._let_go(shopper)
            then = self._past.at(at)
            entered = self._entered.get(event.id, {})
            book = self._book(then.journeys, entered)
            starts = [
                entry
                for entry in entries(book, event)
                if entry.journey.name in entered or entry.journey.name in then.sure
            ]
            on_event(book, shopper, event, at, starts)

    def _resolve(self, batch: list[Event], at: datetime) -> list[Shopper]:
        if not self._found.merged_from:
            id = self._found.profile.id
            shopper = self._shopper(id)
            return [shopper] * len(batch)
        known = {n: self._who[n] for e in batch for n in e.identifiers if n in self._who}
        accounts: dict[int, set[str]] = {id: set() for id in known.values()}
        for name, id in self._who.items():
            if id in accounts and name.startswith("user:"):
                accounts[id].add(name)
        resolution = resolve(batch, known, accounts)
        grown = set()
        for gone in resolution.merged:
            into = resolution.final(gone)
            if gone in self._people:
                self._merge(self._people.pop(gone), into, at)
                grown.add(into)
        self._who = {name: resolution.final(id) for name, id in self._who.items()}
        self._who |= resolution.assigned
        for id in grown:
            after_merge(self._book(self._past.at(at).journeys, {}), self._people[id])
        return [self._shopper(id) for id in resolution.profiles]

    def _shopper(self, id: int) -> Shopper:
        return self._people.setdefault(id, Shopper(Profile(id), codes=self._found.codes))

    def _merge(self, gone: Shopper, into_id: int, at: datetime) -> None:
        """As the store merges: of two runs about the same the later one ends."""
        into = self._shopper(into_id)
        for shopper in (into, gone):
            self._let_go(shopper)
        into.profile = merged_profiles(into.profile, gone.profile)
        into.history.take(gone.history)
        into.triggers |= gone.triggers
        for place, last in gone.runs.items():
            mine = into.runs.get(place, last)
            into.runs[place] = Run(
                max(mine.started_at, last.started_at), mine.active or last.active
            )
        out = into.outcome
        for id, trace in gone.outcome.traces.items():
            out.traces.setdefault(id, []).extend(trace)
        out.messages += gone.outcome.messages
        for run in gone.outcome.enrollments.values():
            out.enrollments[run.id] = msgspec.structs.replace(run, profile_id=into_id)
        active = {(r.journey, r.key): r for r in into.live.values() if r.status == "active"}
        for run in gone.live.values():
            into.live[run.id] = msgspec.structs.replace(run, profile_id=into_id)
            twin = active.get((run.journey, run.key))
            if run.status == "active" and twin is not None:
                later = max(run, twin, key=lambda r: (r.entered_at, r.event_id))
                ended = msgspec.structs.replace(
                    later,
                    status="merged",
                    live=False,
                    wake_at=None,
                    waiting_for="",
                    reason="same run under another identity",
                    ended_at=at,
                )
                into.live.pop(later.id)
                out.enrollments[later.id] = ended

    def _fire(self, until: datetime | None, *, batch: bool) -> None:
        """Fire the timers that fired before ``until`` (None: all that ever did)."""
        while True:
            due = [
                (moment, run.wake_at, run.id, shopper)
                for shopper in self._people.values()
                for run in shopper.live.values()
                if run.wake_at is not None
                and (moment := self._fired_at(shopper, run)) is not None
                and self._is_before(moment, run.wake_at, until, batch)
            ]
            if not due:
                return
            moment, wake_at, id, shopper = min(due, key=lambda one: one[:3])
            run = shopper.live[id]
            others = {other: r for other, r in shopper.live.items() if other != id}
            shopper.live = {id: run}
            book = self._book(self._past.at(moment).journeys, self._entered.get(run.event_id, {}))
            on_timers(book, shopper, wake_at + _TICK, moment)
            shopper.live = others | shopper.live

    def _is_before(
        self, moment: datetime, wake_at: datetime, until: datetime | None, batch: bool
    ) -> bool:
        if until is None:
            return True
        if moment - wake_at > ON_TIME:  # the clock's time
            return moment < until
        if wake_at > until:
            return False
        return not (batch and until - wake_at <= ON_TIME) or self._timers_first

    def _fired_at(self, shopper: Shopper, run: Enrollment) -> datetime | None:
        """When the run's timer fired, by the next mark of its trace; None: it did not."""
        trace = self._found.traces.get(run.id, [])
        passed = len(shopper.outcome.traces.get(run.id, ()))
        if passed >= len(trace):
            recorded = self._recorded.get(run.id)
            # The end of a journey leaves no mark.
            ended = recorded is not None and recorded.status == "finished"
            return recorded.ended_at if ended and recorded is not None else None
        mark = trace[passed]
        by_event = mark.verdict in _BY_EVENT or mark.path.startswith("stop/")
        if by_event or (mark.path == run.at and mark.verdict == "cannot say"):
            return None
        return mark.at

    def _let_go(self, shopper: Shopper) -> None:
        """Finished runs that nothing reaches any more."""
        for run in list(shopper.live.values()):
            passed = len(shopper.outcome.traces.get(run.id, ()))
            over = passed >= len(self._found.traces.get(run.id, ()))
            if run.status == "finished" and over and not run.on_audience:
                del shopper.live[run.id]

    def _edit(self, at: datetime, id: str, mark: Mark) -> None:
        """What an apply did with the run."""
        self._fire(at, batch=False)
        for shopper in self._people.values():
            if id not in shopper.live:
                continue
            run, outcome = shopper.live[id], shopper.outcome
            if mark.verdict == "leaves":
                outcome.mark(id, run.at or "", "leaves", mark.why, at)
                ended = msgspec.structs.replace(
                    run,
                    status="finished",
                    wake_at=None,
                    waiting_for="",
                    live=False,
                    reason=mark.why,
                    ended_at=at,
                )
                keep(shopper, ended)
                continue
            between = moved_between(mark.why)
            old = self._older.get((run.journey, run.version))
            new = self._older.get((run.journey, between[1])) if between else None
            if old is None or new is None:
                continue
            self._move(shopper, run, old, new, at)

    def _move(
        self, shopper: Shopper, run: Enrollment, old: Journey, new: Journey, at: datetime
    ) -> None:
        outcome = shopper.outcome
        began = [m.at for m in outcome.traces.get(run.id, ()) if m.verdict == "waits"]
        found = fate(old, new, "move", run, began[-1] if began else None, at)
        stops = added_stops(old, new)
        edited = dataclasses.replace(new, version=run.version, stops=stops)
        alone = Shopper(
            shopper.profile,
            live={run.id: run},
            history=shopper.history,
            triggers=shopper.triggers,
        )
        if stops:
            look_back(self._open([], {(run.journey, run.version): edited}), alone)
        stopped = alone.outcome.enrollments.get(run.id)
        why = stopped.reason if stopped is not None else found.why
        place = found.at or run.at or ""
        outcome.mark(run.id, place, "moves", moved_words(run.version, new.version, why), at)
        if stopped is not None:
            outcome.traces[run.id] += alone.outcome.traces[run.id]
            outcome.stopped.add(run.id)
            keep(shopper, msgspec.structs.replace(stopped, version=new.version, at=place))
            return
        keep(
            shopper,
            msgspec.structs.replace(
                run,
                version=new.version,
                at=found.at,
                wake_at=found.wake_at,
                waiting_for=found.waiting_for,
            ),
        )

    def _book(self, journeys: Mapping[str, Journey], entered: Mapping[str, str]) -> JourneyBook:
        current = dict(journeys)
        for name, version in entered.items():
            if (name, version) in self._older:
                current[name] = self._older[name, version]
        place = tuple(sorted((j.name, j.version) for j in current.values()))
        if place not in self._books:
            self._books[place] = self._open(list(current.values()), self._older)
        return self._books[place]

    def _open(
        self, journeys: list[Journey], older: Mapping[tuple[str, str], Journey]
    ) -> JourneyBook:
        currency, timezone = self._shop
        return open_book(journeys, older, currency=currency, timezone=timezone)

    def _compared(self) -> Iterator[str]:
        runs: dict[str, Enrollment] = {}
        traces: dict[str, list[Mark]] = {}
        messages: dict[str, Message] = {}
        for shopper in self._people.values():
            runs |= shopper.outcome.enrollments
            traces |= shopper.outcome.traces
            messages |= {message.id: message for message in shopper.outcome.messages}
        failed = self._found.failed
        for id in sorted((self._recorded.keys() | runs.keys()) - failed):
            yield from _run_differs(id, self._recorded.get(id), runs.get(id))
            if id in self._recorded and id in runs:
                yield from _trace_differs(id, self._found.traces[id], traces.get(id, []))
        stored = {m.id: m for story in self._found.stories for m in story.messages}
        both = stored | messages
        for id in sorted(id for id in both if both[id].enrollment_id not in failed):
            yield from _message_differs(id, stored.get(id), messages.get(id))


def _run_differs(id: str, stored: Enrollment | None, again: Enrollment | None) -> Iterator[str]:
    if stored is None or again is None:
        one = stored or again
        assert one is not None
        what = "is stored, but does not begin" if stored else "begins, but is not stored"
        yield f"run {id} of {one.journey} {what}"
        return
    still = stored.status == "active" and stored.wake_at is None  # it failed; its reason says how
    for name in _RUN:
        was, comes = getattr(stored, name), getattr(again, name)
        if was != comes and not (still and name in ("wake_at", "reason")):
            yield f"run {id} of {stored.journey}: {name} is {was!r}, replayed {comes!r}"


def _trace_differs(id: str, stored: list[Mark], again: list[Mark]) -> Iterator[str]:
    for number, (was, comes) in enumerate(zip(stored, again, strict=False), 1):
        if was != comes:
            yield f"run {id}: decision {number} is {_words(was)}, replayed {_words(comes)}"
            return
    if len(stored) != len(again):
        yield f"run {id}: {len(stored)} decisions, replayed {len(again)}"


def _words(mark: Mark) -> str:
    return f"{mark.path} {mark.verdict} ({mark.why}) at {mark.at.isoformat()}"


def _message_differs(id: str, stored: Message | None, again: Message | None) -> Iterator[str]:
    if stored is None or again is None:
        what = "is stored, but does not come" if stored else "comes, but is not stored"
        yield f"message {id} {what}"
        return
    for name in _MESSAGE:
        if name == "expires_at" and stored.grace is not None:
            continue  # the gate moves it, however often the message waits for its next window
        if getattr(stored, name) != getattr(again, name):
            yield (
                f"message {id}: {name} is {getattr(stored, name)!r}, "
                f"replayed {getattr(again, name)!r}"
            )
