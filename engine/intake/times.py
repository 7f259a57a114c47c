"""When an event happened, by clocks that cannot be trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

#: No shop's events are older; an earlier time is a clock that was never set.
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def time_of(
    original: object, sent_at: object, received_at: datetime
) -> tuple[datetime, str | None]:
    """The time of an event, UTC, and the time as sent where that cannot be believed, else None.

    ``receivedAt - (sentAt - originalTimestamp)`` takes the sender's wrong clock out of it
    (Segment's common fields, "Timestamps"); without ``sent_at`` the time stands as it is. A
    time that cannot be read, lies before 2000 or after its receipt becomes the receipt's.
    """
    if original is None:
        return received_at, None
    try:
        time = instant(original)
        if (sent := readable(sent_at)) is not None:
            time = received_at - (sent - time)
    except (ValueError, OverflowError, OSError):
        return received_at, str(original)[:100]
    if EARLIEST <= time <= received_at:
        return time, None
    return received_at, str(original)[:100]


def instant(value: object) -> datetime:
    """An ISO 8601 text (UTC unless it says otherwise), or seconds or milliseconds since 1970.

    Raises ``ValueError``, ``OverflowError`` or ``OSError`` for anything else.
    """
    if isinstance(value, str):
        time = datetime.fromisoformat(value.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        seconds = float(value)
        return datetime.fromtimestamp(seconds / 1000 if abs(seconds) > 1e11 else seconds, UTC)
    raise ValueError("not a time")


def readable(value: object) -> datetime | None:
    """The instant of a value, None where it holds none."""
    if value is None or isinstance(value, datetime):
        return value
    try:
        return instant(value)
    except (ValueError, OverflowError, OSError):
        return None
