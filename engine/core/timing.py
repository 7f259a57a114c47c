"""Time, as the core reasons about it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.model.policy import QuietHours

#: A timer this little late counts as on time: later waits go on from when it was due, so that
#: a run does not drift by the latency of every step.
ON_TIME = timedelta(seconds=60)


def step_time(wake_at: datetime, now: datetime) -> datetime:
    """The moment a woken run goes on from: its due time if that is about now, else ``now``,
    so that a run that slept through a downtime does not race through its later waits (P9)."""
    return wake_at if now - wake_at <= ON_TIME else now


def quiet_until(now: datetime, quiet: QuietHours, zone: ZoneInfo) -> datetime | None:
    """The end (UTC) of the quiet hours that ``now`` falls in, None outside them.

    Local wall-clock time decides, right through clock changes: an end that does not exist on
    the day (spring) is the first minute that does; one that exists twice (autumn) ends them
    twice, as the clock goes back into them.
    """
    local = now.astimezone(zone)
    at = local.time().replace(tzinfo=None)
    if quiet.start == quiet.end:
        return None
    if quiet.start < quiet.end:
        inside, day = quiet.start <= at < quiet.end, local.date()
    else:
        inside = at >= quiet.start or at < quiet.end
        day = local.date() + timedelta(days=1 if at >= quiet.start else 0)
    if not inside:
        return None
    end = datetime.combine(day, quiet.end)
    until = local_to_utc(end, zone)
    return until if until > now else end.replace(tzinfo=zone, fold=1).astimezone(UTC)


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
