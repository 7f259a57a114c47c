"""Writes down what a simulation decides: for the expectations, the timeline and the coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from engine.core.decision import Mark, Outcome
from engine.core.emitted import ours
from engine.core.gate import Verdict
from engine.core.shopper import Shopper
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import (
    SEGMENT_ENTERED,
    AnyStep,
    AudienceStep,
    Branch,
    Condition,
    Journey,
    Send,
    Update,
    Webhook,
)
from engine.model.message import Message
from engine.runtime.reached import TELLING
from engine.runtime.simulate import Observer
from engine.testing.scenario.model import Kind, Line, Seen
from engine.testing.scenario.write import moment


class Recorder(Observer):
    """Collects ``seen``, ``timeline`` and ``marks`` (journey and mark), each in order of work.

    ``runs`` are as they stand, by id; ``events`` with the runs as each event found them.
    """

    def __init__(self, journeys: Mapping[str, Journey], zone: ZoneInfo) -> None:
        self.seen: list[Seen] = []
        self.timeline: list[Line] = []
        self.marks: list[tuple[str, Mark]] = []
        self.runs: dict[str, Enrollment] = {}
        self.events: list[tuple[Event, dict[str, Enrollment]]] = []
        self._journeys = journeys
        self._zone = zone
        self._named = {
            name: {path: step for step, path in journey.names.items()}
            for name, journey in journeys.items()
        }
        self._emitting: list[tuple[str, Mark]] = []
        self._ended: dict[str, tuple[str, Seen]] = {}
        self._waiting: dict[str, Message] = {}
        self._audiences: dict[str, list[str]] = {}

    def happened(self, shopper: Shopper, event: Event) -> None:
        self.timeline.append(Line(event.time, "", "", "event", _told(event)))
        if event.name in TELLING and ours(event.context):
            word = "enter" if event.name == SEGMENT_ENTERED else "leave"
            kind = cast(Kind, f"{word} segment")
            self._see(event.time, kind, "", {kind: event.properties["segment"]})
        self.events.append((event, dict(self.runs)))
        # A step's mark comes first, then the event that it emitted.
        for place, (journey, mark) in enumerate(self._emitting):
            if ours(event.context) and (mark.why, mark.at) == (event.name, event.time):
                del self._emitting[place]
                said = {"emit": event.name, "properties": event.properties, "step": mark.path}
                self._see(event.time, "emit", journey, said)
                break

    def refused(self, event: Event, journey: str, path: str, why: str) -> None:
        """``event`` started no run of ``journey``."""
        self.timeline.append(Line(event.time, journey, path, "refused", why))
        self.marks.append((journey, Mark(path, "refused", why, event.time)))

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.runs.update(outcome.enrollments)
        for message in outcome.messages:
            self._waiting[message.id] = message
        for run_id, marks in outcome.traces.items():
            run = self.runs.get(run_id)
            if run is not None:
                for mark in marks:
                    self._mark(run, mark, shopper)
        for run in outcome.enrollments.values():
            self._end(run)

    def judged(self, message: Message, verdict: Verdict) -> None:
        at, step = message.due_at, message.step
        if verdict.action == "wait" and verdict.until is not None:
            why = f"{verdict.reason}, until {moment(verdict.until, self._zone)}"
            self._line(at, message.journey, step, "held back", why)
            return
        self._waiting.pop(message.id, None)
        what = f"{message.channel} {message.template}"
        said: dict[str, Any] = {"step": step}
        if message.channel != "webhook":
            said |= {"template": message.template, "topic": message.topic}
        if verdict.action != "send":
            self._line(at, message.journey, step, "not sent", f"{what}: {verdict.reason}")
            said |= {"skip": message.channel, "reason": verdict.reason}
            self._see(at, "skip", message.journey, said)
            return
        self._line(at, message.journey, step, "sent", what)
        if message.channel == "webhook":
            said |= {"webhook": message.template, "body": message.offer.get("body", {})}
            self._see(at, "webhook", message.journey, said)
        else:
            said |= {"send": message.channel, "offer": message.offer}
            self._see(at, "send", message.journey, said)

    def _mark(self, run: Enrollment, mark: Mark, shopper: Shopper) -> None:
        name, path, at = run.journey, mark.path, mark.at
        self.marks.append((name, mark))
        step = self._journeys[name].steps.get(path)
        said: dict[str, Any]
        resting = mark.verdict == "waits" and run.at == path
        until = run.wake_at if resting else None
        why = mark.why
        if until is not None:  # the core's word for it is UTC
            shown = f"until {moment(until, self._zone)}"
            why = f"for {run.waiting_for}, {shown} at most" if run.waiting_for else shown
        self._line(at, name, _in_yaml(self._journeys[name], path), mark.verdict, why)
        if mark.verdict in ("enters", "arrives"):
            self._see(at, "enter", name, {"enter": name, "key": run.key})
        elif mark.verdict == "waits":
            said = {"wait": path, "step": path, "until": until, "for": run.waiting_for}
            self._see(at, "wait", name, said)
        elif mark.verdict in ("withheld", "skips") and isinstance(step, Send):
            said = {"template": step.template, "topic": step.topic, "step": path}
            self._see(at, "skip", name, {**said, "skip": step.channel, "reason": mark.why})
        elif mark.verdict in ("withheld", "skips") and isinstance(step, Webhook):
            said = {"skip": "webhook", "reason": mark.why, "step": path}
            self._see(at, "skip", name, said)
        elif mark.verdict == "offers":
            self._see(at, "offer", name, {"offer": dict(run.offer), "step": path})
        elif mark.verdict == "emits":
            self._emitting.append((name, mark))
        elif mark.verdict == "updates":
            changed = _changed(step, mark.why.split(", "), shopper.profile.traits)
            self._see(at, "profile", name, {"profile": changed, "step": path})
        elif isinstance(step, AudienceStep) and mark.verdict in ("add", "remove"):
            mine = self._audiences.setdefault(run.id, [])
            if mark.verdict == "add":
                mine.append(step.audience)
            elif step.audience in mine:
                mine.remove(step.audience)
            what = {"audience": {mark.verdict: step.audience}, "step": path}
            self._see(at, "audience", name, what)

    def _end(self, run: Enrollment) -> None:
        """A run that finished can still be stopped, while a message of it waits: that is another
        end, and the one that is kept of it."""
        known = self._ended.get(run.id)
        if run.status == "active" or run.ended_at is None or (known and known[0] == run.status):
            return
        if known:
            self.seen[self.seen.index(known[1])] = replace(known[1], passing=True)
        at, name = run.ended_at, run.journey
        if run.status == "stopped":
            for message in [m for m in self._waiting.values() if m.enrollment_id == run.id]:
                del self._waiting[message.id]
                what = f"{message.channel} {message.template}"
                self._line(at, name, message.step, "cancelled", what)
            for audience in self._audiences.pop(run.id, ()):
                self._line(at, name, "", "remove", audience)
                self._see(at, "audience", name, {"audience": {"remove": audience}})
            reason = "goal" if run.goal else "stopped"
        else:
            reason = run.reason
            if reason == "finished":
                self._line(at, name, "", "finished", "the end of the journey")
        said = {"exit": reason, **({"step": run.at} if run.at else {})}
        self._see(at, "exit", name, said)
        self._ended[run.id] = run.status, self.seen[-1]

    def _line(self, at: datetime, journey: str, path: str, verdict: str, why: str) -> None:
        name = self._named[journey].get(path)
        shown = f"{path} ({name})" if name else path
        self.timeline.append(Line(at, journey, shown, verdict, why))

    def _see(self, at: datetime, kind: Kind, journey: str, fields: dict[str, Any]) -> None:
        self.seen.append(Seen(at, kind, journey, fields))


def _told(event: Event) -> str:
    """The event's name, and of a segment which it is."""
    segment = event.properties.get("segment") if event.name in TELLING else None
    return f"{event.name}: {segment}" if segment else event.name


def _in_yaml(journey: Journey, path: str) -> str:
    """The path as it stands in the YAML: of an arm the core tells only the number."""
    parent, _, number = path.rpartition("/")
    return f"{parent}/branch/{number}" if isinstance(journey.steps.get(parent), Branch) else path


def _changed(step: AnyStep | None, names: list[str], traits: Mapping[str, Any]) -> dict[str, Any]:
    """What an update set: constants as the journey says them, what it computed as it stands."""
    said = dict(step.changes) if isinstance(step, Update) else {}
    return {
        name: traits.get(name) if isinstance(said.get(name), Condition) else said.get(name)
        for name in names
        if name in said
    }
