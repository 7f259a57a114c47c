"""Scenario files: YAML to scenarios, with a diagnostic at its place for every mistake."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from engine.core.gate import zone_of
from engine.intake.segment import read_recorded
from engine.language.fields import Fields, did_you_mean, read_list, read_text
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.tree import Listing, Scalar, Tree, kind_of, plain_value, short
from engine.language.tree import Mapping as Written
from engine.model.diagnostic import Diagnostic
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.testing.scenario.arms import label, split_at
from engine.testing.scenario.expected import read_expectations
from engine.testing.scenario.model import Scenario
from engine.testing.scenario.times import TimeError, parse_time

_KEYS = (
    *("scenario", "journey", "timezone", "profile", "segments", "holdout", "arms", "start"),
    *("events", "until", "expect"),
)
#: A person looking at the shop on one device: who no scenario says otherwise is.
_DEVICE = "shopper"
#: Facts of a profile that are counted or observed; an Identify cannot tell them.
_COUNTED = ("orders", "lifetime_value", "first_seen", "last_order_at")
_KINDS = {kind.capitalize(): kind for kind in ("identify", "page", "screen")}
#: When a story begins that does not say.
_BEGIN = "+0 seconds"
_JSON = msgspec.json.Encoder(decimal_format="number")


@dataclass(slots=True)
class ScenarioSet:
    """The scenarios of some files, and the findings about all of them."""

    scenarios: list[Scenario] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def load_scenarios(
    files: Iterable[Path],
    policy: Policy,
    journeys: Mapping[str, Journey],
    segments: Collection[str] = (),
) -> ScenarioSet:
    """Read these files; a bad one hurts only itself. ``journeys`` by name: those there are, as
    the ``segments`` are."""
    found = ScenarioSet()
    for file in files:
        report = Report(str(file))
        try:
            content = file.read_bytes()
        except OSError as error:
            report.add("J001", Place(1, 1), f"cannot be opened: {error.strerror}")
        else:
            found.scenarios += parse_scenarios(content, report, policy, journeys, segments)
        found.diagnostics += report.diagnostics()
    return found


def parse_scenarios(
    content: bytes | str,
    report: Report,
    policy: Policy,
    journeys: Mapping[str, Journey],
    segments: Collection[str] = (),
) -> list[Scenario]:
    """The scenarios of one file that can be run; what is wrong with the others is in ``report``."""
    tree = parse(content, report)
    if tree is None:
        return []
    if not isinstance(tree, Listing | Written):
        message = f"a file of scenarios is a list, not {kind_of(tree)}"
        report.add("J007", tree.place, message, "begin with '- scenario: ' and its name")
        return []
    scenarios = []
    for node in tree.items if isinstance(tree, Listing) else [tree]:
        own = Report(report.file)
        scenario = _Reader(own, node, policy, journeys, segments).scenario()
        for each in own.diagnostics():
            report.add(each.code, Place(each.line, each.column), each.message, each.hint)
        if scenario is not None and not own.failed:
            scenarios.append(scenario)
    return scenarios


class _Reader:
    """Reads one scenario."""

    def __init__(
        self,
        report: Report,
        node: Tree,
        policy: Policy,
        journeys: Mapping[str, Journey],
        segments: Collection[str],
    ) -> None:
        self._report = report
        self._fields = Fields(report, node, "a scenario", _KEYS, ("scenario", "expect"))
        self._place = node.place
        self._policy = policy
        self._journeys = journeys
        self._segments = segments

    def scenario(self) -> Scenario | None:
        fields, report = self._fields, self._report
        name = fields.text("scenario")
        journeys = self._names(fields.get("journey"), "journey", self._journeys)
        segments = self._names(fields.get("segments"), "segment", self._segments)
        told = self._values("profile", "the profile")
        zone = self._zone(told)
        times: list[datetime] = []
        places: list[Place] = []
        items = (
            [] if (node := fields.get("events")) is None else read_list(report, node, "'events'")
        )
        start_node = fields.get("start")
        begin = None if start_node is None else self._time(start_node, zone, None, None)
        sent = [
            self._event(item, number, zone, begin, times, places)
            for number, item in enumerate(items)
        ]
        events = [event for event in sent if event is not None]
        start = begin or (times[0] if times else parse_time(_BEGIN, zone, None, None))
        first, last = start, times[-1] if times else start
        until_node = fields.get("until")
        until = self._time(until_node, zone, first, last) if until_node is not None else None
        expect, nothing = read_expectations(
            report,
            fields.get("expect"),
            first,
            self._running(journeys),
            self._segments,
            lambda node, before: self._time(node, zone, first, before),
        )
        counted = {key: told.pop(key) for key in _COUNTED if key in told}
        given = self._build(
            self._place,
            {"type": "identify", "messageId": "profile", "anonymousId": _DEVICE, "traits": told},
            start - timedelta(seconds=1),
        )
        if name is None or given is None:
            return None
        return Scenario(
            file=report.file,
            place=self._place,
            name=name,
            zone=zone,
            given=given,
            events=tuple(events),
            places=tuple(places),
            expect=expect,
            journeys=journeys,
            counted=self._count(counted, zone),
            until=until,
            holdout=fields.choice("holdout", ("on", "off")) == "on",
            arms=self._arms(journeys),
            nothing=nothing,
            segments=segments,
        )

    def _names(self, node: Tree | None, what: str, known: Collection[str]) -> tuple[str, ...]:
        if node is None:
            return ()
        names = []
        for item in node.items if isinstance(node, Listing) else [node]:
            name = read_text(self._report, item, f"a {what}")
            if name is not None and name not in known:
                hint = did_you_mean(name, known, otherwise="see: winback lint")
                runs = " that runs" if what == "journey" else ""
                message = f"there is no {what} '{short(name)}'{runs}"
                self._report.add("J011", item.place, message, hint)
            elif name is not None:
                names.append(name)
        return tuple(names)

    def _values(self, key: str, what: str) -> dict[str, Any]:
        """A free mapping as YAML means it; without one, empty."""
        node = self._fields.get(key)
        return {} if node is None else _mapping(self._report, node, what)

    def _running(self, names: tuple[str, ...]) -> list[Journey]:
        return [j for name, j in self._journeys.items() if not names or name in names]

    def _arms(self, names: tuple[str, ...]) -> dict[str, str]:
        """The arms that splits take: each must be there, in a journey that runs."""
        node = self._fields.get("arms")
        chosen = self._running(names)
        arms: dict[str, str] = {}
        for entry in node.entries if isinstance(node, Written) else ():
            place = entry.key.text
            splits = [found for each in chosen if (found := split_at(each, place)) is not None]
            known = [label(arm) for split in splits for arm in split.arms]
            arm = read_text(self._report, entry.value, "an arm")
            if not splits:
                message = f"there is no split at '{short(place)}'"
                hint = "write the path or name of a split: steps/3"
                self._report.add("J011", entry.key.place, message, hint)
            elif arm is not None and arm not in known:
                message = f"the split at '{short(place)}' has no arm '{short(arm)}'"
                hint = did_you_mean(arm, known, otherwise=f"choose from {', '.join(known)}")
                self._report.add("J011", entry.value.place, message, hint)
            elif arm is not None:
                arms[place] = arm
        if node is not None and not isinstance(node, Written):
            self._report.add("J007", node.place, f"'arms' must be a mapping, not {kind_of(node)}")
        return arms

    def _zone(self, told: Mapping[str, Any]) -> ZoneInfo:
        """The scenario's own, else the shopper's as the engine sees it: theirs, their phone's
        country's, the shop's."""
        place = "timezone" if "timezone" in self._fields else "profile"
        name = self._fields.text("timezone") or told.get("timezone")
        if name is None:
            return zone_of(told, self._policy)
        try:
            return ZoneInfo(str(name))
        except (KeyError, ValueError, OSError):
            message = f"there is no time zone '{short(str(name))}'"
            hint = "write for example Asia/Kolkata"
            self._report.add("J011", self._fields.key_place(place), message, hint)
            return ZoneInfo("UTC")

    def _time(
        self, node: Tree, zone: ZoneInfo, first: datetime | None, before: datetime | None
    ) -> datetime | None:
        said = read_text(self._report, node, "a time")
        if said is None:
            return None
        try:
            return parse_time(said, zone, first, before)
        except TimeError as error:
            self._report.add("J008", node.place, short(str(error)), error.hint)
            return None

    def _event(
        self,
        node: Tree,
        number: int,
        zone: ZoneInfo,
        begin: datetime | None,
        times: list[datetime],
        places: list[Place],
    ) -> Event | None:
        known = ("at", "event", "properties", "user", "device")
        fields = Fields(self._report, node, "an event", known, ("event",))
        at_node = fields.get("at")
        before = times[-1] if times else begin
        if at_node is not None:
            at = self._time(at_node, zone, begin or (times[0] if times else None), before)
        else:
            at = before or parse_time(_BEGIN, zone, None, None)
        if at is not None and before is not None and at < before:
            message = "this event comes before the one above it"
            self._report.add("J008", fields.key_place("at"), message, "put them in order of time")
        name = fields.text("event")
        if at is None or name is None:
            return None
        times.append(at)
        said_node = fields.get("properties")
        said = {} if said_node is None else _mapping(self._report, said_node, "'properties'")
        kind = _KINDS.get(name, "track")
        user, device = fields.text("user"), fields.text("device") or _DEVICE
        item = {
            "type": kind,
            "messageId": f"event-{number + 1:04}",
            "anonymousId": None if device == "none" else device,
            "userId": user,
            "event": name if kind == "track" else None,
            "traits" if kind == "identify" else "properties": said,
        }
        places.append(node.place)
        return self._build(fields.key_place("event"), item, at)

    def _build(self, place: Place, item: Mapping[str, Any], at: datetime) -> Event | None:
        """The event as the collector would take it: the same rules for names and addresses."""
        body = _JSON.encode({**item, "timestamp": at.isoformat()})
        try:
            return read_recorded(body, at, self._policy.shop.country)
        except ValueError as error:
            self._report.add("J007", place, f"the collector would refuse this: {short(str(error))}")
            return None

    def _count(self, counted: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
        """The counted facts, as a profile holds them."""
        result: dict[str, Any] = {}
        for key, value in counted.items():
            try:
                if key == "orders":
                    result[key] = int(value)
                elif key == "lifetime_value":
                    sums = value if isinstance(value, dict) else {self._policy.shop.currency: value}
                    result[key] = {name: Decimal(str(each)) for name, each in sums.items()}
                else:
                    result[key] = parse_time(str(value), zone, None, None)
            except (TypeError, ValueError, InvalidOperation):
                message = f"'{key}' cannot be '{short(str(value))}'"
                self._report.add("J007", self._fields.key_place("profile"), message)
        return result


def _mapping(report: Report, node: Tree, what: str) -> dict[str, Any]:
    if isinstance(node, Written):
        value = plain_value(node)
        assert isinstance(value, dict)
        return value
    if not (isinstance(node, Scalar) and node.plain and not node.text):
        report.add("J007", node.place, f"{what} must be a mapping, not {kind_of(node)}")
    return {}
