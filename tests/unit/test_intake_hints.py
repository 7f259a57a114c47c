"""Hints to the queue: at once, not too often, never lost."""

from __future__ import annotations

import itertools
import logging
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.intake.hints import LaneHints, Throttle


def test_the_first_is_told_at_once_and_the_rest_once_at_the_end() -> None:
    throttle = Throttle(0.05)
    throttle.offer({3})
    assert throttle.take(100.0) == (3, None)
    for moment in (100.01, 100.02, 100.03):
        throttle.offer({3})
        lane, wait = throttle.take(moment)
        assert lane is None
        assert wait == pytest.approx(100.05 - moment)
    assert throttle.take(100.051) == (3, None)
    assert throttle.take(100.2) == (None, None)


def test_one_lane_stands_for_all_and_each_has_its_turn() -> None:
    throttle, told = Throttle(0.05), []
    for turn in range(6):
        throttle.offer({1, 2, 3})
        told.append(throttle.take(turn * 0.05 + 0.001 * turn)[0])
    assert told == [1, 2, 3, 1, 2, 3]


def test_only_the_first_of_many_wakes_whoever_tells() -> None:
    throttle = Throttle(0.05)
    assert throttle.offer({1})
    assert not throttle.offer({2})
    assert not throttle.offer({1})
    throttle.take(0.0)
    assert throttle.offer({2})
    assert not Throttle(0.05).offer(set())


@given(
    st.lists(st.tuples(st.floats(0.001, 0.2), st.sets(st.integers(0, 15))), max_size=50),
    st.floats(0.01, 0.1),
)
def test_nothing_is_lost_and_nothing_is_told_too_often(
    steps: list[tuple[float, set[int]]], interval: float
) -> None:
    throttle, now = Throttle(interval), 0.0
    told: list[float] = []
    owed = float("-inf")
    for gap, lanes in steps:
        now += gap
        throttle.offer(lanes)
        owed = now if lanes else owed
        lane, _ = throttle.take(now)
        if lane is not None:
            told.append(now)
    while (wait := throttle.take(now)[1]) is not None:
        now += wait + 1e-9
        if throttle.take(now)[0] is not None:
            told.append(now)
    assert (told[-1] if told else float("-inf")) >= owed
    assert all(b - a >= interval - 1e-6 for a, b in itertools.pairwise(told))


def test_the_caller_never_waits_for_the_queue() -> None:
    started, go = threading.Event(), threading.Event()
    told: list[int] = []

    def enqueue(lane: int) -> None:
        started.set()
        assert go.wait(10)
        told.append(lane)

    hints = LaneHints(enqueue, interval=0.001)
    hints({1})
    assert started.wait(10)
    hints({1})  # while the queue stands still
    hints({1, 2})
    go.set()
    hints.close()
    assert told == [1, 2]


def test_a_dead_queue_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    tried = threading.Semaphore(0)

    def enqueue(lane: int) -> None:
        tried.release()
        raise ConnectionError("Redis is away")

    hints = LaneHints(enqueue, interval=0.0)
    with caplog.at_level(logging.WARNING):
        for lane in range(3):
            hints({lane})
            assert tried.acquire(timeout=10)
        hints.close()
    assert [record.message for record in caplog.records] == [
        "hints: the queue does not answer, the clock will do: Redis is away"
    ]
