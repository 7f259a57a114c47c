"""The backtest: recorded events a second, in memory."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.bench import recipe, shop
from engine.bench.report import Figure, middle
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError
from engine.intake.excerpt import Excerpt
from engine.intake.recordings import Ordered
from engine.language import load_journey, load_journeys, load_policy
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.runtime.backtest import Backtest
from engine.runtime.looks import looks_of

#: Real orders, where this project's checks keep them.
REAL = Path(__file__).parents[3] / "shared/data/online_retail_uci/orders.segment.jsonl.gz"
_UNTIL = timedelta(days=60)
_ORDERS = """\
journey: win-back
trigger:
  event: Order Completed
  again: always
stop:
  - event: Order Completed
    goal: true
steps:
  - wait: 30 days
  - send: email
    template: bench
    topic: offers
"""


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """A recording read from its file and run, and the running alone."""
    figures = []
    folder = shop.write(stage.home / "shop", shop.twenty())
    journeys = load_journeys(folder / "journeys").journeys.values()
    policy, _ = load_policy(folder / "config" / "winback.yaml")
    made = stage.home / "recording.jsonl"
    tell(f"simulate, writing {sizes.simulated:,} events")
    _write(made, sizes.simulated)
    figures += _figures("20 journeys", made, list(journeys), policy, sizes.rounds, tell)
    figures.append(_memory(folder, made, sizes.simulated, tell))
    if REAL.exists():
        journey, _ = load_journey(_ORDERS, "win-back")
        assert journey is not None
        figures += _figures("real orders", REAL, [journey], policy, sizes.rounds, tell)
    return figures


def _figures(
    name: str, file: Path, journeys: list[Journey], policy: Policy, rounds: int, tell: Tell
) -> list[Figure]:
    """``running`` is fed from memory; ``reading`` is the whole of `winback simulate`: the file is
    looked through for its order, read, and run."""
    reading, running = [], []
    recorded = list(_events(file, journeys))
    for turn in range(rounds):
        tell(f"simulate, {name}, round {turn + 1}")
        began = time.perf_counter()
        Backtest(journeys, policy, bare=True).run(_events(file, journeys), _UNTIL)
        between = time.perf_counter()
        [side] = Backtest(journeys, policy, bare=True).run(recorded, _UNTIL)
        ended = time.perf_counter()
        reading.append(len(recorded) / (between - began))
        running.append(len(recorded) / (ended - between))
    messages = sum(tally.messages for tally in side.tallies.values())
    note = f"{len(recorded):,} events, {messages:,} messages"
    return [
        Figure(
            f"simulate, {name}", middle(running), "events/s", at_least=50_000, note=f"{note}, bare"
        ),
        Figure(f"simulate, {name}, with reading the file", middle(reading), "events/s"),
    ]


def _memory(folder: Path, recording: Path, events: int, tell: Tell) -> Figure:
    """What ten times the shoppers take beside what the program takes by itself."""
    few = recording.with_name("few.jsonl")
    tell("simulate, memory")
    _write(few, events // 10)
    more = _peak(folder, recording) - _peak(folder, few)
    shoppers = events // 10 - events // 100
    note = f"{events:,} events of {events // 10:,} shoppers, less a tenth of that"
    return Figure(
        "simulate, memory a shopper", max(0, more) / shoppers, "KB", at_most=2.5, note=note
    )


def _peak(folder: Path, recording: Path) -> int:
    """Most memory of a process that simulates the recording, in KB."""
    command = [sys.executable, "-m", "engine.bench.simulate", str(folder), str(recording)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise WinbackError(f"the simulation failed: {done.stderr[-400:]}")
    return int(done.stdout)


def main() -> None:
    """The other process: prints its peak."""
    folder, recording = map(Path, sys.argv[1:])
    policy, _ = load_policy(folder / "config" / "winback.yaml")
    journeys = list(load_journeys(folder / "journeys").journeys.values())
    Backtest(journeys, policy, bare=True).run(_events(recording, journeys), _UNTIL)
    status = Path("/proc/self/status")
    if status.exists():  # what ``getrusage`` tells counts in the process that started this one
        print(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0])
    else:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _events(file: Path, journeys: list[Journey]) -> Iterator[Event]:
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as scratch:
        ordered = Ordered(Path(scratch), now)
        ordered.add(file)
        yield from ordered.events(Excerpt(looks_of(journeys), now, "US"))


def _write(file: Path, count: int) -> None:
    """A recording of two months: shoppers come some ten times, one event in ten is an order."""
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    step = timedelta(days=60) / count
    with file.open("w") as out:
        for number in range(count):
            shopper = number * 7919 % max(1, count // 10)
            make = recipe.order if number % 10 == 9 else recipe.view
            event = make(number, shopper, "rec") | {
                "timestamp": (begin + number * step).isoformat()
            }
            out.write(json.dumps(event) + "\n")


if __name__ == "__main__":
    main()
