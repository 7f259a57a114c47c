"""Handing messages to providers, whatever they answer, on a real PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from engine.errors import DeliveryError, RenderError
from engine.model.message import Message, Rendered
from engine.runtime.attempt import TRIES
from engine.runtime.deliver import Deliverer
from engine.testing.renderer import PlainRenderer
from tests.integration.runtime_kit import (
    ANSWERS,
    HOLD,
    RETRY,
    WHO,
    Make,
    Pipeline,
    accepts,
    busy,
    deliveries,
    refuses,
)
from tests.unit.core.build import (
    at,
    audience,
    event,
    journey,
    order,
    send,
    stop,
    view,
    wait,
)

JOURNEY = HOLD


class TestAccepted:
    def test_sent_with_all_that_is_known_of_it(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        shop.at(at(minutes=1))
        done = shop.deliver()
        assert (done.claimed, done.sent) == (1, 1)
        assert shop.rows(
            "select status, attempts, provider, reference, claimed_at, handed_at, settled_at,"
            " gate_snapshot is not null from message"
        ) == [("sent", 1, "provider", "taken", at(minutes=1), at(minutes=1), at(minutes=1), True)]
        assert deliveries(shop) == [(1, "accepted")]
        (mail,) = shop.email.handed
        assert (mail.to, mail.message_id) == ("a@b.de", shop.one("select id::text from message"))

    def test_once(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        for _ in range(3):
            shop.deliver()
        assert len(shop.email.handed) == 1

    def test_each_channel_to_its_own_provider(self, make: Make) -> None:
        shop = make(journey(send(), send("sms")))
        shop.drain(view(who=WHO))
        assert shop.deliver().sent == 2
        assert [len(p.handed) for p in (shop.email, shop.sms)] == [1, 1]
        assert shop.sms.handed[0].to == "+4930123456"

    def test_more_than_fit_at_once(self, make: Make) -> None:
        shop = make()
        for n in range(75):
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()
        assert shop.deliver().sent == 75
        assert len(set(shop.email.ids)) == 75

    def test_when_due_and_not_before(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        shop.run_sql("update message set due_at = %s", at(hours=1))
        assert shop.deliver().seen == 0
        assert shop.at(at(hours=1)).deliver().sent == 1

    def test_a_finished_run_is_let_go(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        assert shop.rows("select status, live from enrollment") == [("finished", True)]
        shop.deliver()
        assert shop.rows("select status, live from enrollment") == [("finished", False)]

    def test_but_not_while_it_has_the_shopper_on_an_audience(self, make: Make) -> None:
        shop = make(journey(send(), audience("add"), stops=[stop()]))
        shop.drain(view(who=WHO))
        shop.deliver()
        assert shop.rows("select status, live from enrollment") == [("finished", True)]
        shop.drain(order(at(days=9)))
        assert shop.rows("select status, live from enrollment") == [("stopped", False)]
        assert shop.rows("select wanted from audience_member") == [(False,)]

    def test_nor_while_another_of_its_messages_is_due(self, make: Make) -> None:
        shop = make(journey(send(), send("sms"), stops=[stop()]))
        shop.drain(view(who=WHO))
        shop.run_sql("update message set due_at = %s where channel = 'sms'", at(hours=1))
        shop.deliver()
        assert shop.one("select live from enrollment") is True
        shop.drain(order(at(minutes=1)))
        assert sorted(s for _, s, _ in shop.messages()) == ["cancelled", "sent"]


class TestRefused:
    def test_for_good(self, make: Make) -> None:
        shop = make()
        shop.email.answer = refuses
        shop.drain(view(who=WHO))
        assert shop.deliver().failed == 1
        assert shop.messages() == [("once", "failed", "no such mailbox")]
        assert deliveries(shop) == [(1, "refused")]
        assert shop.at(at(days=9)).deliver().seen == 0

    def test_and_the_address_is_blocked(self, make: Make) -> None:
        shop = make(journey(send(template="a"), wait(days=1), send(template="b")))
        shop.email.answer = refuses
        shop.drain(view(who=WHO))
        shop.deliver()
        assert shop.rows("select address, channel, reason from suppression") == [
            ("email:a@b.de", "email", "no such mailbox")
        ]
        shop.at(at(days=1)).wake()
        shop.deliver()
        assert ("b", "skipped", "suppressed: no such mailbox") in shop.messages()
        assert len(shop.email.handed) == 1

    def test_only_where_the_provider_says_so(self, make: Make) -> None:
        shop = make()
        shop.email.answer = lambda _: DeliveryError("too long", permanent=True)
        shop.drain(view(who=WHO))
        shop.deliver()
        assert shop.rows("select * from suppression") == []

    def test_for_now(self, make: Make) -> None:
        shop = make()
        shop.email.answer = busy
        shop.drain(view(who=WHO))
        assert shop.deliver().retried == 1
        assert shop.one("select due_at from message") == at(minutes=5)
        assert shop.deliver().seen == 0
        assert shop.at(at(minutes=5)).deliver().retried == 1
        assert shop.one("select due_at from message") == at(minutes=15)  # twice as long
        shop.email.answer = accepts
        assert shop.at(at(minutes=15)).deliver().sent == 1
        assert deliveries(shop) == [(1, "refused"), (2, "refused"), (3, "accepted")]
        assert shop.rows("select status, attempts, reason from message") == [("sent", 3, "")]

    def test_not_for_ever(self, make: Make) -> None:
        shop = make()
        shop.email.answer = busy
        shop.drain(view(who=WHO))
        for _ in range(TRIES + 2):
            shop.at(shop.clock.now() + timedelta(days=1)).deliver()
        assert shop.messages() == [("once", "failed", "try later")]
        assert len(shop.email.handed) == TRIES

    def test_a_purchase_between_two_tries_ends_it(self, make: Make) -> None:
        shop = make()
        shop.email.answer = busy
        shop.drain(view(who=WHO))
        shop.deliver()
        shop.accept(order(at(minutes=1)))
        assert shop.at(at(minutes=5)).deliver().claimed == 0
        shop.drain()
        assert shop.messages() == [("once", "cancelled", "stopped")]
        assert len(shop.email.handed) == 1

    def test_a_purchase_during_a_try_ends_it(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))

        def answer(_: Rendered) -> Exception:
            shop.drain(order(at(seconds=1)))
            return DeliveryError("try later", permanent=False)

        shop.email.answer = answer
        shop.deliver()
        assert shop.messages() == [("once", "cancelled", "stopped")]
        shop.email.answer = accepts
        assert shop.at(at(days=1)).deliver().seen == 0


class TestRendering:
    def broken(self, shop: Pipeline, error: Exception, template: str) -> None:
        class Broken(PlainRenderer):
            def render(self, message: Message, *rest: Any, **more: Any) -> Rendered:
                if message.template == template:
                    raise error
                return super().render(message, *rest, **more)

        shop.shell.renderer = Broken()

    @pytest.mark.parametrize(
        "error, reason",
        [
            (RenderError("no such template", file="a.mjml", line=3), "a.mjml:3: no such template"),
            (ZeroDivisionError("division by zero"), "ZeroDivisionError in template bad"),
        ],
    )
    def test_a_broken_template_fails_alone(
        self, make: Make, error: Exception, reason: str, caplog: Any
    ) -> None:
        caplog.set_level("CRITICAL")
        shop = make(journey(send(template="bad"), send(template="good"), stops=[stop()]))
        self.broken(shop, error, "bad")
        shop.drain(view(who=WHO))
        done = shop.deliver()
        assert (done.failed, done.sent) == (1, 1)
        assert shop.messages() == [("bad", "failed", reason), ("good", "sent", "")]
        assert shop.one("select live from enrollment") is False

    def test_no_address(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=("user:1",)))
        assert shop.deliver().failed == 1
        assert shop.messages() == [("once", "failed", "no address for email")]

    def test_an_address_that_waits_in_the_inbox(self, make: Make) -> None:
        """The shopper signs in a moment after the view: the mail must not fail for that."""
        shop = make()
        shop.drain(view(who=("user:1",)))
        shop.accept(
            event("Identify", at(seconds=1), kind="identify", who=("user:1", "email:a@b.de"))
        )
        shop.deliver()
        shop.drain()
        assert shop.deliver().sent == 1

    def test_no_provider(self, make: Make) -> None:
        shop = make(journey(send("pigeon")))
        shop.drain(view(who=WHO))
        shop.deliver()
        assert shop.messages() == [("hello", "failed", "no provider for channel pigeon")]


class TestAtOnce:
    def test_deliverers_drains_and_slow_providers(self, make: Make) -> None:
        """Every answer under way at once with purchases and merges: nothing twice, nothing lost."""
        shop = make(RETRY, journey(send("sms", "sms"), name="sms", stops=[stop()]))
        people = 40
        started = threading.Semaphore(0)

        def answer(rendered: Rendered) -> str | Exception:
            started.release()
            number = int(rendered.to.partition("@")[0].removeprefix("+49301234") or 0)
            return ANSWERS[number % 4](rendered)

        shop.email.answer = shop.sms.answer = answer
        for n in range(people):
            shop.accept(
                view(who=(f"email:{n}@x.de", f"phone:+49301234{n:03d}", f"anonymous:{n}")),
                event("Page", who=(f"user:{n}",)),
            )
        shop.drain()

        def deliver(_: int) -> None:
            deliverer = Deliverer(shop.shell, threads=4)
            for shard in range(4):
                deliverer.deliver(shard)
            deliverer.close()

        def disturb() -> None:
            started.acquire()
            for n in range(people):
                shop.drain(event("Page", at(seconds=1), who=(f"user:{n}", f"anonymous:{n}")))
                if n % 3 == 0:
                    shop.drain(order(at(seconds=2), who=(f"user:{n}",)))

        with ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(deliver, n) for n in range(3)] + [pool.submit(disturb)]
            for job in jobs:
                job.result()
        for _ in range(3):
            shop.at(shop.clock.now() + timedelta(minutes=30)).deliver()
        assert shop.one("select count(*) from message where status = 'claimed'") == 0
        assert shop.one("select count(*) from delivery where outcome is null") == 0
        taken = shop.rows(
            "select message_id, count(*) from delivery where outcome = 'accepted' group by 1"
        )
        assert {n for _, n in taken} == {1}
        assert shop.one("select count(*) from delivery") == len(shop.email.ids) + len(shop.sms.ids)
        assert shop.one("select count(*) from profile") == people
