"""Unknown outcomes are looked up, a few times, and only what is proven is written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.model.lookup import Asked, Found
from engine.model.message import Rendered, Sms
from engine.model.policy import Cap, Policy
from engine.model.sending import Sending
from engine.runtime.attempt import TRIES
from engine.runtime.audit import audit
from engine.runtime.look_up import LookedUp, look_up
from engine.store import lookups as lookups_store
from engine.store import messages as messages_store
from tests.integration.runtime_kit import (
    TOPICS,
    WHO,
    Make,
    Pipeline,
    Provider,
    accepts,
    deliveries,
    silent,
)
from tests.unit.core.build import at, event, journey, order, overdue, send, stop, view

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
    for _ in range(10):
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


class Seldom(Listing):
    """A provider that is asked about many at once, and not often."""

    at_once, per_minute, listed_after = 3, 60_000, timedelta(hours=1)

    def __init__(self) -> None:
        super().__init__()
        self.bunches: list[tuple[list[Asked], Asked | None]] = []

    def trace(self, rendered: Rendered) -> str:
        return rendered.message_id

    def look_up_all(self, asked: Sequence[Asked], known: Asked | None) -> list[Found]:
        self.bunches.append((list(asked), known))
        return [self.look_up(each) for each in asked]


class TestTogether:
    @pytest.fixture
    def seldom(self) -> Seldom:
        return Seldom()

    @pytest.fixture
    def shop(self, make: Make, seldom: Seldom) -> Pipeline:
        shop = make(journey(send(template="mail", overdue=overdue()), stops=[stop()]), email=seldom)
        for n in range(7):
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()
        assert self.lost(shop) == 7
        return shop

    def lost(self, shop: Pipeline) -> int:
        """How many went unanswered; nothing pauses the provider for it."""
        total = 0
        while unknown := shop.deliver().unknown:
            total += unknown
            shop.run_sql("delete from sender_state")
        return total

    def test_few_requests_for_many(self, shop: Pipeline, seldom: Seldom) -> None:
        assert after(shop, minutes=1).asked == 7
        assert [len(asked) for asked, _ in seldom.bunches] == [3, 3, 1]

    def test_it_is_not_asked_again_before_its_time(self, shop: Pipeline, seldom: Seldom) -> None:
        seldom.per_minute = 1
        assert look_up(shop.at(at(minutes=1)).shell, 0.2).asked == 3
        assert look_up(shop.shell, 0.2).asked == 0
        shop.run_sql("update sender_rate set next_all = 0")
        assert look_up(shop.shell, 0.2).asked == 3

    def test_a_later_message_that_it_has_is_the_witness(
        self, shop: Pipeline, seldom: Seldom
    ) -> None:
        after(shop, minutes=1)
        assert {known for _, known in seldom.bunches} == {None}
        seldom.answer = accepts
        shop.at(at(minutes=2)).drain(view(at(minutes=2), who=("user:9", "email:9@x.de")))
        shop.deliver()
        seldom.bunches.clear()
        after(shop, minutes=6)
        (known,) = {known.to for _, known in seldom.bunches if known}
        assert known == "9@x.de"
        assert all(asked.to != known for bunch, _ in seldom.bunches for asked in bunch)

    def test_the_witness_is_nobody_who_is_asked_about(self, shop: Pipeline, seldom: Seldom) -> None:
        """A mail to the same address would be one row where two are looked for, and the answer
        would prove nothing of anybody's."""
        shop.at(at(minutes=2)).drain(view(at(minutes=2), who=("user:9", "email:9@x.de")))
        with shop.database.connection() as connection:
            for minutes, n in ((3, 0), (4, 1), (5, 9)):
                profile = shop.profile(f"email:{n}@x.de")
                id = f"00000000-0000-0000-0000-00000000000{n}"
                lookups_store.note_taken(connection, seldom.name, at(minutes=minutes), profile, id)
        after(shop, minutes=6)
        assert seldom.bunches
        for bunch, known in seldom.bunches:
            assert known is not None and known.to not in {asked.to for asked in bunch}

    def test_absence_is_believed_as_late_as_the_provider_says(self, shop: Pipeline) -> None:
        for minutes in (1, 6, 21):
            assert after(shop, minutes=minutes).due == 0
        assert after(shop, minutes=81).due == 7


class TestClosed:
    """What nobody has told of for days has an end too, and says how to find out."""

    def test_it_says_so_and_is_asked_about_no_more(self, shop: Pipeline, caplog: Any) -> None:
        listing(shop).says = Found("unsure")
        assert after(shop, days=3).closed == 0
        done = after(shop, days=3, seconds=1)
        assert done.closed == 1
        ((template, status, reason),) = shop.messages()
        assert (template, status) == ("text", "unresolved")
        assert reason.startswith("nobody has told for 3 days whether its provider has it")
        assert shop.one("select live from enrollment") is False
        assert "closed" in caplog.text
        assert after(shop, days=9).asked == 0
        assert shop.at(at(days=9)).deliver().seen == 0

    def test_the_shop_says_when(self, make: Make) -> None:
        shop = make(policy=Policy(topics=TOPICS, sending=Sending(close_after=timedelta(days=1))))
        shop.sms.answer = silent
        shop.drain(view(who=WHO))
        shop.deliver()
        assert after(shop, days=1).closed == 0
        assert after(shop, days=1, seconds=1).closed == 1

    def test_it_still_counts_for_the_caps(self, make: Make) -> None:
        cap = Cap(1, timedelta(days=30))
        shop = make(JOURNEY, policy=Policy(topics=TOPICS, caps=(cap,)))
        shop.sms.answer = silent
        shop.drain(view(who=WHO))
        shop.deliver()
        after(shop, days=4)
        before = at(days=-1)
        with shop.database.connection() as connection:
            sent = messages_store.sent_since(connection, [shop.profile("user:1")], before, [])
        assert sum(map(len, sent.values())) == 1

    def test_a_report_that_comes_after_all_settles_it(self, shop: Pipeline) -> None:
        after(shop, days=4)
        id = shop.one("select id::text from message")
        said = event("SMS Delivered", shop.clock.now(), who=WHO, message_id=id)
        shop.drain(msgspec.structs.replace(said, context={"made_by": "twilio"}))
        assert shop.messages() == [("text", "sent", "by the provider's report")]

    def test_a_step_that_tries_again_has_an_end_too(self, make: Make) -> None:
        shop = make(
            journey(send("sms", "text", on_unknown="retry", overdue=overdue()), stops=[stop()])
        )
        shop.sms.answer = silent
        shop.drain(view(who=WHO))
        while shop.one("select count(*) from message where status = 'due'"):
            shop.deliver()
            shop.run_sql("delete from sender_state")
            shop.at(shop.clock.now() + timedelta(hours=3))
        assert len(shop.sms.handed) == TRIES
        assert look_up(shop.at(shop.clock.now() + timedelta(days=4)).shell).closed == 1
        assert shop.messages()[0][1] == "unresolved"

    def test_doctor_and_audit_count_it(self, shop: Pipeline) -> None:
        after(shop, days=4)
        with shop.database.connection() as connection:
            found = lookups_store.counts(connection)
        assert found == (0, 0, 1, 0)
        report = audit(shop.database, shop.shell.book(), shop.policy)
        assert (report.unknown, report.facts["unresolved"], report.ok) == (0, 1, True)
