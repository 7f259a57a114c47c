"""Hints: telling the workers which lanes have work, often enough and not more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: Seconds between two log lines about a queue that does not answer.
LOG_EVERY = 60.0


class Throttle:
    """Which lane to tell now: one at once, then at most one an interval, and one more at its end
    if there was more (so the last event is never without a hint). Reads no clock.

    One lane stands for all that were noted: the job that it wakes works every lane that has
    work. It is the one that was told the longest ago, so that several workers get jobs while
    there is much to do.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._pending: set[int] = set()
        self._told: dict[int, float] = {}
        self._last: float | None = None

    def offer(self, lanes: set[int]) -> bool:
        """Note that lanes have work. True when nothing was noted before."""
        first = not self._pending
        self._pending |= lanes
        return first and bool(lanes)

    def take(self, now: float) -> tuple[int | None, float | None]:
        """The lane to tell at ``now`` (seconds of any clock that only goes on), and the seconds
        until there is one to tell; None when nothing is noted."""
        if not self._pending:
            return None, None
        wait = 0.0 if self._last is None else self._last + self._interval - now
        if wait > 0:
            return None, wait
        lane = min(self._pending, key=lambda lane: (self._told.get(lane, float("-inf")), lane))
        self._pending.clear()
        self._told[lane] = self._last = now
        return lane, None


class LaneHints:
    """Calls ``enqueue(lane)`` from a thread of its own: a caller never waits for the queue.

    ``interval`` is in seconds. A hint is not the truth (P7): where ``enqueue`` raises, that is
    logged once a minute and the clock finds the work in PostgreSQL.
    """

    def __init__(self, enqueue: Callable[[int], None], interval: float = 0.02) -> None:
        self._enqueue = enqueue
        self._throttle = Throttle(interval)
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._quiet_until = 0.0

    def __call__(self, lanes: set[int]) -> None:
        """Lanes have work. Gives back at once."""
        with self._changed:
            if not self._throttle.offer(lanes):
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Give the last hints and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                lane, wait = self._throttle.take(time.monotonic())
                if lane is None:
                    if self._closed and wait is None:
                        return
                    self._changed.wait(wait)
                    continue
            self._give(lane)

    def _give(self, lane: int) -> None:
        try:
            self._enqueue(lane)
        except Exception as error:
            now = time.monotonic()
            if now >= self._quiet_until:
                self._quiet_until = now + LOG_EVERY
                logger.warning("hints: the queue does not answer, the clock will do: %s", error)
