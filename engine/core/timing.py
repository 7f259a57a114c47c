"""Time, as the core reasons about it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from engine.core.holidays import is_holiday
from engine.model.policy import Hours, QuietHours, Span

#: A timer this little late counts as on time: later waits go on from when it was due, so that
#: a run does not drift by the latency of every step.
ON_TIME = timedelta(seconds=60)

#: Hours that have not begun in so many days never do.
NEVER = 62

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_ALL_DAY: tuple[Span, ...] = ((timedelta(0), _DAY),)

ANY_TIME = Hours((_ALL_DAY,) * 7)


def step_time(wake_at: datetime, now: datetime) -> datetime:
    """The moment a woken run goes on from: its due time if that is about now, else ``now``,
    so that a run that slept through a downtime does not race through its later waits (P9)."""
    return wake_at if now - wake_at <= ON_TIME else now


@lru_cache(maxsize=256)
def outside(quiet: QuietHours) -> Hours:
    """The hours in which it is not quiet; quiet hours that end as they begin are none."""
    start, end = _since_midnight(quiet.start), _since_midnight(quiet.end)
    if start == end:
        return ANY_TIME
    spans = [(timedelta(0), start), (end, _DAY)] if start < end else [(end, start)]
    return Hours((tuple(span for span in spans if span[0] < span[1]),) * 7)


def next_open(hours: Hours, zone: ZoneInfo, now: datetime) -> datetime | None:
    """The first moment (UTC), ``now`` or later, that lies in ``hours`` by the clocks of ``zone``;
    None if there is none within ``NEVER`` days.

    What the clocks show decides, moment by moment. A beginning that they skip in spring is the
    moment they are moved. In autumn an hour comes twice: what ends in it ends, begins again as
    they are moved back, and ends once more.
    """
    now = now.astimezone(UTC)
    day = now.date()
    for _ in range(NEVER):
        for start, end in _open(hours, zone, day):
            if now < end:
                return now if start <= now else start
        day += _DAY
    return None


@lru_cache(maxsize=65536)
def _open(hours: Hours, zone: ZoneInfo, day: date) -> tuple[tuple[datetime, datetime], ...]:
    """The spans (UTC) of ``hours`` within a day of UTC."""
    found: list[tuple[datetime, datetime]] = []
    for start, end, offset in _offsets(zone, day):
        local = (start + offset).date()
        while (midnight := datetime.combine(local, time(), UTC) - offset) < end:
            for first, last in spans_on(hours, local):
                opens, closes = max(start, midnight + first), min(end, midnight + last)
                if opens < closes and found and found[-1][1] == opens:
                    found[-1] = (found[-1][0], closes)
                elif opens < closes:
                    found.append((opens, closes))
            local += _DAY
    return tuple(found)


def spans_on(hours: Hours, day: date) -> tuple[Span, ...]:
    """The spans of ``hours`` on a day of the calendar."""
    if hours.holidays is not None and is_holiday(hours.country, day):
        return hours.holidays
    return hours.days[day.weekday()]


@lru_cache(maxsize=8192)
def _offsets(zone: ZoneInfo, day: date) -> tuple[tuple[datetime, datetime, timedelta], ...]:
    """A day of UTC in the pieces in which the clocks of ``zone`` are not moved: from, to and how
    far they are ahead of UTC. No zone has moved its clocks twice within an hour."""
    start = datetime.combine(day, time(), UTC)
    end = start + _DAY
    pieces = []
    began, offset, at = start, _offset(zone, start), start
    while at < end:
        if _offset(zone, at + _HOUR) != offset:
            moved = _moved(zone, at, at + _HOUR)
            if moved < end:
                pieces.append((began, moved, offset))
                began, offset = moved, _offset(zone, moved)
        at += _HOUR
    return (*pieces, (began, end, offset))


def _moved(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The second at which the clocks are moved between two moments."""
    offset = _offset(zone, before)
    low, high = 0, int((after - before) / _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, before + middle * _SECOND) == offset:
            low = middle
        else:
            high = middle
    return before + high * _SECOND


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _since_midnight(at: time) -> timedelta:
    return timedelta(
        hours=at.hour, minutes=at.minute, seconds=at.second, microseconds=at.microsecond
    )


def local_to_utc(wall: datetime, zone: ZoneInfo) -> datetime:
    """UTC of a naive local ``wall`` time; one that the clock skips is just after the gap."""
    aware = wall.replace(tzinfo=zone, fold=0)
    back = aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    if back == wall:
        return aware.astimezone(UTC)
    # In a gap the two folds straddle it; the transition is where the offset changes.
    early, late = aware.utcoffset(), wall.replace(tzinfo=zone, fold=1).utcoffset()
    assert early is not None and late is not None
    gap = abs(late - early)
    low, high = aware.astimezone(UTC) - gap, aware.astimezone(UTC) + gap
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).replace(tzinfo=None) < wall:
            low = middle
        else:
            high = middle
    return high.replace(microsecond=0)


def parse_clock(text: str) -> time:
    """``21:00`` as a time. Raises ValueError for anything else."""
    return time.fromisoformat(text)
