"""Lint: five hundred journeys, from the command to its answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil

from engine.bench import shop
from engine.bench.report import Figure, middle, number
from engine.bench.sizes import Sizes, Tell
from engine.bench.stage import Stage
from engine.errors import WinbackError

#: As long as those that are shipped, and with as many kinds of steps.
_JOURNEY = """\
# They looked at it and left. Write to them, once by mail and once by phone, until they buy.
journey: {name}
title: Bring back shoppers who looked at a product and left
owner: bench@shop.example
trigger:
  event: Product Viewed
  if: event.price >= {price} and not bought(event.product_id, within="90 days")
  key: event.product_id
  again: after 30 days
stop:
  - event: Order Completed
    if: key in event.product_ids
    goal: true
  - event: Order Completed
holdout: 10%
steps:
  - wait: 2 hours
  - send: email
    name: reminder
    template: bench
    topic: offers
    if overdue: skip after 12 hours
  - wait for: {{event: Product Viewed, if: event.product_id == key, at most: 1 day}}
    then:
      - exit: came back
  - branch:
      - if: profile.lifetime_value >= 500 and profile.email
        steps:
          - offer: {{coupon: generate WB, percent: 10, valid: 3 days}}
          - send: email
            template: bench
      - else:
          - split:
              50% friendly:
                - send: email
                  template: bench
              50% nothing: []
  - audience: {{add: google/left-behind}}
  - wait: 14 days
  - audience: {{remove: google/left-behind}}
"""


def measure(stage: Stage, sizes: Sizes, tell: Tell) -> list[Figure]:
    """The whole command, in a process of its own."""
    names = [f"left-{number}" for number in range(sizes.linted)]
    texts = {name: _JOURNEY.format(name=name, price=10 + n) for n, name in enumerate(names)}
    folder = shop.write(stage.home / "lint", texts)
    command = [sys.executable, "-m", "engine.cli.main", "--project-dir", str(folder)]
    took, worked = [], []
    for turn in range(sizes.rounds):
        tell(f"lint of {sizes.linted} journeys, round {turn + 1}")
        began, before = time.perf_counter(), _processor_seconds()
        done = subprocess.run([*command, "lint", "--json"], capture_output=True, text=True)
        took.append(time.perf_counter() - began)
        worked.append(_processor_seconds() - before)
        if done.returncode not in (0, 1) or json.loads(done.stdout)["files"] != sizes.linted:
            raise WinbackError(f"lint failed: {(done.stderr or done.stdout)[:400]}")
    what = f"lint of {number(sizes.linted)} journeys"
    lines = _JOURNEY.count("\n")
    return [
        Figure(what, middle(took), "s", at_most=2, note=f"{lines} lines each, one template"),
        Figure(f"{what}, processor time", middle(worked), "s"),
    ]


def _processor_seconds() -> float:
    """What the processes that we started and that have ended took."""
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)
