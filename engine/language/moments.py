"""Reads times of day, weekdays, dates and time zones, each from the one way to write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from engine.language.fields import did_you_mean, read_duration, read_text
from engine.language.report import Report
from engine.language.tree import Listing, Scalar, Tree, short

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_GROUPS = {"weekdays": WEEKDAYS[:5], "weekend": WEEKDAYS[5:]}
DAYS = (*WEEKDAYS, *_GROUPS)

#: Written like a time of day, or meant as one: whatever begins so is not an expression.
CLOCK = re.compile(r"[0-9]{1,2}(?:[:.h][0-9]*)?(?:[:.][0-9]+)? ?(?:am|pm|o'clock)?", re.IGNORECASE)
#: A day, or a moment of it, as ISO 8601 writes it.
ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")


def read_time(report: Report, node: Tree, what: str) -> time | None:
    """Wall-clock time, ``09:00``."""
    text = read_text(report, node, what)
    if text is None:
        return None
    found = _TIME.fullmatch(text.strip())
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        hint = "write hours and minutes, 00:00 to 23:59: '18:00'"
        report.add("J024", node.place, f"'{short(text)}' is no time of day", hint)
        return None
    return time(int(found[1]), int(found[2]))


def read_days(
    report: Report, node: Tree, what: str, others: Sequence[str] = ()
) -> tuple[str, ...] | None:
    """Weekday names, in the order of the week; ``others`` stand alone. None after a finding."""
    items = node.items if isinstance(node, Listing) else [node]
    if not items:
        report.add("J007", node.place, f"{what} is empty", "write for example monday")
        return None
    days: set[str] = set()
    sound = True
    for item in items:
        word = read_text(report, item, what)
        known = (*others, *DAYS)
        if word is None or word not in known:
            sound = False
            if word is not None:
                hint = did_you_mean(word, known, otherwise=f"choose from {', '.join(known)}")
                report.add("J011", item.place, f"{what} cannot be '{short(word)}'", hint)
        elif word in days:
            sound = False
            report.add("J004", item.place, f"'{word}' comes twice in {what}")
        elif word in others and len(items) > 1:
            sound = False
            hint = "write it alone, or name the weekdays"
            report.add("J011", item.place, f"'{word}' cannot be one of several days", hint)
        else:
            days |= {word}
    if not sound:
        return None
    if days <= set(others):
        return tuple(days)
    whole = {day for name in days for day in _GROUPS.get(name, (name,))}
    return tuple(day for day in WEEKDAYS if day in whole)


def read_shift(report: Report, node: Tree) -> timedelta | None:
    """A duration before (``-3 days``) or after (``3 days``)."""
    text = read_text(report, node, "'shift'")
    if text is None or not isinstance(node, Scalar):
        return None
    bare = text.lstrip("+- ")
    skip = len(text) - len(bare)
    if text[:skip].strip() not in ("", "+", "-"):
        report.add("J008", node.place, f"'{short(text)}' is not a duration", "write '-3 days'")
        return None
    length = read_duration(report, Scalar(node.at(skip), bare, node.plain) if bare else node)
    if length is None:
        return None
    return -length if "-" in text[:skip] else length


def read_moment(report: Report, node: Tree, what: str, zone: str) -> datetime | None:
    """A date (its first moment) or date-time, in UTC; without an offset it is in ``zone``."""
    text = read_text(report, node, what)
    if text is None:
        return None
    moment = iso_moment(text.strip())
    if moment is None:
        hint = "write '2026-11-01' or '2026-11-01 09:00'"
        report.add("J025", node.place, f"'{short(text)}' is no date", hint)
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return moment.astimezone(UTC)


def iso_moment(text: str) -> datetime | None:
    """The moment that an ISO date or date-time names; None if there is no such day or time."""
    found = ISO.fullmatch(text)
    # Years at the ends of the calendar cannot be carried into another time zone.
    if found is None or not 1970 <= int(text[:4]) <= 9000:
        return None
    try:
        day = date.fromisoformat(found[1])
        clock = time.fromisoformat((found[2] or "00:00") + (found[3] or ""))
    except ValueError:
        return None
    return datetime.combine(day, clock)


def read_timezone(report: Report, node: Tree) -> str | None:
    """An IANA name, ``Asia/Kolkata``."""
    text = read_text(report, node, "'timezone'")
    if text is None or text in _zones():
        return text
    hint = did_you_mean(text, _zones(), otherwise="write Europe/London")
    report.add("J011", node.place, f"unknown timezone '{short(text)}'", hint)
    return None


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # Walks a folder of 600 files: too dear for every one of 500 journeys.
    return frozenset(available_timezones())
