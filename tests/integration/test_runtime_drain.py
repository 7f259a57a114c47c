"""Draining lanes on a real PostgreSQL: counted once, merged, and never held up by one bad egg."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

import engine.core.identity as identity
from engine.clock import ManualClock
from engine.core import react
from engine.intake.lanes import LANES, lane_of
from engine.model.event import Event
from engine.model.journey import Again
from engine.runtime.drain import drain
from engine.store import events as events_store
from engine.store.database import Database
from tests.integration.runtime_kit import Pipeline, module_database, pipelines
from tests.unit.core.build import (
    CLICK,
    ORDER,
    T0,
    at,
    audience,
    branch,
    event,
    journey,
    order,
    send,
    stop,
    view,
    wait,
    wait_for,
)

LEFT = journey(
    wait(hours=2),
    send(template="left"),
    key="event.product_id",
    stops=[stop(goal=True)],
)

Make = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as database:
        yield database


@pytest.fixture
def make(database: Database) -> Iterator[Make]:
    with pipelines(database) as make:
        yield lambda *journeys, **more: make(*(journeys or (LEFT,)), **more)


def identify(*who: str, time: Any = T0, **traits: Any) -> Event:
    return event("Identify", time, kind="identify", who=who, **traits)


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


class TestMerge:
    def test_everything_moves(self, make: Make) -> None:
        slow = journey(
            send("sms", "now"), audience("add"), wait(days=2), send(template="late"),
            key="event.product_id",
        )  # fmt: skip
        shop = make(slow)
        shop.drain(
            view(product="p1", who=("anonymous:x",)),
            event("Consent Withdrawn", who=("anonymous:x",), channel="sms", topic="offers"),
            identify("user:1", time=at(hours=1), plan="gold"),
            event("Consent Given", at(hours=1), who=("user:1",), channel="sms", topic="offers"),
            event("Consent Given", at(hours=1), who=("user:1",), channel="email"),
            order(at(hours=1), who=("user:1",), revenue=5, currency="EUR"),
        )
        assert shop.one("select count(*) from profile") == 2
        shop.drain(view(at(hours=3), product="p2", who=("user:1", "anonymous:x")))
        id = shop.profile("user:1")
        assert shop.rows("select id, orders, traits->>'plan' from profile") == [(id, 1, "gold")]
        for table in ("identity", "event", "enrollment", "message", "audience_member", "consent"):
            assert shop.rows(f"select distinct profile_id from {table}") == [(id,)], table
        assert shop.rows("select channel, topic, granted from consent order by channel") == [
            ("email", "*", True),
            ("sms", "offers", False),  # the stricter
        ]
        # The moved run goes on.
        shop.at(at(days=2)).wake()
        assert ("late", "due", "") in shop.messages()

    def test_an_earlier_order_of_one_stops_the_run_of_the_other(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1", who=("anonymous:x",)))
        shop.drain(order(at(hours=1), id="o", who=("user:1",)))
        assert shop.runs() == [("left-behind", "p1", "active")]
        shop.drain(identify("user:1", "anonymous:x", time=at(hours=1, minutes=1)))
        assert shop.rows("select status, goal, stopped_by from enrollment") == [
            ("stopped", True, "o")
        ]

    def test_an_order_from_before_the_run_does_not(self, make: Make) -> None:
        shop = make()
        shop.drain(order(at(hours=-1), who=("user:1",)), view(who=("anonymous:x",)))
        shop.drain(identify("user:1", "anonymous:x", time=at(minutes=1)))
        assert shop.runs() == [("left-behind", "p1", "active")]

    def test_a_waiting_message_of_the_other_is_cancelled(self, make: Make) -> None:
        shop = make(journey(send(template="now"), stops=[stop()]))
        shop.drain(view(who=("anonymous:x",)), order(at(hours=1), who=("user:1",)))
        assert shop.messages() == [("now", "due", "")]
        shop.drain(identify("user:1", "anonymous:x", time=at(hours=2)))
        assert shop.messages() == [("now", "cancelled", "stopped")]

    def test_what_a_stop_condition_counts_is_looked_up_on_a_merge(self, make: Make) -> None:
        shop = make(journey(wait(days=2), stops=[stop(if_='count("Page") >= 2')]))
        shop.drain(view(who=("anonymous:x",)), event("Page", at(minutes=1), who=("user:1",)),
                   event("Page", at(minutes=2), who=("anonymous:x",)),
                   order(at(hours=1), who=("user:1",)))  # fmt: skip
        shop.drain(event("Note", at(hours=2), who=("user:1", "anonymous:x")))
        assert [status for _, _, status in shop.runs()] == ["stopped"]

    def test_the_same_run_twice_is_one(self, make: Make) -> None:
        shop = make(
            journey(send(template="now"), audience("add"), wait(days=2), key="event.product_id")
        )
        shop.drain(view(id="late", who=("user:1",), time=at(hours=1)))
        shop.drain(view(id="early", who=("anonymous:x",)))
        shop.drain(identify("user:1", "anonymous:x", time=at(hours=2)))
        assert shop.rows("select event_id, status, live from enrollment order by event_id") == [
            ("early", "active", True),
            ("late", "merged", False),
        ]
        assert shop.messages() == [("now", "cancelled", "merged"), ("now", "due", "")]
        assert shop.rows(
            "select e.event_id, m.wanted from audience_member m join enrollment e"
            " on e.id = m.enrollment_id order by 1"
        ) == [("early", True), ("late", False)]

    def test_a_newcomer_who_turns_out_to_be_known(self, make: Make) -> None:
        """In one batch: a new account, then its old address, and the order (P3)."""
        shop = make()
        shop.drain(view(product="p1", who=("email:a@b.de",)))
        shop.drain(
            event("Signed Up", at(hours=1), who=("user:new",)),
            order(at(hours=1, minutes=1), who=("user:new", "email:a@b.de")),
        )
        assert shop.profile("user:new") == shop.profile("email:a@b.de")
        assert shop.runs() == [("left-behind", "p1", "stopped")]

    def test_and_who_has_had_this_run_before(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1", who=("email:a@b.de",)))
        shop.drain(
            event("Signed Up", at(hours=1), who=("user:new",)),
            view(at(hours=1, minutes=1), product="p1", who=("user:new", "email:a@b.de")),
        )
        assert shop.runs() == [("left-behind", "p1", "active")]

    def test_a_chain_over_three_identities(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="a", who=("anonymous:x",)), view(product="b", who=("cart:c",)),
                   view(product="c", who=("email:a@b.de",)))  # fmt: skip
        shop.drain(
            event("Note", at(hours=1), who=("cart:c", "anonymous:x")),
            event("Note", at(hours=1), who=("email:a@b.de", "cart:c")),
            order(at(hours=1), who=("user:1", "email:a@b.de")),
        )
        assert shop.one("select count(*) from profile") == 1
        assert {status for _, _, status in shop.runs()} == {"stopped"}

    def test_alias(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1", who=("anonymous:x",)))
        shop.drain(event("Alias", at(hours=1), kind="alias",
                         who=("user:1", "user:x", "anonymous:x")))  # fmt: skip
        shop.drain(order(at(hours=1, minutes=1), who=("user:1",)))
        assert shop.runs() == [("left-behind", "p1", "stopped")]

    def test_a_second_person_on_the_same_browser(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1", who=("user:1", "anonymous:x")))
        shop.drain(order(at(hours=1), who=("user:2", "anonymous:x")))
        assert shop.profile("user:1") != shop.profile("user:2") == shop.profile("anonymous:x")
        assert shop.runs() == [("left-behind", "p1", "active")]

    def test_an_id_that_collides(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            identity, "profile_id", lambda name, attempt=0: 7 if not attempt else 1000 + attempt
        )
        shop = make()
        shop.drain(view(who=("user:1",)))
        shop.drain(view(who=("user:2",)))
        assert (shop.profile("user:1"), shop.profile("user:2")) == (7, 1001)
        assert len(shop.runs()) == 2


class TestOrderOfTime:
    def test_an_order_known_before_its_view(self, make: Make) -> None:
        shop = make()
        shop.drain(order(at(hours=1)))
        shop.drain(view(received=at(hours=1, minutes=1)))
        assert shop.runs() == [("left-behind", "p1", "stopped")]

    def test_at_the_same_time_the_id_decides(self, make: Make) -> None:
        shop = make()
        shop.drain(order(id="b1", who=("user:1",)), order(id="a2", who=("user:2",)))
        shop.drain(view(id="a1", who=("user:1",)), view(id="b2", who=("user:2",)))
        found = dict(
            shop.rows(
                "select i.identifier, e.status from enrollment e join identity i using (profile_id)"
            )
        )
        assert found == {"user:1": "stopped", "user:2": "active"}

    def test_timers_between_the_events_of_a_batch(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1"), order(at(hours=3)))
        assert shop.messages() == [("left", "cancelled", "stopped")]

    def test_a_late_trigger_in_the_past_and_another_in_the_present(self, make: Make) -> None:
        """Two runs of one key must not both be active, whichever began first."""
        always = journey(wait(days=60), again=Again("always"), stops=[stop()])
        shop = make(always, clock=ManualClock(at(days=-100)))
        shop.drain(view(at(days=-100)))
        shop.at(at(days=-40)).wake()
        shop.drain(view(at(days=-50), received=at(days=-39)))
        assert [status for _, _, status in shop.runs()] == ["active", "finished"]
        shop.drain(view(at(days=-38)))
        assert len(shop.runs()) == 2

    def test_the_longest_window_is_loaded(self, make: Make) -> None:
        """Two events of a batch ask for the same history, one far and one near."""
        far = journey(wait(hours=1), name="far", if_='count("Page", within="90 days") >= 1')
        near = journey(
            wait(hours=1), name="near", trigger=CLICK, if_='count("Page", within="1 day") >= 1'
        )
        shop = make(far, near)
        shop.drain(event("Page", at(days=-50)))
        shop.drain(view(T0), event(CLICK, at(minutes=1)))
        assert shop.runs() == [("far", "", "active")]

    def test_a_timer_a_little_late_looks_back_from_when_it_was_due(self, make: Make) -> None:
        shop = make(journey(wait(hours=2), branch(('did("Page", within="1 hour")', [send()]))))
        shop.drain(view(), event("Page", at(hours=1)))
        shop.at(at(hours=2, seconds=30)).wake()
        assert shop.messages() == [("hello", "due", "")]

    def test_wait_for_over_batches_with_the_trigger_in_mind(self, make: Make) -> None:
        shop = make(
            journey(
                wait_for(CLICK, if_="event.url == trigger.url", days=1, then=[send(template="yes")])
            )
        )
        shop.drain(view(url="/a"))
        shop.drain(event(CLICK, at(minutes=1), url="/b"))
        assert shop.messages() == []
        shop.drain(event(CLICK, at(minutes=2), url="/a"))
        assert shop.messages() == [("yes", "due", "")]


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


def test_the_clock_is_what_makes_a_timer_late(make: Make) -> None:
    shop = make()
    shop.drain(view(product="p1"))
    shop.at(at(days=2, hours=2) + timedelta(seconds=1))
    shop.drain(event("Page", at(days=2)))
    assert shop.messages() == []  # a day and more overdue: skipped
    assert shop.runs() == [("left-behind", "p1", "finished")]
