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
    """Which lanes to tell now: each at once, then at most once an interval, and once more at its
    end if there was more (so the last event is never without a hint). Reads no clock."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._pending: set[int] = set()
        self._told: dict[int, float] = {}

    def offer(self, lanes: set[int]) -> bool:
        """Note that lanes have work. True when one of them was not noted already."""
        if lanes <= self._pending:
            return False
        self._pending |= lanes
        return True

    def take(self, now: float) -> tuple[list[int], float | None]:
        """The lanes to tell at ``now`` (seconds of any clock that only goes on), and the seconds
        until the next is due; None when nothing is noted."""
        due = [lane for lane in self._pending if self._wait(lane, now) <= 0]
        for lane in due:
            self._told[lane] = now
        self._pending.difference_update(due)
        return due, min((self._wait(lane, now) for lane in self._pending), default=None)

    def _wait(self, lane: int, now: float) -> float:
        told = self._told.get(lane)
        return 0.0 if told is None else told + self._interval - now


class LaneHints:
    """Calls ``enqueue(lane)`` from a thread of its own: a caller never waits for the queue.

    ``interval`` is in seconds. A hint is not the truth (P7): where ``enqueue`` raises, that is
    logged once a minute and the clock finds the work in PostgreSQL.
    """

    def __init__(self, enqueue: Callable[[int], None], interval: float = 0.05) -> None:
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
                due, wait = self._throttle.take(time.monotonic())
                if not due:
                    if self._closed and wait is None:
                        return
                    self._changed.wait(wait)
                    continue
            for lane in due:
                self._give(lane)

    def _give(self, lane: int) -> None:
        try:
            self._enqueue(lane)
        except Exception as error:
            now = time.monotonic()
            if now >= self._quiet_until:
                self._quiet_until = now + LOG_EVERY
                logger.warning("hints: the queue does not answer, the clock will do: %s", error)
