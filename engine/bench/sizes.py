"""How much is measured: little, to see that all of it works, or enough to judge by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Called with what is being done now, for the progress bar.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts of events, profiles, messages; seconds where it says so.

    ``rounds``  times that a throughput is measured, in turn with its limit; the median stands.
    """

    rounds: int
    singles: int
    batches: int
    drained: int
    profiles: tuple[int, int]
    mails: int
    latency: tuple[tuple[int, int], ...]  # (events a second, events)
    waiting: int
    timers: int
    timer_seconds: int
    delivered: int
    stopped: int
    simulated: int
    remembered: tuple[int, ...]
    linted: int
    reloads: int  # one a second, after as many seconds without
    reload_waiting: int
    segments: int = 50
    segmented: int = 1_000
    segment_rate: int = 500
    segment_events: int = 500


SCALES = {
    "small": Sizes(
        rounds=1,
        singles=2_000,
        batches=50,
        drained=1_000,
        profiles=(1_000, 5_000),
        mails=200,
        latency=((20, 40), (200, 200)),
        waiting=5_000,
        timers=200,
        timer_seconds=2,
        delivered=200,
        stopped=200,
        simulated=5_000,
        remembered=(2_000,),
        linted=50,
        reloads=4,
        reload_waiting=2_000,
    ),
    "full": Sizes(
        rounds=3,
        singles=30_000,
        batches=1_000,
        drained=20_000,
        profiles=(10_000, 1_000_000),
        mails=10_000,
        latency=((20, 600), (200, 4_000)),
        waiting=1_000_000,
        timers=10_000,
        timer_seconds=20,
        delivered=5_000,
        stopped=6_000,
        simulated=200_000,
        remembered=(100_000, 1_000_000),
        linted=500,
        reloads=20,
        reload_waiting=50_000,
        segmented=1_000_000,
        segment_events=10_000,
    ),
}
