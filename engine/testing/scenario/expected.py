"""The lines of ``expect``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from engine.language.fields import Fields, did_you_mean, read_list
from engine.language.report import Report
from engine.language.tree import Listing, Mapping, Scalar, Tree, plain_value, short
from engine.model.journey import Journey
from engine.testing.scenario.model import Expectation, Kind
from engine.testing.scenario.write import flow

#: What each kind can say besides its own key.
_KINDS: dict[str, tuple[str, ...]] = {
    "send": ("template", "topic", "offer"),
    "skip": ("template", "topic", "reason"),
    "exit": (),
    "enter": ("key",),
    "wait": ("until", "for"),
    "audience": (),
    "profile": (),
    "offer": (),
    "emit": ("properties",),
    "webhook": ("body",),
    "enter segment": (),
    "leave segment": (),
}
_TIMES = ("at", "within")
_ALWAYS = ("journey", "step")
_KEYS = (*_TIMES, *_ALWAYS, *_KINDS, *dict.fromkeys(k for keys in _KINDS.values() for k in keys))

_CHANNELS = {
    "send": ("email", "sms", "whatsapp"),
    "skip": ("email", "sms", "whatsapp", "webhook"),
}

#: The kinds that speak of a segment.
SEGMENT_KINDS = ("enter segment", "leave segment")

#: Reads a time, given the one that a ``+`` counts from.
ReadTime = Callable[[Tree, datetime | None], datetime | None]


def read_expectations(
    report: Report,
    node: Tree | None,
    first: datetime | None,
    journeys: Sequence[Journey],
    segments: Collection[str],
    time: ReadTime,
) -> tuple[tuple[Expectation, ...], bool]:
    """The expectations, and whether nothing at all must happen. A ``+`` counts from the line
    before, in the first line from the first event. ``journeys`` are those that run; ``segments``
    those there are."""
    if node is None:
        return (), False
    if isinstance(node, Scalar) and node.text == "nothing":
        return (), True
    if isinstance(node, Listing) and not node.items:
        hint = "write 'expect: nothing', or the first thing that is expected"
        report.add("J007", node.place, "'expect' is an empty list", hint)
    found = []
    base = first
    for item in read_list(report, node, "'expect'"):
        expectation = _expectation(report, item, base, time)
        if expectation is not None:
            _check_names(report, item, journeys, segments)
            found.append(expectation)
            base = expectation.at or base
    return tuple(found), False


def _expectation(
    report: Report, node: Tree, base: datetime | None, time: ReadTime
) -> Expectation | None:
    fields = Fields(report, node, "an expectation", _KEYS)
    if not isinstance(node, Mapping):
        return None
    kinds = [kind for kind in _KINDS if kind in fields]
    if "send" in kinds and "offer" in kinds:
        kinds.remove("offer")  # the offer of that message
    if len(kinds) != 1:
        what = f"an expectation says one thing, this says {' and '.join(kinds)}"
        message = what if kinds else f"an expectation needs one of {', '.join(_KINDS)}"
        report.add("J013" if kinds else "J006", node.place, message)
        return None
    kind = kinds[0]
    known = (*_TIMES, *_ALWAYS, kind, *_KINDS[kind])
    for key in _KEYS:
        if key in fields and key not in known:
            hint = f"'{kind}' knows {', '.join((*_KINDS[kind], *_ALWAYS))}"
            report.add("J005", fields.key_place(key), f"'{key}' says nothing of '{kind}'", hint)
    at_node = fields.get("at")
    at = time(at_node, base) if at_node is not None else None
    within = fields.duration("within")
    if within is not None and at_node is None:
        at = base
    said: dict[str, Any] = {}
    for key in (*_ALWAYS, kind, *_KINDS[kind]):
        value = fields.get(key)
        if value is not None:
            said[key] = time(value, at or base) if key == "until" else plain_value(value)
            if said[key] is None and key != "until":
                report.add("J007", value.place, f"'{key}' says nothing")
    words = {entry.key.text: plain_value(entry.value) for entry in node.entries}
    text = flow(words)[1:-1]
    return Expectation(node.place, cast(Kind, kind), said, text, at, within or timedelta(0))


def _check_names(
    report: Report, node: Tree, journeys: Sequence[Journey], segments: Collection[str]
) -> None:
    """A name that is nowhere can never be met: say so before the story runs."""
    names = [journey.name for journey in journeys]
    steps = [step for each in journeys for step in (*each.names, *each.steps)]
    known: dict[str, Sequence[str]] = {"journey": names, "enter": names, **_CHANNELS}
    known |= {"step": steps, "wait": steps}
    known |= dict.fromkeys(SEGMENT_KINDS, sorted(segments))
    for entry in node.entries if isinstance(node, Mapping) else ():
        key, value = entry.key.text, entry.value
        if key in known and isinstance(value, Scalar) and value.text not in known[key]:
            what = {"step": "step", "wait": "step", "enter": "journey"}.get(key, key)
            what = "segment" if key in SEGMENT_KINDS else what
            what = "channel" if key in _CHANNELS else what
            hint = did_you_mean(value.text, known[key], otherwise=_some(known[key]))
            report.add("J011", value.place, f"there is no {what} '{short(value.text)}'", hint)


def _some(names: Sequence[str]) -> str:
    if not names:
        return "there is none"
    return f"there are {', '.join(names[:8])}{' …' if len(names) > 8 else ''}"
