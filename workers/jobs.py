"""The jobs. Each holds ids only, and works until its source is dry or its time is up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from engine import bootstrap
from engine.runtime.calendar import calendars_due, to_do
from engine.runtime.deliver import Deliverer
from engine.runtime.drain import drain as drain_lane
from engine.runtime.shell import SHARDS, Shell
from engine.runtime.sync import SyncReport
from engine.runtime.wake import wake as wake_due
from engine.settings import Settings
from engine.store import lanes as lanes_store
from engine.store import messages as messages_store
from workers.queues import WorkQueue, connect

log = logging.getLogger("winback.jobs")

#: Seconds a job goes on before it lets others have the worker.
PATIENCE = 3.0


@dataclass(slots=True)
class Bench:
    """What a worker process works with, made once."""

    settings: Settings
    shell: Shell
    deliverer: Deliverer
    queue: WorkQueue
    sync: Callable[[], SyncReport]
    held_back: bool = False


@lru_cache(maxsize=1)
def bench() -> Bench:
    settings = Settings.from_environment()
    shell = bootstrap.shell(settings)
    if not settings.redis_url:
        raise SystemExit("REDIS_URL is not set: start everything with `winback up`.")
    return Bench(
        settings,
        shell,
        Deliverer(shell),
        WorkQueue(connect(settings.redis_url)),
        bootstrap.audience_sync(settings, shell),
    )


def drain(lane: int) -> None:
    """Drain a lane, then go straight on to deliver what that made due: one hop for a mail that
    is due at once."""
    at = bench()
    deadline = time.monotonic() + PATIENCE
    due = 0
    while time.monotonic() < deadline:
        done = drain_lane(at.shell, lane)
        if not done.taken:
            break
        due += done.due
        if done.emitted:
            _hint_drains(at)
        if done.due:
            _deliver_now(at)
    if due:
        _deliver_now(at)


def wake() -> None:
    """Wake the runs whose timers have run out, and deliver what that made due."""
    at = bench()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done = wake_due(at.shell)
        if done.emitted:
            _hint_drains(at)
        if done.due:
            _hint_deliveries(at)
        if not done.woken:
            break


def deliver(shard: int) -> None:
    """Deliver what is due in a shard."""
    at = bench()
    done = at.deliverer.deliver(shard, seconds=PATIENCE)
    # All of it held back by the gate: looking at once again would find the same.
    at.held_back = bool(done.seen) and not done.claimed


def sync() -> None:
    """Write the audience files that have changed."""
    report = bench().sync()
    for problem in report.problems:
        log.warning(problem)


def calendars() -> None:
    """Put into the inbox who has reached a calendar; those left to search are for the next job."""
    at = bench()
    if calendars_due(at.shell, PATIENCE).put:
        _hint_drains(at)


def look_again(name: str) -> None:
    """After a job has let go of its name: work that came while it ended, and whose hint was
    refused because the name was still taken, gets a new job."""
    at = bench()
    kind, _, number = name.partition("-")
    if kind == "calendars" and to_do(at.shell):
        at.queue.calendars()
    if kind not in ("drain", "deliver") or (kind == "deliver" and at.held_back):
        return
    with at.shell.database.connection() as connection:
        now = at.shell.clock.now()
        if kind == "drain" and int(number) in lanes_store.with_work(connection):
            at.queue.drain(int(number))
        if kind == "deliver" and int(number) in messages_store.due_shards(connection, now, SHARDS):
            at.queue.deliver(int(number))


def _deliver_now(at: Bench) -> None:
    with at.shell.database.connection() as connection:
        shards = messages_store.due_shards(connection, at.shell.clock.now(), SHARDS)
    for shard in shards[1:]:
        at.queue.deliver(shard)
    if shards:
        at.deliverer.deliver(shards[0], seconds=PATIENCE)


def _hint_drains(at: Bench) -> None:
    with at.shell.database.connection() as connection:
        lanes = lanes_store.with_work(connection)
    for lane in lanes:
        at.queue.drain(lane)


def _hint_deliveries(at: Bench) -> None:
    with at.shell.database.connection() as connection:
        shards = messages_store.due_shards(connection, at.shell.clock.now(), SHARDS)
    for shard in shards:
        at.queue.deliver(shard)
