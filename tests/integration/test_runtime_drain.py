"""Draining lanes on a real PostgreSQL: counted once, and never held up by one bad egg."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from engine.core import react
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.runtime.drain import drain
from engine.store import events as events_store
from tests.integration.runtime_kit import LEFT, Make
from tests.unit.core.build import (
    at,
    event,
    order,
    view,
)

JOURNEY = LEFT


class TestOnce:
    def test_an_event_becomes_a_run(self, make: Make) -> None:
        shop = make()
        done = shop.drain(view(product="p1", who=("user:1", "anonymous:x")))
        assert (done.taken, done.duplicates, done.refused) == (1, 0, 0)
        assert shop.runs() == [("left-behind", "p1", "active")]
        assert shop.one("select wake_at from enrollment") == at(hours=2)
        assert shop.profile("user:1") == shop.profile("anonymous:x")

    def test_a_double_within_a_batch(self, make: Make) -> None:
        shop = make()
        twice = order(revenue=Decimal("9.99"), currency="EUR")
        done = shop.drain(twice, twice, twice)
        assert (done.taken, done.duplicates) == (3, 2)
        assert shop.rows("select orders, lifetime_value from profile") == [
            (1, {"EUR": Decimal("9.99")})
        ]

    def test_a_double_in_a_later_batch(self, make: Make) -> None:
        shop = make()
        twice = order(revenue=10, currency="EUR")
        shop.drain(twice)
        assert shop.drain(twice).duplicates == 1
        assert shop.one("select orders from profile") == 1

    def test_a_double_in_another_lane(self, make: Make) -> None:
        shop = make()
        twice = order(revenue=10, currency="EUR")
        shop.accept(twice, lane=3).accept(twice, lane=4)
        assert shop.drain().duplicates == 1
        assert shop.one("select orders from profile") == 1

    def test_a_double_of_something_with_another_sender(self, make: Make) -> None:
        shop = make()
        shop.drain(order(id="m1", who=("user:1",)))
        shop.drain(order(id="m1", who=("user:2",)))
        assert shop.one("select count(*) from event") == 1

    def test_a_dry_lane(self, make: Make) -> None:
        assert drain(make().shell, 0).taken == 0

    def test_a_lane_that_another_worker_has(self, make: Make) -> None:
        shop = make()
        seen = view()
        lane = lane_of(seen.sender)
        shop.accept(seen)
        with shop.database.connection() as other:
            other.execute("select 1 from lane where id = %s for update", [lane])
            assert drain(shop.shell, lane).taken == 0
        assert drain(shop.shell, lane).taken == 1

    def test_the_limit_and_the_order_of_arrival(self, make: Make) -> None:
        shop = make()
        shop.accept(*[view(id=f"m{n}", product=f"p{n}") for n in range(5)])
        assert drain(shop.shell, lane_of("user:1"), limit=2).taken == 2
        assert shop.rows("select id from event order by id") == [("m0",), ("m1",)]
        assert shop.drain().taken == 3

    def test_what_it_says_comes_back_as_it_was(self, make: Make) -> None:
        shop = make()
        text = "naïve \\ \t \n \" ' {} 🎁 ؀"
        odd: dict[str, Any] = {"price": Decimal("19.90"), "n": 3, "text": text, "no": None}
        shop.drain(event("Odd", id="m\\1", who=('user:{"a",}',), context={"ip": "1.1"}, **odd))
        ((properties, context),) = shop.rows("select properties, context from event")
        assert properties == odd
        assert str(properties["price"]) == "19.90"
        assert context == {"ip": "1.1"}
        assert shop.profile('user:{"a",}')


class TestLedger:
    def test_the_sums(self, make: Make) -> None:
        shop = make()
        one = view()
        shop.accept(one, one, order(), view(who=("user:2",)))
        assert shop.ledger() == {"accepted": 4}
        drain(shop.shell, lane_of("user:1"))
        shop.check()
        shop.drain()
        assert shop.ledger() == {"accepted": 4, "taken": 4, "duplicate": 1, "refused": 0}

    def test_an_unreadable_body_is_set_aside(self, make: Make, caplog: Any) -> None:
        shop = make()
        shop.accept(view(product="p1"), view(product="p2", id="bad"), view(product="p3"))
        shop.run_sql("update inbox set body = '{\"id\": 5' where id = 'bad'")
        done = shop.drain()
        assert (done.taken, done.refused) == (3, 1)
        assert [key for _, key, _ in shop.runs()] == ["p1", "p3"]
        ((source, reason, body),) = shop.rows("select source, reason, body from rejected")
        assert (source, body) == ("drain", '{"id": 5')
        assert reason.startswith("unreadable: ")

    def test_nothing_is_taken_when_the_transaction_fails(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = make()
        shop.accept(view())

        class Killed(BaseException):
            pass

        def crash(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(events_store, "insert", crash)
            with pytest.raises(Killed):
                shop.drain()
        assert shop.ledger() == {"accepted": 1}
        for table in ("profile", "identity", "event", "enrollment"):
            assert shop.one(f"select count(*) from {table}") == 0
        assert shop.drain().taken == 1


class _Broken(Exception):
    pass


@pytest.fixture
def broken_for(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the core raise for events of this name."""

    def arrange(name: str) -> None:
        real = react.on_event

        def on_event(book: Any, shopper: Any, one: Event, *rest: Any) -> None:
            if one.name == name:
                raise _Broken(f"cannot do {name}")
            real(book, shopper, one, *rest)

        monkeypatch.setattr("engine.runtime.drain.on_event", on_event)

    return arrange


