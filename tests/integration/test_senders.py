"""Providers in trouble, those that stand in for them, limits and warm-up, on a real PostgreSQL."""

from __future__ import annotations

import time
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import pytest

from engine.errors import DeliveryError
from engine.model.message import Receipt, Rendered
from engine.model.policy import Policy
from engine.model.sending import Rate, Sending, WarmUp
from engine.runtime.deliver import Deliverer
from engine.store import senders as senders_store
from tests.integration.runtime_kit import (
    HOLD,
    RETRY,
    TOPICS,
    WHO,
    Make,
    Pipeline,
    Provider,
    accepts,
    deliveries,
    silent,
)
from tests.unit.core.build import at, journey, order, send, stop, view

JOURNEY = HOLD


def wrong_key(_: Rendered) -> Exception:
    return DeliveryError("our key is refused", permanent=True, fault="account")


def down(_: Rendered) -> Exception:
    return DeliveryError("cannot be reached", permanent=False, fault="away")


def slow_down(_: Rendered) -> Exception:
    return DeliveryError(
        "too many", permanent=False, retry_after=timedelta(minutes=7), fault="busy"
    )


class Second(Provider):
    name = "second"


def people(shop: Pipeline, count: int, first: int = 0) -> None:
    for n in range(first, first + count):
        shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
    shop.drain()


def states(shop: Pipeline) -> list[tuple[Any, ...]]:
    return shop.rows("select provider, kind, reason, until, probes from sender_state")


def statuses(shop: Pipeline) -> dict[str, int]:
    return dict(shop.rows("select status, count(*)::int from message group by 1"))


class TestTrouble:
    def test_a_wrong_key_costs_no_message_a_try(self, make: Make, caplog: Any) -> None:
        shop = make()
        shop.email.answer = wrong_key
        people(shop, 30)
        done = shop.deliver()
        assert (done.failed, done.sent) == (0, 0)
        assert len(shop.email.handed) <= shop.threads
        assert statuses(shop) == {"due": 30}
        assert shop.one("select count(*) from message where attempts > 0") == 0
        assert deliveries(shop) == []
        assert states(shop) == [("provider", "account", "our key is refused", at(minutes=1), 0)]
        assert "our key is refused" in caplog.text

    def test_it_is_probed_with_one_message_after_ever_longer_pauses(self, make: Make) -> None:
        shop = make()
        shop.email.answer = wrong_key
        people(shop, 30)
        shop.deliver()
        handed = len(shop.email.handed)
        assert shop.at(at(seconds=59)).deliver().claimed == 0
        minutes = 1
        for pause in (5, 15, 30, 60, 60):
            shop.at(at(minutes=minutes))
            assert shop.deliver().claimed == 1
            assert len(shop.email.handed) == (handed := handed + 1)
            assert shop.deliver().claimed == 0
            assert states(shop)[0][3] == at(minutes=minutes + pause)
            minutes += pause
        assert statuses(shop) == {"due": 30}

    def test_and_all_go_when_the_probe_went_through(self, make: Make, caplog: Any) -> None:
        shop = make()
        shop.email.answer = wrong_key
        people(shop, 30)
        shop.deliver()
        shop.email.answer = accepts
        shop.at(at(minutes=1)).deliver()
        assert states(shop) == []
        shop.deliver()
        assert statuses(shop) == {"sent": 30}
        assert shop.one("select count(*) from message where attempts = 1") == 30
        assert "works again" in caplog.text

    def test_a_server_that_is_down_is_left_alone_after_a_few_calls(self, make: Make) -> None:
        shop = make()
        shop.email.answer = down
        people(shop, 200)
        shop.deliver()
        assert len(shop.email.handed) <= 5 + 2 * shop.threads
        assert states(shop)[0][:3] == ("provider", "away", "cannot be reached")
        assert statuses(shop) == {"due": 200}
        shop.email.answer = accepts
        shop.at(at(minutes=1)).deliver()
        shop.at(at(minutes=2)).deliver()
        assert statuses(shop) == {"sent": 200}

    def test_one_call_that_fails_is_bad_luck(self, make: Make) -> None:
        shop = make()
        shop.email.answer = lambda mail: down(mail) if mail.to.startswith("7@") else "taken"
        people(shop, 20)
        shop.deliver()
        assert states(shop) == []
        assert statuses(shop) == {"sent": 19, "due": 1}

    def test_a_server_that_never_answers_does_not_make_thousands_unknown(self, make: Make) -> None:
        shop = make()
        shop.email.answer = silent
        people(shop, 200)
        shop.deliver()
        unknown = statuses(shop)["unknown"]
        assert 5 <= unknown <= 5 + 2 * shop.threads
        assert states(shop)[0][1] == "away"

    def test_a_purchase_meanwhile_ends_it_all_the_same(self, make: Make) -> None:
        shop = make()

        def answer(mail: Rendered) -> Exception:
            shop.drain(order(at(seconds=1)))
            return wrong_key(mail)

        shop.email.answer = answer
        shop.drain(view(who=WHO))
        shop.deliver()
        assert shop.messages() == [("once", "cancelled", "stopped")]

    def test_too_many_requests_hold_the_whole_provider_back(self, make: Make) -> None:
        shop = make()
        shop.email.answer = slow_down
        people(shop, 50)
        shop.deliver()
        assert len(shop.email.handed) <= shop.threads
        assert states(shop)[0][1::2] == ("busy", at(minutes=7))
        shop.email.answer = accepts
        assert shop.at(at(minutes=6)).deliver().claimed == 0
        shop.at(at(minutes=7)).deliver()
        assert statuses(shop) == {"sent": 50}

    def test_the_other_channels_go_on(self, make: Make) -> None:
        shop = make(journey(send("sms"), send(), stops=[stop()]))
        shop.sms.name, shop.email.answer = "texts", wrong_key  # type: ignore[misc]
        shop.drain(view(who=WHO))
        assert shop.deliver().sent == 1
        assert len(shop.sms.handed) == 1

    def test_a_probe_that_the_gate_keeps_is_for_the_next_message(self, make: Make) -> None:
        shop = make()
        shop.email.answer = wrong_key
        people(shop, 2)
        shop.deliver()
        shop.run_sql("insert into suppression values ('email:0@x.de', 'email', 'bounced', now())")
        shop.run_sql(
            "update message set due_at = due_at - interval '1 second' where profile_id = %s",
            shop.profile("email:0@x.de"),
        )
        shop.email.answer = accepts
        shop.at(at(minutes=1))
        for _ in range(3):
            shop.deliver()
        assert statuses(shop) == {"sent": 1, "skipped": 1}


