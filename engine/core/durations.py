"""Durations as marketers write them: ``2 hours``, ``1 day 12 hours``."""

from __future__ import annotations

import re
from datetime import timedelta
from difflib import get_close_matches

#: Longer than any journey; keeps date arithmetic far from the end of the calendar.
LONGEST = timedelta(days=3660)

UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_LETTERS = {name[0]: name for name in UNITS}
_INSTEAD = {"month": "30 days", "year": "365 days", "quarter": "90 days"}
_PART = re.compile(r"\s*([0-9]{1,9})\s*([^\W\d_]+)\s*")
_EXAMPLE = "write for example '2 hours', '30 days' or '1 day 12 hours'"


class DurationError(ValueError):
    """Not a duration. ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str = _EXAMPLE) -> None:
        super().__init__(message)
        self.hint = hint


def parse_duration(text: str, *, short: bool = False) -> timedelta:
    """``"1 day 12 hours"`` as a timedelta. Units: second, minute, hour, day, week (plural or not);
    with ``short``, as on a command line, their first letters too (``60d``).

    Months and years are refused: they differ in length. Raises DurationError.
    """
    total, position = timedelta(0), 0
    while position < len(text) or not text:
        part = _PART.match(text, position)
        if part is None:
            raise DurationError(f"'{text}' is not a duration")
        word = _LETTERS.get(part[2], part[2]) if short else part[2]
        count, unit = int(part[1]), _unit(word, text)
        if count > LONGEST // unit or (total := total + count * unit) > LONGEST:
            raise DurationError(f"'{text}' is longer than {LONGEST.days} days")
        position = part.end()
    return total


def _unit(word: str, text: str) -> timedelta:
    name = word.lower().removesuffix("s")
    if name in UNITS:
        return UNITS[name]
    near = get_close_matches(name, (*UNITS, *_INSTEAD), n=1, cutoff=0.7)
    if near and near[0] in _INSTEAD:
        raise DurationError(
            f"'{text}': a {near[0]} has no fixed length", f"say '{_INSTEAD[near[0]]}' instead"
        )
    raise DurationError(
        f"'{text}': unknown unit '{word}'", f"did you mean '{near[0]}s'?" if near else _EXAMPLE
    )


def show_duration(duration: timedelta) -> str:
    """The duration in words, largest units first: ``1 day 12 hours``."""
    left, words = duration, []
    for name in ("day", "hour", "minute", "second"):
        count, left = divmod(left, UNITS[name])
        if count:
            words.append(f"{count} {name}{'' if count == 1 else 's'}")
    return " ".join(words) or "0 seconds"
