"""Hours of the day as a shop owner writes them: ``08:00-20:00``, day by day."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise

from engine.language.fields import did_you_mean, read_entries, read_text
from engine.language.report import Report
from engine.language.tree import Listing, Mapping, Scalar, Tree, short
from engine.model.policy import Hours, Span

WEEK = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: What may stand for days, the particular after the general.
_GROUPS = {"every day": WEEK, "weekdays": WEEK[:5], "weekend": WEEK[5:]}
DAYS = (*_GROUPS, *WEEK, "holidays")
NEVER, ALWAYS = "never", "always"

_SPAN = re.compile(r"([0-9]{1,2}):([0-9]{2}) ?[-–] ?([0-9]{1,2}):([0-9]{2})")
_MIDNIGHT = timedelta(days=1)


def read_hours(report: Report, node: Tree, country: str) -> Hours | None:
    """When something is allowed: one span for all days, or a mapping of days. Public holidays
    that are not named are like other days."""
    if not isinstance(node, Mapping):
        spans = _spans(report, node)
        return None if spans is None else Hours((spans,) * 7)
    given: dict[str, tuple[Span, ...]] = {}
    sound = True
    for key, value in read_entries(report, node, "'allowed'"):
        name = key.text.replace("_", " ")
        spans = _spans(report, value)
        if name not in DAYS:
            hint = did_you_mean(name, DAYS, otherwise="write monday, weekdays, weekend, holidays")
            report.add("J011", key.place, f"'{short(key.text)}' is no day", hint)
        sound = sound and name in DAYS and spans is not None
        given[name] = spans or ()
    if not sound:
        return None
    days: dict[str, tuple[Span, ...]] = {}
    for group, names in _GROUPS.items():
        if group in given:
            days |= dict.fromkeys(names, given[group])
    days |= {name: given[name] for name in WEEK if name in given}
    missing = [name for name in WEEK if name not in days]
    if missing:
        message = f"'allowed' says nothing of {missing[0]}"
        report.add("J006", node.place, message, f"add '{missing[0]}: never' if it is meant so")
        return None
    return Hours(tuple(days[name] for name in WEEK), given.get("holidays"), country)


def _spans(report: Report, node: Tree) -> tuple[Span, ...] | None:
    """The spans of one day, in order."""
    if isinstance(node, Scalar) and node.text in (NEVER, ALWAYS):
        return () if node.text == NEVER else ((timedelta(0), _MIDNIGHT),)
    items = node.items if isinstance(node, Listing) else [node]
    found = [_span(report, item) for item in items]
    spans = sorted(span for span in found if span is not None)
    if len(spans) < len(found):
        return None
    if any(one[1] > other[0] for one, other in pairwise(spans)):
        report.add("J011", node.place, "times that overlap", "write each time once")
        return None
    return tuple(spans)


def _span(report: Report, node: Tree) -> Span | None:
    text = read_text(report, node, "a time of day")
    if text is None:
        return None
    found = _SPAN.fullmatch(text.strip())
    if found:
        start, end = (
            timedelta(hours=int(hour), minutes=int(minute))
            for hour, minute in (found.groups()[:2], found.groups()[2:])
        )
        minutes = max(int(found[2]), int(found[4]))
        if start < end <= _MIDNIGHT and minutes < 60:
            return start, end
    hint = "write from and to, 08:00-20:00; never; or always"
    report.add("J011", node.place, f"'{short(text)}' is no time of day", hint)
    return None
