"""The backtest: recorded events a second, in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.bench import recipe, shop
from engine.bench.report import Figure, middle
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.intake import recordings
from engine.language import load_journey, load_journeys, load_policy
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.runtime.memory import look_for_cycles_seldom
from engine.runtime.simulate import Simulation

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
    look_for_cycles_seldom()  # as the command does
    figures = []
    folder = shop.write(stage.home / "shop", shop.twenty())
    journeys = load_journeys(folder / "journeys").journeys.values()
    policy, _ = load_policy(folder / "config" / "winback.yaml")
    made = stage.home / "recording.jsonl"
    tell(f"simulate, writing {sizes.simulated:,} events")
    _write(made, sizes.simulated)
    figures += _figures("20 journeys", made, list(journeys), policy, sizes.rounds, tell)
    if REAL.exists():
        journey, _ = load_journey(_ORDERS, "win-back")
        assert journey is not None
        figures += _figures("real orders", REAL, [journey], policy, sizes.rounds, tell)
    return figures


def _figures(
    name: str, file: Path, journeys: list[Journey], policy: Policy, rounds: int, tell: Tell
) -> list[Figure]:
    reading, running = [], []
    for turn in range(rounds):
        tell(f"simulate, {name}, round {turn + 1}")
        began = time.perf_counter()
        recorded = list(recordings.events([file], datetime.now(UTC), "US", []))
        recorded.sort(key=lambda event: event.order_key)
        between = time.perf_counter()
        messages = _run(recorded, journeys, policy)
        ended = time.perf_counter()
        reading.append(len(recorded) / (ended - began))
        running.append(len(recorded) / (ended - between))
    note = f"{len(recorded):,} events, {messages:,} messages"
    return [
        Figure(
            f"simulate, {name}", middle(running), "events/s", at_least=50_000, note=f"{note}, bare"
        ),
        Figure(f"simulate, {name}, with reading the file", middle(reading), "events/s"),
    ]


def _run(recorded: Iterable[Event], journeys: Iterable[Journey], policy: Policy) -> int:
    simulation = Simulation(journeys, policy, bare=True)
    for event in recorded:
        simulation.feed(event)
    return sum(tally.messages for tally in simulation.finish(_UNTIL).values())


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
