"""Two identities of one shopper become one, on a real PostgreSQL: nothing of either is lost."""

from __future__ import annotations

import pytest

import engine.core.identity as identity
from tests.integration.runtime_kit import LEFT, Make, identify
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

JOURNEY = LEFT


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
