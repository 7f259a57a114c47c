"""Moments that a journey names: "the next Tuesday at ten", "seven days before the date there"."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from engine.core.timing import local_to_utc

#: When a day begins that is given without a time.
MORNING = time(9)
_DAY = timedelta(days=1)
_EPOCH = re.compile(r"[0-9]{9,13}(?:\.[0-9]+)?", re.ASCII)
#: Numbers from here on count milliseconds: as seconds they would lie beyond the year 5000.
_MILLISECONDS = 100_000_000_000


def next_local(
    at: time, zone: ZoneInfo, after: datetime, weekdays: tuple[int, ...] = ()
) -> datetime:
    """The first moment (UTC) strictly after ``after`` at which clocks in ``zone`` show ``at``, on
    one of ``weekdays`` (0 is Monday; none: any day). A time that the clocks skip is just after
    the gap; of one that they show twice the first counts."""
    day = after.astimezone(zone).date()
    while True:
        if not weekdays or day.weekday() in weekdays:
            moment = local_to_utc(datetime.combine(day, at), zone)
            if moment > after:
                return moment
        day += _DAY


def read_date(value: Any) -> date | datetime | None:
    """A date in the data: a day, or a moment (UTC); None where it is neither.

    Days and moments in ISO 8601, also as text; a moment without an offset is UTC, as in
    conditions. A number is Unix time, in seconds or in milliseconds.
    """
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        text = value.strip()
        if _EPOCH.fullmatch(text):
            return _unix(Decimal(text))
        try:
            return date.fromisoformat(text) if len(text) <= 10 else _utc(_parsed(text))
        except ValueError:
            return None
    if isinstance(value, int | Decimal | float) and not isinstance(value, bool):
        return _unix(value)
    return None


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _utc(moment: datetime) -> datetime | None:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:  # the first or last day of the calendar
        return None


def _unix(value: int | float | Decimal) -> datetime | None:
    try:
        number = float(value)
        seconds = number / 1000 if abs(number) >= _MILLISECONDS else number
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def shifted(found: date | datetime, at: time, shift: timedelta, zone: ZoneInfo) -> datetime | None:
    """The moment (UTC) ``shift`` away from what ``read_date`` found; a day begins at ``at``.

    Whole days are counted on the wall clock of ``zone``, the rest as it passes: a week before
    ten o'clock is ten o'clock, also when the clocks were changed between. None beyond the end
    of the calendar.
    """
    days = int(shift / _DAY) * _DAY
    try:
        if isinstance(found, datetime):
            if not days:
                return found + shift
            wall = found.astimezone(zone).replace(tzinfo=None)
        else:
            wall = datetime.combine(found, at)
        return local_to_utc(wall + days, zone) + (shift - days)
    except OverflowError:
        return None
