"""The jobs. Each holds ids only, and works until its source is dry or its time is up."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from engine import bootstrap
from engine.intake.lanes import LANES
from engine.runtime.calendar import calendars_due, to_do
from engine.runtime.deliver import THREADS, Deliverer
from engine.runtime.drain import drain as drain_lane
from engine.runtime.look_up import look_up
from engine.runtime.push import Pusher
from engine.runtime.reconcile import reconcile as reconcile_lists
from engine.runtime.retention import forget as forget_old
from engine.runtime.segments import search as segment_search
from engine.runtime.segments.look import look as look_at_segments
from engine.runtime.shell import SHARDS, Shell
from engine.runtime.sync import SyncReport
from engine.runtime.wake import wake as wake_due
from engine.runtime.watch import watch as watch_rates
from engine.settings import Settings
from engine.store import lanes as lanes_store
from engine.store import messages as messages_store
from workers.queues import WorkQueue, connect

log = logging.getLogger("winback.jobs")

#: Seconds a job goes on before it lets others have the worker.
PATIENCE = 3.0
#: Seconds that it then waits for the providers' last answers. They have fifteen.
HURRY = 1.0

#: Of more than so many events a worker leaves to others what is not in so many lanes.
MUCH, SHARE = 250, 4


@dataclass(slots=True)
class Bench:
    """What a worker process works with, made once."""

    settings: Settings
    shell: Shell
    deliverer: Deliverer
    queue: WorkQueue
    sync: Callable[[], SyncReport]
    pusher: Pusher
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
        Deliverer(shell, hurry=HURRY),
        WorkQueue(connect(settings.redis_url)),
        bootstrap.audience_sync(settings, shell),
        bootstrap.pusher(settings, shell),
    )


def drain(lane: int) -> None:
    """Drain all lanes that have work, this one first, and go straight on to deliver what that
    made due: one job and one transaction for what came in on many lanes, one hop for a mail that
    is due at once."""
    at = bench()
    deadline = time.monotonic() + PATIENCE
    lanes = LANES
    held: list[tuple[int, str]] = []
    while time.monotonic() < deadline:
        done = drain_lane(at.shell, lane, lanes=lanes)
        if not done.taken:
            break  # dry, or in the hands of others, who look for more when they are done
        if done.emitted:
            _hint_drains(at)
        gone = _let_go(at)
        held += _deliver_fresh(at, done.fresh)
        if gone:
            break  # that goes first, if need be on this worker; then it looks again
        # As long as there is little, one worker takes all there is; of much, each takes a part.
        lanes = SHARE if done.taken > MUCH else LANES
    _share_out(at, held)


def wake() -> None:
    """Wake the runs whose timers have run out, and deliver what that made due."""
    at = bench()
    deadline = time.monotonic() + PATIENCE
    held: list[tuple[int, str]] = []
    while time.monotonic() < deadline:
        done = wake_due(at.shell)
        if done.emitted:
            _hint_drains(at)
        if done.woken:
            _let_go(at)
        held += _deliver_fresh(at, done.fresh)
        if not done.woken:
            break
    _share_out(at, held)


def deliver(shard: int) -> None:
    """Deliver what is due in a shard."""
    at = bench()
    done = at.deliverer.deliver(shard, seconds=PATIENCE)
    # Held back by the gate, or nobody may carry it: looking at once again would find the same.
    at.held_back = done.waiting or (bool(done.seen) and not done.claimed)


def sync() -> None:
    """Write the audience files that have changed."""
    report = bench().sync()
    for problem in report.problems:
        log.warning(problem)


def push() -> None:
    """Bring the lists at the ad platforms up to date: who has bought comes off first."""
    _push(additions=True)


def let_go() -> None:
    """Take those off the lists who have lost their places, and hear what the platforms have done
    of that: short, for it goes before all else."""
    _push(additions=False)


def _push(*, additions: bool) -> None:
    at = bench()
    turns = at.pusher.push(PATIENCE, additions=additions)
    # Whoever has the list lets go of those before its next batch; asking again would not hurry it.
    # Nor where a platform cannot be reached at all: then the clock asks again.
    at.held_back = any(done.busy or done.problem for done in turns)
    for done in turns:
        if done.problem:
            log.warning("audience %s: %s", done.audience, done.problem)


def reconcile() -> None:
    """Hold the lists at the ad platforms against what is wanted, once a day."""
    for found in reconcile_lists(bench().pusher):
        if found.mended or found.note:
            log.warning("audience %s: %s", found.audience, found)


def watch() -> None:
    """Count the providers' reports, pause what goes too far, and look up what nobody knows of."""
    at = bench()
    watch_rates(at.shell)
    done = look_up(at.shell, PATIENCE)
    if done.asked or done.closed:
        log.info("looked up %d messages of unknown outcome: %s", done.asked, done)


def forget() -> None:
    """Delete what the shop's rules let go of; what is left is for the next job."""
    gone = forget_old(bench().shell, PATIENCE)
    if gone:
        log.info("forgot %s", ", ".join(f"{n:,} {kind}" for kind, n in gone.items()))


def calendars() -> None:
    """Put into the inbox who has reached a calendar; those left to search are for the next job."""
    at = bench()
    if calendars_due(at.shell, PATIENCE).put:
        _hint_drains(at)


def look() -> None:
    """Look at shoppers whom time alone may have put into a segment or out of it."""
    at = bench()
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done = look_at_segments(at.shell)
        if done.emitted:
            _hint_drains(at)
        if not done.looked:
            break
        _let_go(at)


def segments() -> None:
    """Go on with the search through all shoppers for segments whose definition is new."""
    at = bench()
    if segment_search.work(at.shell, PATIENCE).emitted:
        _hint_drains(at)


def look_again(name: str) -> None:
    """After a job has let go of its name: work that came while it ended, and whose hint was
    refused because the name was still taken, gets a new job."""
    at = bench()
    kind, _, number = name.partition("-")
    if kind == "calendars" and to_do(at.shell):
        at.queue.calendars()
    if kind in ("push", "removals") and not at.held_back:
        _let_go(at)
    if kind not in ("drain", "deliver") or (kind == "deliver" and at.held_back):
        return
    with at.shell.database.probing() as connection:
        now = at.shell.clock.now()
        if kind == "drain" and (lanes := lanes_store.with_free_work(connection)):
            at.queue.drain(int(number) if int(number) in lanes else lanes[0])
        if kind == "deliver" and int(number) in messages_store.due_shards(connection, now, SHARDS):
            at.queue.deliver(int(number))


def _let_go(at: Bench) -> bool:
    """Whoever has just lost a place on a list comes off before anything else is done (P3); whether
    there is somebody."""
    found = at.pusher.letting_go()
    if found:
        at.queue.let_go()
    return found


def _hint_drains(at: Bench) -> None:
    with at.shell.database.probing() as connection:
        lanes = lanes_store.with_work(connection)
    for lane in lanes:
        at.queue.drain(lane)


def _deliver_fresh(at: Bench, fresh: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Deliver what has just become due, if it is little; of much every worker delivers some, for
    the next events and timers must not wait for it. Gives what the gate held back: the shopper's
    own emitted event may lie in the inbox."""
    if len(fresh) > THREADS:
        _share_out(at, fresh)
        return []
    done = at.deliverer.deliver_fresh(fresh)
    return fresh if done.claimed + done.failed < done.seen else []


def _share_out(at: Bench, fresh: list[tuple[int, str]]) -> None:
    """Have every worker deliver some of these messages (profile, id)."""
    for shard in {profile % SHARDS for profile, _ in fresh}:
        at.queue.deliver(shard)
