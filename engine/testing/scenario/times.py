"""Times as scenarios say them: ``2026-03-01 10:00``, ``+90 minutes``, ``day 2 at 18:00``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.core.durations import DurationError, parse_duration, show_duration
from engine.core.timing import local_to_utc

#: When a scenario begins that does not say: a Monday.
START = datetime(2026, 3, 2, 10)
EARLIEST, LATEST = datetime(2000, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"day ([0-9]{1,4}) at ([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)")
_WAYS = "write 2026-03-01 10:00, +90 minutes (after the line before), or day 2 at 18:00"


class TimeError(ValueError):
    """Not a time. ``hint`` says what to write instead."""

    def __init__(self, message: str, hint: str = _WAYS) -> None:
        super().__init__(message)
        self.hint = hint


def parse_time(
    text: str, zone: ZoneInfo, first: datetime | None, before: datetime | None
) -> datetime:
    """UTC of ``text``. ``first`` is the time of the first event (day 1 is its day in ``zone``),
    ``before`` that of the line before. Raises TimeError."""
    text = text.strip()
    if text.startswith("+"):
        at = (before or local_to_utc(START, zone)) + _after(text[1:])
    elif found := _DAY.fullmatch(text):
        begin = (first or START.replace(tzinfo=zone)).astimezone(zone).date()
        number = int(found[1])
        if number < 1:
            raise TimeError(f"'{text}': the first day is day 1", "write day 1 at 10:00")
        try:
            clock = time.fromisoformat(found[2])
        except ValueError as error:
            raise TimeError(f"'{text}': there is no such time of day") from error
        at = local_to_utc(datetime.combine(begin + timedelta(days=number - 1), clock), zone)
    else:
        at = _absolute(text, zone)
    if not EARLIEST <= at < LATEST:
        raise TimeError(f"'{text}' lies too far off", "use a time between 2000 and 2200")
    return at


def _after(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except DurationError as error:
        raise TimeError(str(error), error.hint) from error


def _absolute(text: str, zone: ZoneInfo) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise TimeError(f"'{text}' is not a time") from error
    if len(text) <= 10:
        raise TimeError(f"'{text}' is a day, not a time", f"write {text} 10:00")
    return local_to_utc(at, zone) if at.tzinfo is None else at.astimezone(UTC)


def show_gap(gap: timedelta) -> str:
    """``2 hours later``, ``5 minutes earlier``."""
    whole = timedelta(seconds=round(abs(gap).total_seconds()))
    return f"{show_duration(whole)} {'earlier' if gap < timedelta(0) else 'later'}"
