"""The bench runs: every measurement, tiny, on real services. How fast it was decides nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine.bench.measurements import MEASUREMENTS
from engine.bench.report import Figure, notes, percentile, table
from engine.bench.sizes import Sizes
from engine.bench.stage import Stage

ROOT = Path(__file__).resolve().parents[2]

TINY = Sizes(
    rounds=1,
    singles=100,
    batches=3,
    drained=60,
    profiles=(50, 100),
    mails=20,
    latency=((20, 5),),
    waiting=100,
    timers=10,
    timer_seconds=1,
    delivered=20,
    stopped=20,
    simulated=200,
    remembered=(200,),
    linted=5,
    reloads=2,
    reload_waiting=50,
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as made:
        yield made
    assert not made.home.exists()


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_each_measurement_gives_figures(stage: Stage, name: str) -> None:
    told: list[str] = []
    figures = MEASUREMENTS[name](stage, TINY, told.append)
    assert told and figures
    for figure in figures:
        assert figure.ours >= 0 and figure.unit
        assert figure.limit is None or (figure.limit > 0 and figure.limit_is)
        assert json.loads(json.dumps(figure.to_json()))["what"] == figure.what
    if name == "stop":  # the one figure that is a promise, whatever the machine (P3)
        assert figures[0].ours == 0 and figures[0].met


def test_the_command_prints_json_and_leaves_nothing_running() -> None:
    before = set(psutil.pids())
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", "bench", "batches", "--scale", "small", "--json"],
        cwd=ROOT,
        env=os.environ.copy(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (figure,) = json.loads(done.stdout)["figures"]
    assert figure["unit"] == "events/s" and figure["ours"] > 0 and figure["limit"] > 0
    left = [p for p in set(psutil.pids()) - before if _of_a_bench(p)]
    assert left == []


def _of_a_bench(pid: int) -> bool:
    try:
        return "winback-bench-" in " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


def test_an_unknown_name_is_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", "bench", "everything-at-once"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "end-to-end" in done.stderr


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (Figure("a", 10, "x"), None),
        (Figure("a", 10, "x", at_least=10), True),
        (Figure("a", 9, "x", at_least=10), False),
        (Figure("a", 11, "x", at_most=10), False),
        (Figure("a", 10, "x", 20, "l", at_least=10, ratio=0.5), True),
        (Figure("a", 10, "x", 21, "l", at_least=10, ratio=0.5), False),
        (Figure("a", 0, "messages", at_most=0), True),
    ],
)
def test_a_budget_is_kept_when_all_of_it_is(figure: Figure, met: bool | None) -> None:
    assert figure.met is met


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([7.0], 0.99) == 7
    with pytest.raises(ValueError, match="no percentile"):
        percentile([], 0.5)


def test_the_table_has_a_row_for_each_figure_and_notes_beneath() -> None:
    figures = [
        Figure("one", 1234.5, "events/s", 2000, "an empty route", at_least=1000, ratio=0.5),
        Figure("two", 3.25, "ms", note="by night"),
    ]
    assert table(figures).row_count == 2
    assert notes(figures) == ["one: limit is an empty route", "two: by night"]
    assert figures[0].budget == "≥ 1,000, ≥ 0.5 ×" and figures[1].budget == ""
