"""Holds what was seen against what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.model.journey import Journey
from engine.testing.scenario.expected import SEGMENT_KINDS
from engine.testing.scenario.model import STRICT, Expectation, Failure, Scenario, Seen
from engine.testing.scenario.times import show_gap
from engine.testing.scenario.write import flow, moment

#: Values of which an expectation names only what matters to it.
_PARTS = frozenset({"profile", "offer", "properties", "body"})
#: What may be expected now and then without naming all of it.
_LENIENT = frozenset({"wait"})
_TICK = timedelta(microseconds=1)


def compare(scenario: Scenario, seen: list[Seen], journeys: Mapping[str, Journey]) -> list[Failure]:
    """What is not as ``scenario`` says, in its order; then what it does not speak of.

    Expectations are met in the order of the scenario, each by the first thing that fits.
    """
    zone = scenario.zone
    left = sorted(seen, key=lambda each: each.at)
    if scenario.nothing:
        left = [each for each in left if each.kind not in SEGMENT_KINDS]
        return [_unexpected(scenario, each, "nothing should happen") for each in left[:1]]
    failures = []
    told: list[Seen] = []
    reached: datetime | None = None
    for wanted in scenario.expect:
        fits = [s for s in left if _fits(wanted, s, journeys)]
        timely = [s for s in fits if _timely(wanted, s) and (reached is None or s.at >= reached)]
        if timely:
            reached = timely[0].at
            left.remove(timely[0])
        else:
            hint, meant = _near(wanted, fits, left, reached, zone)
            told += [meant] if meant is not None else []
            failures.append(Failure(wanted.place, _missing(wanted, zone), hint))
    kinds = {wanted.kind for wanted in scenario.expect} - _LENIENT
    failures += [
        _unexpected(scenario, each, "is not expected")
        for each in left
        if each.kind in (*STRICT, *kinds) and each not in told and not each.passing
    ]
    return failures


def _fits(wanted: Expectation, seen: Seen, journeys: Mapping[str, Journey]) -> bool:
    if wanted.kind != seen.kind:
        return False
    names = journeys[seen.journey].names if seen.journey else {}
    for name, value in wanted.fields.items():
        if name == "journey":
            there: Any = seen.journey
        elif name in ("step", "wait"):
            there, value = seen.fields.get(name), names.get(str(value), value)
        else:
            there = seen.fields.get(name)
        if not _same(name, value, there):
            return False
    return True


def _same(name: str, wanted: Any, there: Any) -> bool:
    if name == "reason":
        return str(wanted).casefold() in str(there).casefold()
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        if name not in _PARTS and wanted.keys() != there.keys():
            return False
        return all(key in there and _same("", each, there[key]) for key, each in wanted.items())
    if isinstance(wanted, Mapping | list) or isinstance(there, Mapping | list):
        return bool(wanted == there)
    # A key of 42 in the scenario is the key "42" of the run.
    return bool(wanted == there) or str(wanted) == str(there)


def _timely(wanted: Expectation, seen: Seen) -> bool:
    # A segment is left a tick after the last moment of its window.
    return wanted.at is None or abs(seen.at - wanted.at) <= max(wanted.within, _TICK)


def _missing(wanted: Expectation, zone: ZoneInfo) -> str:
    when = f" ({moment(wanted.at, zone)})" if wanted.at is not None else ""
    return f"expected: {wanted.text}{when}, but it did not happen"


def _near(
    wanted: Expectation,
    fits: list[Seen],
    left: list[Seen],
    reached: datetime | None,
    zone: ZoneInfo,
) -> tuple[str, Seen | None]:
    """What nearly fits, in words and itself: the same at another time, or another of its kind."""
    if fits and wanted.at is not None:
        at = wanted.at
        nearest = min(fits, key=lambda s: abs(s.at - at))
        if not _timely(wanted, nearest):
            gap = show_gap(nearest.at - at)
            return f"did you mean {moment(nearest.at, zone)}? It happened then, {gap}", nearest
    if fits:
        when = moment(fits[-1].at, zone)
        said = f"it happened at {when}, before what the line above expects: order them by time"
        return said, fits[-1]
    others = [s for s in left if s.kind == wanted.kind]
    timely = [s for s in others if _timely(wanted, s)]
    if timely:
        return f"did you mean this? {describe(timely[0], zone)}", timely[0]
    if others:
        return f"there was only {describe(others[0], zone)}", None
    return f"there was no {wanted.kind} at all", None


def _unexpected(scenario: Scenario, seen: Seen, why: str) -> Failure:
    return Failure(scenario.place, f"{why}: {describe(seen, scenario.zone)}")


def describe(seen: Seen, zone: ZoneInfo) -> str:
    """What was seen, in the words that would expect it."""
    said = {name: value for name, value in seen.fields.items() if value not in ("", None, {})}
    for name in ("step", "topic"):
        said.pop(name, None)
    first: dict[str, Any] = {seen.kind: said.pop(seen.kind)}
    parts = [f"at: {moment(seen.at, zone)}"]
    for name, value in {**first, **said}.items():
        shown = moment(value, zone) if isinstance(value, datetime) else flow(value)
        parts.append(f"{name}: {shown}")
    return ", ".join(parts) + (f" (journey {seen.journey})" if seen.journey else "")