class TestStandIn:
    def shop(self, make: Make, *journeys: Any, **more: Any) -> tuple[Pipeline, Second]:
        shop, second = make(*journeys, **more), Second()
        shop.shell.fallbacks = {"email": (second,)}
        return shop, second

    @pytest.mark.parametrize("answer", [wrong_key, down])
    def test_takes_over_what_the_first_is_known_not_to_have(self, make: Make, answer: Any) -> None:
        shop, second = self.shop(make)
        shop.email.answer = answer
        people(shop, 30)
        shop.deliver()
        shop.at(at(seconds=30)).deliver()
        assert statuses(shop) == {"sent": 30}
        assert len(set(second.ids)) == len(second.ids) == 30
        assert shop.rows("select distinct provider from delivery") == [("second",)]
        assert shop.rows("select distinct provider from message") == [("second",)]

    def test_never_what_it_may_have(self, make: Make) -> None:
        shop, second = self.shop(make)
        shop.email.answer = silent
        people(shop, 40)
        shop.deliver()
        shop.at(at(seconds=30)).deliver()
        unknown = {m.message_id for m in shop.email.handed}
        assert not unknown & set(second.ids)
        assert statuses(shop) == {"unknown": len(unknown), "sent": 40 - len(unknown)}

    def test_not_even_where_the_step_would_risk_it(self, make: Make) -> None:
        shop, second = self.shop(make, RETRY)
        shop.email.answer = silent
        people(shop, 8)
        for minutes in (0, 3, 10, 40):
            shop.at(at(minutes=minutes)).deliver()
        assert not set(shop.email.ids) & set(second.ids)

    def test_the_first_comes_back(self, make: Make) -> None:
        shop, second = self.shop(make)
        shop.email.answer = wrong_key
        people(shop, 4)
        shop.deliver()
        shop.email.answer = accepts
        people(shop, 10, first=100)
        shop.at(at(minutes=1)).deliver()
        assert states(shop) == []
        people(shop, 10, first=200)
        before = len(second.handed)
        shop.deliver()
        assert len(second.handed) == before

    def test_not_for_one_that_wants_us_to_slow_down(self, make: Make) -> None:
        shop, second = self.shop(make)
        shop.email.answer = slow_down
        people(shop, 10)
        shop.deliver()
        assert second.handed == []


