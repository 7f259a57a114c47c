"""The clock: twice a second it asks PostgreSQL where there is work, and puts a job on the queue.

Due times live in PostgreSQL, never here: a clock that dies forgets nothing. Several may run;
the one that holds the lease ticks.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable
from types import FrameType

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from engine.runtime import reports
from engine.runtime.attempt import RETRY_UNKNOWN, TRIES
from engine.runtime.calendar import to_do
from engine.runtime.letting_go import pressing, stop_feeding
from engine.runtime.look_up import listing
from engine.runtime.reconcile import lists_due
from engine.runtime.segments import search as segment_search
from engine.runtime.segments.files import SegmentFiles
from engine.runtime.shell import SHARDS, Shell
from engine.runtime.sync import DAILY
from engine.store import clock as clock_store
from engine.store import lanes as lanes_store
from engine.store import messages as messages_store
from engine.store import outcomes as outcomes_store
from engine.store import segments as segments_store
from engine.store.audiences import AudienceStore
from engine.store.database import Connection
from workers import jobs
from workers.queues import WorkQueue

log = logging.getLogger("winback.clock")

#: Seconds between ticks (a timer is late by half of one on average), seconds a lease lasts, and
#: seconds after which a claimed message's worker is taken for dead (no call lasts that long).
TICK = 0.5
LEASE = 5.0
ABANDONED = 120.0
#: Seconds between two looks at the audiences: a change rewrites its whole list, 25 µs a member.
AUDIENCES = 5.0
#: Seconds of the shop's clock between two looks at the calendars, and the least of real time.
CALENDARS = 60.0
CALENDARS_AT_LEAST = 1.0
#: Seconds between two looks at the files of the segments.
SEGMENTS = 1.0
#: Seconds of real time between two looks at the rates and at what nobody knows of.
WATCH = 60.0
#: Seconds of real time between two bunches of what is forgotten.
RETENTION = 60.0


class Ticker:
    """Ticks, while this process holds the lease."""

    def __init__(
        self, shell: Shell, queue: WorkQueue, segment_files: SegmentFiles | None = None
    ) -> None:
        self.shell = shell
        self.queue = queue
        self.segment_files = segment_files
        self._unnamed: set[str] = set()
        self.holder = f"{os.uname().nodename}:{os.getpid()}:{uuid.uuid4().hex[:8]}"

    def tick(self) -> bool:
        """Find work and put it on the queue; False when another clock holds the lease."""
        try:
            with self.shell.database.probing() as connection:
                if not clock_store.hold_lease(connection, "clock", self.holder, LEASE):
                    return False
                self._find_work(connection)
            return True
        except Exception as error:  # PostgreSQL or Redis is away: the next tick comes
            log.warning("tick failed: %s: %s", type(error).__name__, error)
            return False

    def audiences(self) -> None:
        """Have the audience files written that have changed, and the lists at the ad platforms
        brought up to date; once a day they are held against what is wanted."""
        self._look("lists that no segment feeds", self._stop_feeding, lambda: None)
        self._look("audiences", self._audiences_due, self.queue.sync)
        self._look("ad lists", lambda: bool(self.shell.policy().audiences), self.queue.push)
        self._look("ad lists of today", lambda: lists_due(self.shell), self.queue.reconcile)

    def calendars(self) -> None:
        """Have those looked for who have reached a calendar."""
        self._look("calendars", lambda: to_do(self.shell), self.queue.calendars)

    def watch(self) -> None:
        """Have the rates watched and the unknown looked up."""
        self._look("rates", lambda: True, self.queue.watch)

    def retention(self) -> None:
        """Have deleted what has grown too old."""
        self._look("retention", lambda: True, self.queue.forget)

    def segments(self) -> None:
        """Have the segments' files read, and shoppers searched for what is new in them."""
        self._look("segments", self._segments_due, self.queue.segments)

    def _segments_due(self) -> bool:
        if self.segment_files is not None:
            self.segment_files.look()
        return segment_search.to_do(self.shell)

    def _look(self, what: str, due: Callable[[], bool], put: Callable[[], None]) -> None:
        try:
            with self.shell.database.connection() as connection:
                leads = clock_store.holds_lease(connection, "clock", self.holder)
            if leads and due():
                put()
        except Exception as error:  # PostgreSQL or Redis is away: the next look comes
            log.warning("no look at the %s: %s: %s", what, type(error).__name__, error)

    def _stop_feeding(self) -> bool:
        self._unnamed = stop_feeding(self.shell, self._unnamed)
        return False

    def _audiences_due(self) -> bool:
        with self.shell.database.connection() as connection:
            policy = self.shell.policy()
            if any(one.segment or one.to for one in policy.audience_files.values()):
                return True  # it is quickly seen there whether anything has changed
            store = AudienceStore(connection, policy.ads_consent)
            due = store.due() + store.stale(self.shell.clock.now() - DAILY)
            return any(name not in policy.audiences for name in due)

    def _find_work(self, connection: Connection) -> None:
        now = self.shell.clock.now()
        for lane in lanes_store.with_work(connection):
            self.queue.drain(lane)
        if clock_store.timers_due(connection, now):
            self.queue.wake()
        if segments_store.looks_due(connection, now):
            self.queue.look()
        if pressing(self.shell, connection):
            self.queue.let_go()
        lost = outcomes_store.abandoned(
            connection,
            now - self.shell.real(ABANDONED),
            now,
            tries=TRIES,
            pause=self.shell.real(RETRY_UNKNOWN.total_seconds()),
            listing=listing(self.shell),
        )
        if lost:
            log.warning("%d messages lost their worker on the way; held as unknown", len(lost))
            reports.recall(connection, lost, now)
        for shard in messages_store.due_shards(connection, now, SHARDS):
            self.queue.deliver(shard)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    at = jobs.bench()
    shell = at.shell
    files = SegmentFiles(shell.database, shell.clock, shell.policy, at.settings.project_dir)
    ticker = Ticker(shell, at.queue, files)
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 30},
    )
    scheduler.add_job(ticker.tick, "interval", seconds=TICK)
    scheduler.add_job(ticker.audiences, "interval", seconds=AUDIENCES)
    every = max(CALENDARS / at.shell.clock.speed, CALENDARS_AT_LEAST)
    scheduler.add_job(ticker.calendars, "interval", seconds=every)
    scheduler.add_job(ticker.segments, "interval", seconds=SEGMENTS)
    scheduler.add_job(ticker.watch, "interval", seconds=WATCH)
    scheduler.add_job(ticker.retention, "interval", seconds=RETENTION)
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    scheduler.start()
    ticker.tick()
    stop.wait()
    scheduler.shutdown(wait=True)
    with at.shell.database.connection() as connection:
        clock_store.give_up_lease(connection, "clock", ticker.holder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
