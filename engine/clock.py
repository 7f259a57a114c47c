"""The one place that reads the time. Everything else is told."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Gives the time, UTC and aware."""

    def now(self) -> datetime: ...

    @property
    def speed(self) -> float:
        """Clock seconds that pass in one real second."""
        ...


class SystemClock:
    """The machine's clock."""

    speed = 1.0

    def now(self) -> datetime:
        return datetime.now(UTC)


class FastClock:
    """A clock that started at ``origin`` (real time) and since runs ``speed`` times as fast.

    Every process that is given the same origin and speed reads the same time, which is how
    the demo lets days pass in seconds.
    """

    def __init__(self, origin: datetime, speed: float) -> None:
        self.origin = origin
        self.speed = speed

    def now(self) -> datetime:
        real = time.time() - self.origin.timestamp()
        return self.origin + timedelta(seconds=real * self.speed)


class ManualClock:
    """A clock that stands still until it is told: for event-time replay and tests."""

    speed = 1.0

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at

    def move_to(self, at: datetime) -> None:
        """Go on to ``at``. Going back is an error: time does not."""
        if at < self._at:
            raise ValueError(f"the clock stands at {self._at:%F %T}, cannot go back to {at:%F %T}")
        self._at = at


def from_environment(setting: str) -> Clock:
    """Read ``WINBACK_CLOCK``: empty for the system clock, else ``SPEED@ORIGIN``
    (``600@2026-11-24T10:00:00+00:00``)."""
    if not setting:
        return SystemClock()
    speed, _, origin = setting.partition("@")
    return FastClock(datetime.fromisoformat(origin), float(speed))
