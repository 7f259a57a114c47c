"""Every measurement by its name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from engine.bench import (
    collector,
    deliver,
    drain,
    end_to_end,
    latency,
    memory,
    simulate,
    stop,
    timers,
)
from engine.bench.report import Figure
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage

Measure = Callable[[Stage, Sizes, Tell], list[Figure]]

MEASUREMENTS: dict[str, Measure] = {
    "singles": collector.singles,
    "batches": collector.batches,
    "drain": drain.measure,
    "end-to-end": end_to_end.measure,
    "latency": latency.measure,
    "timers": timers.measure,
    "deliver": deliver.measure,
    "stop": stop.measure,
    "simulate": simulate.measure,
    "memory": memory.measure,
}


def run(names: Iterable[str], sizes: Sizes, tell: Tell) -> Iterator[tuple[str, list[Figure]]]:
    """Run them one after another, on services of their own that are gone afterwards."""
    with Stage() as stage:
        for name in names:
            yield name, MEASUREMENTS[name](stage, sizes, tell)
