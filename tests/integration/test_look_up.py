"""Unknown outcomes are looked up, a few times, and only what is proven is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from engine.model.lookup import Asked, Found
from engine.model.message import Rendered, Sms
from engine.runtime.look_up import LookedUp, look_up
from tests.integration.runtime_kit import (
    WHO,
    Make,
    Pipeline,
    Provider,
    accepts,
    deliveries,
    silent,
)
from tests.unit.core.build import at, journey, order, overdue, send, stop, view

JOURNEY = journey(send("sms", "text", overdue=overdue()), stops=[stop()])
ABSENT = Found("absent")


class Listing(Provider):
    """A provider that can be asked."""

    def __init__(self) -> None:
        super().__init__(silent)
        self.says: Found | Exception = ABSENT
        self.asked: list[Asked] = []

    def trace(self, rendered: Rendered) -> str:
        assert isinstance(rendered, Sms)
        return f"trace of {rendered.body}"

    def look_up(self, asked: Asked) -> Found:
        self.asked.append(asked)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


@pytest.fixture
def shop(make: Make) -> Pipeline:
    """A text that nobody knows of."""
    shop = make(sms=Listing())
    shop.drain(view(who=WHO))
    assert shop.deliver().unknown == 1
    return shop


def listing(shop: Pipeline) -> Listing:
    assert isinstance(shop.sms, Listing)
    return shop.sms


def after(shop: Pipeline, **later: float) -> LookedUp:
    return look_up(shop.at(at(**later)).shell)


def test_not_at_once_and_by_what_was_sent(shop: Pipeline) -> None:
    assert after(shop, seconds=30).asked == 0
    assert after(shop, minutes=1).asked == 1
    (asked,) = listing(shop).asked
    assert (asked.to, asked.trace, asked.handed_at) == ("+4930123456", "trace of text", at())


@pytest.mark.parametrize(
    "found, status, reason, outcome",
    [
        (Found("sent", "SM1"), "sent", "found at the provider", "accepted"),
        (Found("failed", "SM1", "no such number"), "failed", "no such number", "refused"),
    ],
)
def test_what_is_found_is_settled(
    shop: Pipeline, found: Found, status: str, reason: str, outcome: str
) -> None:
    listing(shop).says = found
    after(shop, minutes=1)
    assert shop.rows("select status, reason, reference from message") == [(status, reason, "SM1")]
    assert shop.rows("select outcome, settled_by from delivery") == [(outcome, "look-up")]
    assert after(shop, days=1).asked == 0


def test_absence_is_believed_only_late_and_twice(shop: Pipeline) -> None:
    assert after(shop, minutes=1).due == 0
    assert after(shop, minutes=5).asked == 0  # each look is further from the last
    assert after(shop, minutes=6).due == 0
    assert after(shop, minutes=21).due == 1
    assert shop.messages() == [("text", "due", "the provider never had it")]
    listing(shop).answer = accepts
    assert shop.deliver().sent == 1
    assert deliveries(shop) == [(1, "refused"), (2, "accepted")]


def test_but_not_after_the_purchase(shop: Pipeline) -> None:
    after(shop, minutes=1)
    after(shop, minutes=6)
    shop.drain(order(at(minutes=7)))
    after(shop, minutes=21)
    assert shop.messages() == [("text", "cancelled", "stopped")]
    assert shop.deliver().claimed == 0


@pytest.mark.parametrize("says", [Found("unsure"), RuntimeError("ouch")])
def test_what_is_not_proven_stays_unknown_and_is_not_asked_for_ever(
    shop: Pipeline, says: Any, caplog: Any
) -> None:
    caplog.set_level("CRITICAL")
    listing(shop).says = says
    for _ in range(20):
        look_up(shop.at(shop.clock.now() + timedelta(hours=7)).shell)
    assert len(listing(shop).asked) == 5
    assert shop.messages() == [("text", "unknown", "no answer")]
    assert len(listing(shop).handed) == 1


def test_one_that_lists_nothing_is_not_asked(make: Make) -> None:
    shop = make()
    shop.sms.answer = silent
    shop.drain(view(who=WHO))
    shop.deliver()
    assert after(shop, days=1).asked == 0


def test_references_of_other_messages_are_told(make: Make) -> None:
    shop = make(JOURNEY, journey(send("sms", "text"), name="other"), sms=Listing())
    first = True

    def answer(rendered: Rendered) -> Any:
        nonlocal first
        known, first = first, False
        return "SM-known" if known else silent(rendered)

    listing(shop).answer = answer
    shop.deliverer.threads = 1
    shop.drain(view(who=WHO))
    shop.deliver()
    after(shop, minutes=1)
    (asked,) = listing(shop).asked
    assert asked.others == {"SM-known"}


def test_two_alike_are_not_both_found_in_one(make: Make) -> None:
    shop = make(JOURNEY, journey(send("sms", "text"), name="other"), sms=Listing())
    shop.drain(view(who=WHO))
    shop.deliver()
    listing(shop).says = Found("sent", "SM1")
    after(shop, minutes=1)
    assert sorted(status for _, status, _ in shop.messages()) == ["sent", "unknown"]


def test_an_abandoned_message_is_looked_up_too(make: Make) -> None:
    from tests.integration.test_runtime_unknown import TestAbandoned

    shop = make(sms=Listing())
    shop.drain(view(who=WHO))

    def answer(rendered: Rendered) -> Exception:
        TestAbandoned().abandon(shop, at(seconds=1))
        return silent(rendered)

    listing(shop).answer = answer
    shop.deliver()
    listing(shop).says = Found("sent", "SM1")
    assert after(shop, minutes=2).sent == 1
