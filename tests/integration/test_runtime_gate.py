"""The gate on a real PostgreSQL: what it holds back, and who cannot get past it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import time, timedelta

import pytest

from engine.model.policy import Cap, Policy, QuietHours, Topic
from engine.runtime import gate
from engine.runtime.deliver import Deliverer
from engine.runtime.shell import Shell
from engine.store import messages as messages_store
from engine.store import outcomes as outcomes_store
from tests.integration.runtime_kit import NOW, TOPICS, Make, Pipeline
from tests.unit.core.build import (
    ORDER,
    T0,
    at,
    event,
    journey,
    order,
    overdue,
    send,
    view,
)

JOURNEY = NOW

WHO = ("user:1", "email:a@b.de")


def due(shop: Pipeline) -> list[messages_store.Candidate]:
    with shop.database.connection() as connection:
        return messages_store.candidates(connection, shop.clock.now(), 100)


class TestFence:
    """What waits in the inbox holds the message: it may be the purchase."""

    @pytest.mark.parametrize(
        "who",
        [
            ("user:1",),
            ("email:a@b.de",),
            ("cart:c1",),
            ("user:1", "anonymous:new"),
            ("user:other", "email:a@b.de"),
            ("user:other", "cart:c1", "anonymous:y"),
        ],
    )
    @pytest.mark.parametrize("lane", [0, 9])
    def test_an_event_under_any_of_the_shoppers_names(
        self, make: Make, who: tuple[str, ...], lane: int
    ) -> None:
        shop = make()
        shop.drain(view(product="p1", who=(*WHO, "cart:c1")))
        shop.accept(order(at(seconds=1), "p1", who=who), lane=lane)
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("now", "due", "")]
        shop.drain()
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("now", "cancelled", "stopped")]
        assert shop.email.handed == []

    def test_an_order_linked_by_two_events_that_wait(self, make: Make) -> None:
        """The order names a stranger; that the stranger is our shopper waits in the inbox too."""
        shop = make()
        shop.drain(view(product="p1", who=WHO))
        shop.accept(
            order(at(seconds=1), "p1", who=("anonymous:n",)),
            event("Note", at(seconds=1), who=("cart:c", "anonymous:n")),
            event("Note", at(seconds=1), who=("user:1", "cart:c")),
        )
        assert shop.deliver().claimed == 0
        shop.drain()
        assert shop.messages() == [("now", "cancelled", "stopped")]

    def test_an_event_of_somebody_else_does_not(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        shop.accept(order(at(seconds=1), "p1", who=("user:2", "email:c@d.de")))
        assert shop.deliver().sent == 1

    def test_whatever_the_event_is(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        shop.accept(event("Page", at(seconds=1)))
        assert shop.deliver().claimed == 0
        shop.drain()
        assert shop.deliver().sent == 1

    def test_an_event_that_a_worker_is_working_on(self, make: Make) -> None:
        """Taken from the inbox, not committed: it is still there for everyone else."""
        shop = make()
        shop.drain(view(product="p1", who=WHO))
        shop.accept(order(at(seconds=1), "p1"))
        with shop.database.connection() as worker:
            worker.execute("delete from inbox")
            assert shop.deliver().claimed == 0
            worker.rollback()
        shop.drain()
        assert shop.messages() == [("now", "cancelled", "stopped")]

    def test_a_refusal_waits_for_the_event_too(self, make: Make) -> None:
        """A consent that has been accepted is a consent, drained or not."""
        shop = make(policy=Policy(topics={"offers": Topic("offers", consent="opt-in")}))
        shop.drain(view(who=WHO))
        shop.accept(event("Consent Given", at(seconds=1), channel="email"))
        shop.deliver()
        assert shop.messages() == [("now", "due", "")]
        shop.drain()
        assert shop.deliver().sent == 1

    def test_a_message_that_is_held_uses_up_no_cap(self, make: Make) -> None:
        shop = make(policy=Policy(topics=TOPICS, caps=(Cap(1, timedelta(days=1)),)))
        shop.drain(view(product="p1", who=WHO), view(product="p2", who=WHO))
        shop.accept(order(at(seconds=1), "p1"))
        assert shop.deliver().claimed == 0
        shop.drain()
        assert shop.deliver().sent == 1
        assert sorted(s for _, s, _ in shop.messages()) == ["cancelled", "sent"]


class TestStops:
    def test_a_stopped_run_is_never_claimed(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1", who=WHO), order(at(seconds=1), "p1"))
        assert due(shop) == []
        assert shop.deliver().seen == 0

    def test_even_by_one_who_looked_before_the_stop(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1", who=WHO))
        looked = due(shop)
        shop.drain(order(at(seconds=1), "p1"))
        assert len(looked) == 1
        assert gate.claim(shop.shell, looked) == {}

    def test_another_run_of_the_shopper_goes_on(self, make: Make) -> None:
        shop = make()
        shop.drain(view(product="p1", who=WHO), view(product="p2", who=WHO))
        shop.drain(order(at(seconds=1), "p1"))
        assert shop.deliver().sent == 1

    def test_a_merge_while_one_looked(self, make: Make) -> None:
        shop = make()
        shop.drain(
            view(product="p1", who=("anonymous:x", "email:a@b.de")), event("Page", who=("user:1",))
        )
        looked = due(shop)
        shop.drain(event("Page", at(seconds=1), who=("user:1", "email:a@b.de")))
        assert gate.claim(shop.shell, looked) == {}
        assert shop.deliver().sent == 1

    def test_a_message_left_due_by_a_stopped_run_is_cancelled_not_looked_at_for_ever(
        self, make: Make
    ) -> None:
        """The stop came while the provider was called; the provider then put it off."""
        shop = make()
        shop.drain(view(product="p1", who=WHO))
        ((id,),) = shop.rows("select id::text from message")
        claimed = gate.claim(shop.shell, due(shop))
        assert claimed == {id: 1}
        shop.drain(order(at(seconds=1), "p1"))
        shop.run_sql("update message set status = 'due'")
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("now", "cancelled", "stopped")]

    def test_a_journey_that_can_no_longer_be_read_says_nothing(self, make: Make) -> None:
        """Its stops are gone with it: whether the shopper has bought, nobody can say."""
        shop = make()
        shop.drain(view(product="p1", who=WHO))
        shop.journeys = []
        shop.drain(order(at(seconds=1), "p1"))
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("now", "skipped", "its version of the journey no longer loads")]


class TestPermission:
    def test_withdrawn_between_the_decision_and_the_gate(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        shop.drain(event("Consent Withdrawn", at(seconds=1), channel="email", topic="offers"))
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("now", "skipped", "no consent for email offers")]

    def test_withdrawn_under_another_name(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO), event("Page", who=("anonymous:x",)))
        shop.drain(event("Consent Withdrawn", at(seconds=1), who=("anonymous:x",), channel="email"))
        shop.drain(event("Page", at(seconds=2), who=("user:1", "anonymous:x")))
        assert shop.deliver().claimed == 0

    def test_a_no_that_came_in_late_does_not_overrule_a_later_yes(self, make: Make) -> None:
        shop = make()
        shop.drain(event("Consent Given", at(hours=1), channel="email", topic="offers"))
        late = at(minutes=30)
        shop.drain(
            event("Consent Withdrawn", late, received=at(hours=2), channel="email", topic="offers")
        )
        shop.drain(view(at(hours=2), who=WHO))
        assert shop.deliver().sent == 1

    def test_at_the_same_time_the_no(self, make: Make) -> None:
        shop = make()
        for names in (
            ("Consent Given", "Consent Withdrawn"),
            ("Consent Withdrawn", "Consent Given"),
        ):
            for name in names:
                shop.drain(event(name, at(hours=1), channel="email", topic="offers"))
            assert shop.one("select granted from consent") is False
            shop.run_sql("delete from consent")

    def test_a_blocked_address(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        with shop.database.connection() as connection:
            outcomes_store.suppress(connection, [("email:a@b.de", "email", "bounced")], T0)
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("now", "skipped", "suppressed: bounced")]

    def test_an_address_blocked_on_another_channel(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        with shop.database.connection() as connection:
            outcomes_store.suppress(connection, [("email:a@b.de", "sms", "STOP")], T0)
        assert shop.deliver().sent == 1

    def test_overdue(self, make: Make) -> None:
        shop = make(journey(send(overdue=overdue(hours=1))))
        shop.drain(view(who=WHO))
        shop.at(at(hours=1, seconds=1)).deliver()
        assert shop.messages() == [("hello", "skipped", "overdue")]

    def test_quiet_hours_put_it_off_until_morning(self, make: Make) -> None:
        policy = Policy(topics=TOPICS, quiet_hours={"email": QuietHours(time(21), time(9))})
        shop = make(policy=policy)
        berlin = {"timezone": "Europe/Berlin"}
        shop.drain(view(at(hours=12), who=WHO, context=berlin))  # 22:00 in Berlin
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("now", "due", "quiet hours")]
        assert shop.one("select due_at from message") == at(hours=23)
        assert shop.at(at(hours=22, minutes=59)).deliver().seen == 0
        assert shop.at(at(hours=23)).deliver().sent == 1

    def test_an_order_in_the_night_cancels_what_waits_for_morning(self, make: Make) -> None:
        policy = Policy(topics=TOPICS, quiet_hours={"email": QuietHours(time(21), time(9))})
        shop = make(policy=policy)
        shop.drain(view(at(hours=13), product="p1", who=WHO))
        shop.deliver()
        shop.drain(order(at(hours=15), "p1"))
        assert shop.at(at(days=1)).deliver().seen == 0
        assert shop.messages() == [("now", "cancelled", "stopped")]


class TestTwoDeliverers:
    def test_on_the_same_shard_nothing_goes_twice(self, make: Make) -> None:
        shop = make(NOW)
        people = 60
        for n in range(people):
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()

        def work(_: int) -> None:
            deliverer = Deliverer(shop.shell, threads=4)
            for _ in range(4):
                deliverer.deliver(0, 1)
            deliverer.close()

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))
        shop.deliver()
        assert sorted(shop.email.ids) == sorted({*shop.email.ids})
        assert len(shop.email.ids) == people
        assert shop.one("select count(*) from delivery") == people

    def test_purchases_while_it_is_being_delivered(self, make: Make) -> None:
        """P3 with real workers: by PostgreSQL's own account no claim could see its stop event."""
        shop = make(NOW)
        people = 60
        for n in range(people):
            shop.accept(view(product="p1", who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()

        def buy() -> None:
            for n in range(people):
                shop.accept(order(at(seconds=1), "p1", who=(f"email:{n}@x.de",)))

        def deliver() -> None:
            for _ in range(10):
                shop.deliver()

        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(buy), pool.submit(deliver)]:
                future.result()
        shop.drain()
        shop.deliver()
        seen_too_late = shop.one(
            "select count(*) from message m join event e"
            " on e.profile_id = m.profile_id and e.name = %s"
            " where m.gate_snapshot is not null"
            " and pg_visible_in_snapshot(e.accept_xid, m.gate_snapshot)",
            ORDER,
        )
        assert seen_too_late == 0
        statuses = {s for _, s, _ in shop.messages()}
        assert statuses <= {"sent", "cancelled"}
        assert len(shop.email.ids) == len([1 for _, s, _ in shop.messages() if s == "sent"])


def test_event_time_judges_each_at_its_own_time(make: Make) -> None:
    shop = make(journey(send(overdue=overdue(hours=1))))
    shop.drain(view(who=WHO))
    shop.at(at(days=3))
    exact: Shell = shop.shell
    exact.exact = True
    assert shop.deliver().sent == 1
    assert shop.one("select claimed_at from message") == T0