class Stamped(Provider):
    """Remembers when."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def send(self, rendered: Rendered) -> Receipt:
        self.times.append(time.monotonic())
        return super().send(rendered)


def worst(calls: list[float], span: float) -> int:
    calls = sorted(calls)
    return max(bisect_left(calls, at + span) - i for i, at in enumerate(calls))


class TestLimits:
    def policy(self, **sending: Any) -> Policy:
        return Policy(topics=TOPICS, sending=Sending(**sending))

    def test_several_workers_keep_one_limit(self, make: Make) -> None:
        limit = Rate(60, timedelta(seconds=1))
        shop = make(policy=self.policy(limits={"provider": limit}), email=Stamped(), threads=8)
        people(shop, 120)

        def work(_: int) -> None:
            deliverer = Deliverer(shop.shell, threads=8)
            end = time.monotonic() + 20
            while shop.one("select count(*) from message where status = 'due'"):
                assert time.monotonic() < end
                for shard in range(4):
                    deliverer.deliver(shard, seconds=0.5)
            deliverer.close()

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))
        assert isinstance(shop.email, Stamped)
        assert len(set(shop.email.ids)) == len(shop.email.ids) == 120
        # The call is made a moment after its slot was taken; a busy machine may stretch that.
        assert worst(shop.email.times, 0.9) <= 60
        assert shop.email.times[-1] - shop.email.times[0] > 1.5

    def test_a_generous_limit_costs_no_time(self, make: Make) -> None:
        limit = Rate(9000, timedelta(seconds=1))
        shop = make(policy=self.policy(limits={"provider": limit}))
        people(shop, 40)
        started = time.monotonic()
        assert shop.deliver().sent == 40
        assert time.monotonic() - started < 4  # what is leased and not needed is not waited for

    def test_a_sender_has_its_own(self, make: Make) -> None:
        limit = Rate(1, timedelta(hours=1))
        shop = make(policy=self.policy(limits={"s@x.de": limit}))  # PlainRenderer's sender
        people(shop, 5)
        assert shop.deliver().sent == 1
        assert statuses(shop) == {"sent": 1, "due": 4}

    def test_receipts_come_first(self, make: Make) -> None:
        first = journey(send(template="promotion"), name="promotion", stops=[stop()])
        receipts = journey(send(template="receipt", topic="orders"), name="receipt")
        shop = make(first, receipts, threads=1)
        people(shop, 10)
        shop.run_sql("update message set due_at = due_at + interval '1 ms' where topic = 'orders'")
        shop.at(at(seconds=1))
        assert shop.deliverer.deliver(0, 1).sent == 20
        words = [mail.subject for mail in shop.email.handed]  # type: ignore[union-attr]
        assert words == ["receipt"] * 10 + ["promotion"] * 10

    def test_a_warm_up_leaves_the_rest_for_tomorrow_but_not_receipts(self, make: Make) -> None:
        first = journey(send(template="promotion"), name="promotion", stops=[stop()])
        receipts = journey(send(template="receipt", topic="orders"), name="receipt")
        today = date(2026, 3, 2)
        shop = make(first, receipts, policy=self.policy(warm_up={"provider": WarmUp(today, 20)}))
        assert shop.clock.now().date() == today
        people(shop, 15)
        shop.deliverer.deliver(0, 1)
        sent = dict(shop.rows("select template, count(*)::int from message where status = 'sent'"
                              " group by 1"))  # fmt: skip
        assert sent == {"receipt": 15, "promotion": 5}
        assert shop.one("select taken from sender_rate") == 20
        shop.deliver()
        assert statuses(shop) == {"sent": 20, "due": 10}
        shop.at(at(days=1)).deliver()
        assert statuses(shop) == {"sent": 30}


class TestAnswersTooLate:
    def test_known_not_taken_after_it_was_given_up(self, make: Make) -> None:
        """The worker was thought dead; then it hears that the provider never had the message."""
        from tests.integration.test_runtime_unknown import TestAbandoned

        shop = make()
        shop.drain(view(who=WHO))

        def answer(mail: Rendered) -> Exception:
            assert TestAbandoned().abandon(shop, at(seconds=1)) == 1
            return wrong_key(mail)

        shop.email.answer = answer
        shop.deliver()
        assert shop.messages() == [("once", "due", "our key is refused")]
        assert deliveries(shop) == []


def test_a_pause_known_to_one_worker_is_soon_known_to_all(make: Make) -> None:
    shop = make()
    with shop.database.connection() as connection:
        now = shop.clock.now()
        state = senders_store.State("provider", "away", "down", now, at(minutes=1), 0)
        assert senders_store.set_state(connection, state)
        again = state._replace(since=at(seconds=9), until=at(minutes=9))
        assert not senders_store.set_state(connection, again)
        assert senders_store.states(connection) == [state]
        worse = again._replace(kind="account", reason="no money")
        assert senders_store.set_state(connection, worse)
        (found,) = senders_store.states(connection)
        assert (found.kind, found.reason, found.until) == ("account", "no money", at(minutes=1))
        assert not senders_store.take_probe(connection, "provider", now, at(minutes=5))
        assert senders_store.take_probe(connection, "provider", at(minutes=1), at(minutes=6))
        assert not senders_store.take_probe(connection, "provider", at(minutes=1), at(minutes=6))
    people(shop, 3)
    assert shop.deliver().claimed == 0
