"""Calls that take long: the worker goes on, and how they went is written down all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.model.message import Rendered
from engine.runtime.deliver import Deliverer
from engine.store import outcomes as outcomes_store
from engine.store.database import Connection, Unavailable
from tests.integration.runtime_kit import HOLD, Make, Pipeline, deliveries, silent
from tests.unit.core.build import view

JOURNEY = HOLD
#: Far longer than the patience of the workers here, far shorter than that of the tests.
LONG = 20.0


class Hanging:
    """Hangs for the addresses in ``slow`` until it is let go, and then does not say."""

    def __init__(self, *slow: str) -> None:
        self.slow = set(slow)
        self.go = threading.Event()

    def __call__(self, rendered: Rendered) -> str | Exception:
        if rendered.to not in self.slow:
            return "taken"
        assert self.go.wait(LONG)
        return silent(rendered)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    provider = Hanging("0@x.de")
    yield provider
    provider.go.set()


@pytest.fixture
def shop(make: Make, hanging: Hanging) -> Pipeline:
    shop = make()
    shop.email.answer = hanging
    return shop


@pytest.fixture
def worker(shop: Pipeline, hanging: Hanging) -> Iterator[Deliverer]:
    deliverer = Deliverer(shop.shell, threads=4, hurry=0.05)
    yield deliverer
    hanging.go.set()
    for thread in threading.enumerate():
        if thread.name == "late calls":
            thread.join(LONG)
    deliverer.close()


def come(shop: Pipeline, *numbers: int) -> None:
    shop.drain(*(view(who=(f"email:{n}@x.de",), id=f"view {n}") for n in numbers))


def deliver(worker: Deliverer) -> float:
    """Seconds that a round through all shards took."""
    began = time.monotonic()
    for shard in range(4):
        worker.deliver(shard, seconds=0.5)
    return time.monotonic() - began


def statuses(shop: Pipeline) -> dict[str, int]:
    return dict(shop.rows("select status, count(*)::int from message group by 1"))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_hangs_does_not_hold_up_the_worker(
    shop: Pipeline, worker: Deliverer, hanging: Hanging
) -> None:
    come(shop, 0, 1, 2)
    assert deliver(worker) < LONG / 2
    assert statuses(shop) == {"claimed": 1, "sent": 2}
    come(shop, 3, 4, 5, 6, 7, 8)
    deliver(worker)
    assert statuses(shop) == {"claimed": 1, "sent": 8}
    hanging.go.set()
    # It is written down though nobody delivers any more.
    until(lambda: statuses(shop) == {"unknown": 1, "sent": 8})
    assert sorted(o or "" for _, o in deliveries(shop)) == ["accepted"] * 8 + ["unknown"]
    assert len(shop.email.handed) == 9


def test_nor_what_has_just_become_due(shop: Pipeline, worker: Deliverer, hanging: Hanging) -> None:
    come(shop, 0)
    ((profile, id),) = shop.rows("select profile_id, id::text from message")
    began = time.monotonic()
    assert worker.deliver_fresh([(profile, id)]).claimed == 1
    assert time.monotonic() - began < LONG / 2
    assert statuses(shop) == {"claimed": 1}


def test_what_could_not_be_written_down_is_with_the_next(
    shop: Pipeline, worker: Deliverer, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    come(shop, 0)
    deliver(worker)
    settle, tried = outcomes_store.settle, threading.Event()

    def away(connection: Connection, results: Any) -> dict[str, int]:
        tried.set()
        raise Unavailable("PostgreSQL is away")

    with monkeypatch.context() as patch:
        patch.setattr(outcomes_store, "settle", away)
        hanging.go.set()
        assert tried.wait(LONG)
        until(lambda: not worker._strays.empty())
    assert outcomes_store.settle is settle
    assert statuses(shop) == {"claimed": 1}
    deliver(worker)
    assert statuses(shop) == {"unknown": 1}


def test_the_provider_that_hangs_is_known_to_be_away(
    shop: Pipeline, worker: Deliverer, hanging: Hanging
) -> None:
    """Five in a row that nobody answers: each leaves a message in doubt, so no sixth."""
    for round in range(5):
        hanging.go.clear()
        hanging.slow.add(f"{round}@x.de")
        come(shop, round)
        deliver(worker)
        hanging.go.set()
        until(lambda n=round: statuses(shop).get("unknown") == n + 1)  # type: ignore[misc]
    come(shop, 6)
    deliver(worker)
    deliver(worker)
    assert shop.rows("select provider, kind from sender_state") == [("provider", "away")]


def test_where_all_threads_hang_nothing_more_is_claimed(
    shop: Pipeline, worker: Deliverer, hanging: Hanging
) -> None:
    """A claimed message is on the wire at once, or a purchase could not stop it any more (P3)."""
    hanging.slow |= {f"{n}@x.de" for n in range(30)}
    come(shop, *range(30))
    thread = threading.Thread(target=deliver, args=(worker,))
    thread.start()
    until(lambda: len(shop.email.handed) >= 8)
    time.sleep(0.3)  # in which a ninth would come
    assert len(shop.email.handed) == statuses(shop)["claimed"] == 8
    hanging.go.set()
    thread.join(LONG)
    assert not thread.is_alive()
