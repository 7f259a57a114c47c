"""The demo's clock, and the company that a person has in the shop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from engine.cli._company import OPENING, company
from engine.cli._stage import START_SECONDS, fast_clock
from engine.clock import from_environment


@pytest.mark.parametrize("hour", [0, 3, 8, 13, 23])
@pytest.mark.parametrize("speed", [2.0, 600.0, 7200.0])
def test_the_doors_open_in_the_morning(hour: int, speed: float) -> None:
    now = datetime(2026, 11, 24, hour, 59, 57, tzinfo=UTC)
    clock = from_environment(fast_clock(now, speed))
    with time_machine.travel(now + timedelta(seconds=START_SECONDS), tick=False):
        opened = clock.now()
    assert abs(opened - opened.replace(hour=8, minute=0, second=0)) < timedelta(seconds=30)
    assert timedelta(0) < opened - now <= timedelta(days=1, seconds=30)
    assert clock.speed == speed


def test_no_speed_is_the_real_clock() -> None:
    assert fast_clock(datetime.now(UTC), 1) == ""


def test_the_first_to_come_fill_a_cart_and_no_two_are_the_same() -> None:
    first, second = company(0, "http://shop.test"), company(1, "http://shop.test")
    assert tuple(each.plot for each in first[: len(OPENING)]) == OPENING
    assert all(each.enters == timedelta(0) for each in first[: len(OPENING)])
    everyone = [each.email for each in (*first, *second)]
    assert len(everyone) == len(set(everyone))
    seen = [
        act.message["properties"]["url"]
        for each in first
        for act in each.acts
        if act.message.get("event") == "Product Viewed"
    ]
    assert seen and all(url.startswith("http://shop.test/shop/products/") for url in seen)