class TestSetAside:
    def test_one_shopper_falls_and_the_others_go_on(
        self, make: Make, broken_for: Callable[[str], None], caplog: Any
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        broken_for("Bad")
        shop = make()
        who = [f"user:{n}" for n in range(40)]
        sick = [name for name in who if lane_of(name) == lane_of(who[0])][1]
        bad = event("Bad", at(minutes=1), id="bad", who=(sick,))
        done = shop.drain(*[view(who=(name,)) for name in who], bad)
        assert done.refused == 2
        assert len(shop.runs()) == 39
        assert {r for (r,) in shop.rows("select reason from rejected")} == {
            "_Broken: cannot do Bad"
        }
        # What was set aside has not been counted: it can be sent again.
        assert shop.rows("select 1 from event where id = 'bad'") == []
        assert shop.profile(sick)

    def test_a_merge_that_came_with_it_is_kept_whole(
        self, make: Make, broken_for: Callable[[str], None], caplog: Any
    ) -> None:
        caplog.set_level(logging.CRITICAL)
        broken_for("Bad")
        shop = make()
        shop.drain(view(product="p1", who=("user:1",)))
        shop.drain(order(at(hours=1), who=("anonymous:x",), revenue=5, currency="EUR"))
        done = shop.drain(event("Bad", at(hours=1), who=("user:1", "anonymous:x")))
        assert done.refused == 1
        # The order of the other identity is known, and so is the money.
        assert shop.runs() == [("left-behind", "p1", "stopped")]
        assert shop.rows("select orders, lifetime_value from profile") == [(1, {"EUR": 5})]

    def test_one_event_that_the_database_refuses(self, make: Make, caplog: Any) -> None:
        caplog.set_level(logging.CRITICAL)
        shop = make()
        shop.accept(*[view(product=f"p{n}", id=f"m{n}") for n in range(25)])
        bad = 'replace(body, \'"product_id":"p7"\', \'"product_id":"\\u0000"\')'
        shop.run_sql(f"update inbox set body = {bad} where id = 'm7'")
        done = shop.drain()
        assert (done.taken, done.refused) == (25, 1)
        assert len(shop.runs()) == 24
        assert shop.one("select body like '%%u0000%%' from rejected")

    def test_a_project_that_cannot_be_read_is_no_event_s_fault(self, make: Make) -> None:
        shop = make()
        shop.accept(view())
        real = shop.shell.book

        def unreadable(*_: object) -> Any:
            raise PermissionError("journeys")

        shop.shell.book = unreadable
        for _ in range(3):
            with pytest.raises(PermissionError):
                shop.drain()
        shop.shell.book = real
        assert shop.drain().refused == 0
        assert len(shop.runs()) == 1
