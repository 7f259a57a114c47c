"""Several workers on the same shoppers, on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.intake.lanes import LANES
from engine.model.event import Event
from engine.runtime.drain import drain
from tests.integration.runtime_kit import LEFT, Make, Pipeline
from tests.unit.core.build import (
    ORDER,
    at,
    event,
    journey,
    order,
    send,
    stop,
    view,
    wait,
)

JOURNEY = LEFT


class TestAtOnce:
    """Several workers on lanes that hold the same shoppers."""

    def drain_all(self, shop: Pipeline, workers: int = 4, limit: int = 7) -> None:
        def work(first: int) -> None:
            for lane in range(first, LANES, workers):
                while drain(shop.shell, lane, limit).taken:
                    pass

        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(work, first) for first in range(workers)]:
                future.result()
        # What another worker held while this one looked is still there.
        shop.drain()

    @pytest.mark.parametrize("round", range(3))
    def test_the_same_people_under_many_names(self, make: Make, round: int) -> None:
        shop = make()
        events = []
        people = 12
        for number in range(people):
            names = [f"user:{round}-{number}", f"email:{number}@x.de", f"cart:{number}",
                     f"anonymous:{number}", f"anonymous:{number}b"]  # fmt: skip
            for step, name in enumerate(names):
                events.append(view(at(minutes=step), product=f"p{step}", who=(name,)))
                other = names[(step + 1) % len(names)]
                who = tuple(sorted((name, other), key=names.index))
                events.append(event("Note", at(minutes=10 + step), who=who))
            events.append(order(at(hours=1), who=(names[number % 5],), revenue=1, currency="EUR"))
        events += events[::3]  # and some of them twice
        shop.accept(
            *[e for e in events if hash_of(e) % 2], *[e for e in events if not hash_of(e) % 2]
        )
        self.drain_all(shop)
        shop.check()
        assert shop.one("select count(*) from inbox") == 0
        assert shop.one("select count(*) from event") == people * 11
        assert shop.one("select count(*) from profile") == people
        assert shop.one("select sum(orders)::int from profile") == people
        assert {status for _, _, status in shop.runs()} == {"stopped"}
        assert shop.one("select count(*) from rejected") == 0

    def test_one_newcomer_in_every_lane(self, make: Make) -> None:
        shop = make(journey(wait(hours=2), key="event.product_id"))
        for lane in range(LANES):
            shop.accept(
                view(at(minutes=lane), product=f"p{lane}", who=("user:1", f"anonymous:{lane}")),
                lane=lane,
            )
        self.drain_all(shop)
        assert shop.one("select count(*) from profile") == 1
        assert len(shop.runs()) == LANES

    def test_the_same_event_in_every_lane(self, make: Make) -> None:
        shop = make()
        for lane in range(LANES):
            shop.accept(order(id="o", revenue=1, currency="EUR"), lane=lane)
        self.drain_all(shop)
        assert shop.ledger()["duplicate"] == LANES - 1
        assert shop.one("select orders from profile") == 1

    def test_while_others_wake_and_deliver(self, make: Make) -> None:
        shop = make(
            journey(wait(seconds=1), send(template="a"), wait(seconds=1), send(template="b"),
                    key="event.product_id", stops=[stop()]),
        )  # fmt: skip
        people = 30
        for n in range(people):
            names = (f"user:{n}", f"email:{n}@x.de")
            shop.accept(
                view(product="a", who=(names[1],)),
                view(product="b", who=(names[0],)),
                event("Note", at(seconds=1), who=names),
            )
            if n % 2:
                shop.accept(order(at(seconds=2), who=(names[n // 2 % 2],)))
        shop.at(at(seconds=5))
        with ThreadPoolExecutor(4) as pool:
            drains = [pool.submit(self.drain_all, shop, 2) for _ in range(2)]
            wakes = [pool.submit(lambda: [shop.wake() for _ in range(30)]) for _ in range(1)]
            sends = [pool.submit(lambda: [shop.deliver() for _ in range(10)]) for _ in range(1)]
            for future in drains + wakes + sends:
                future.result()
        shop.drain()
        shop.at(at(seconds=9))
        while shop.wake().woken:
            pass
        shop.deliver()
        shop.check()
        assert shop.one("select count(*) from profile") == people
        assert len(shop.email.ids) == len(set(shop.email.ids))
        # Whoever did not buy gets both mails about both products.
        quiet = shop.rows(
            "select count(*) from message m where m.status = 'sent' and not exists"
            " (select 1 from event e where e.profile_id = m.profile_id and e.name = %s)",
            ORDER,
        )
        assert quiet == [(people // 2 * 4,)]


def hash_of(one: Event) -> int:
    return sum(one.id.encode())
