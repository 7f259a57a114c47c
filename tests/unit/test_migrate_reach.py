"""How many messages a run can send within a time, at the very most."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.core.reach import Reach
from engine.language import load_journey
from engine.model.journey import Journey

DAY = timedelta(days=1)
MAIL = "{send: email, template: x}"


def journey(steps: str, name: str = "cart") -> Journey:
    found, wrong = load_journey(
        f"journey: {name}\ntrigger: {{event: Product Added}}\nstop: {{event: Order Completed}}\n"
        f"steps: [{steps}]",
        name,
    )
    assert found is not None, wrong
    return found


@pytest.mark.parametrize(
    ("steps", "most"),
    [
        (MAIL, 1),
        (f"{MAIL}, {{wait: 23 hours}}, {MAIL}, {{wait: 2 hours}}, {MAIL}", 2),
        (f"{{wait: 1 day}}, {MAIL}", 1),  # at its very end
        (f"{{wait: 1 day 1 minute}}, {MAIL}", 0),
        (f"{{split: {{50% a: [{MAIL}, {MAIL}], 50% b: []}}}}, {MAIL}", 3),
        (f"{{branch: [{{if: profile.vip, steps: [{MAIL}]}}]}}, {MAIL}", 2),
        # The event may come at once, or never.
        (f"{{wait for: {{event: X, at most: 2 days}}, then: [{MAIL}]}}, {MAIL}", 2),
        (f"{{wait for: {{event: X, at most: 1 hour}}, else: [{MAIL}, {MAIL}]}}", 2),
        (f"{{wait: {{until: '10:00'}}}}, {MAIL}", 1),
        (f"{MAIL}, {{exit: done}}", 1),
    ],
)
def test_from_the_start(steps: str, most: int) -> None:
    assert Reach(journey(steps)).from_start(DAY) == most


def test_from_where_a_run_waits() -> None:
    reach = Reach(journey(f"{{wait: 3 days}}, {MAIL}, {{wait: 20 hours}}, {MAIL}"))
    assert reach.from_wait("steps/0", timedelta(days=2), DAY) == 0
    assert reach.from_wait("steps/0", timedelta(hours=5), DAY) == 1
    assert reach.from_wait("steps/0", timedelta(hours=4), DAY) == 2
    assert reach.from_wait("steps/0", timedelta(hours=-9), DAY) == 2  # due already
    assert reach.from_wait("steps/2", timedelta(0), DAY) == 1


def test_from_where_a_run_waits_for_an_event() -> None:
    steps = f"{{wait for: {{event: X, at most: 9 days}}, then: [{MAIL}], else: [{MAIL}, {MAIL}]}}"
    reach = Reach(journey(steps))
    assert reach.from_wait("steps/0", timedelta(days=8), DAY) == 1
    assert reach.from_wait("steps/0", timedelta(hours=8), DAY) == 2


def test_a_jump_counts_what_lies_behind_it_and_a_circle_ends() -> None:
    one = journey(f"{MAIL}, {{jump: two}}", "one")
    two = journey(f"{MAIL}, {MAIL}, {{jump: one}}", "two")
    assert Reach(one, {"one": one, "two": two}).from_start(DAY) == 3
    assert Reach(one).from_start(DAY) == 1


def test_many_branches_in_a_row_take_no_time() -> None:
    """2 to the 60th ways."""
    arms = f"{{split: {{50% a: [{{wait: 1 minute}}, {MAIL}], 50% b: []}}}}"
    assert Reach(journey(", ".join([arms] * 60))).from_start(DAY) == 60
