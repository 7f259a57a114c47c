"""Every measurement by its name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from engine.bench import (
    callbacks,
    collector,
    deliver,
    drain,
    end_to_end,
    latency,
    lint,
    memory,
    reload,
    render,
    segments,
    simulate,
    stop,
    timers,
)
from engine.bench.report import Figure
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError

#: Lines of the processes that are shown when a measurement fails.
_LINES = 20

Measure = Callable[[Stage, Sizes, Tell], list[Figure]]

MEASUREMENTS: dict[str, Measure] = {
    "singles": collector.singles,
    "batches": collector.batches,
    "drain": drain.measure,
    "end-to-end": end_to_end.measure,
    "latency": latency.measure,
    "timers": timers.measure,
    "render": render.measure,
    "reload": reload.measure,
    "deliver": deliver.measure,
    "callbacks": callbacks.measure,
    "stop": stop.measure,
    "lint": lint.measure,
    "segments": segments.measure,
    "simulate": simulate.measure,
    "memory": memory.measure,
}


def run(
    names: Iterable[str], sizes: Sizes, tell: Tell, failed: list[str]
) -> Iterator[list[Figure]]:
    """Run them one after another, on services of their own that are gone afterwards.

    One that cannot be measured gives no figures, puts its reason into ``failed`` with what the
    processes said last, and the others go on.
    """
    with Stage() as stage:
        for name in names:
            stage.said.clear()
            try:
                yield MEASUREMENTS[name](stage, sizes, tell)
            except WinbackError as error:
                failed.append("\n".join([f"{name}: {error}", *list(stage.said)[-_LINES:]]))
                yield []
