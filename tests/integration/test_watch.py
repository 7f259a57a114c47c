"""What pauses itself holds its messages and nothing else, until a person resumes it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.model.message import Email, Message, Rendered
from engine.model.policy import Policy
from engine.model.sending import AutoPause, Sending
from engine.runtime import gate
from engine.runtime.watch import watch
from engine.store import messages as messages_store
from engine.store import senders
from engine.store.claims import Carrier
from engine.store.senders import Pause
from engine.testing.renderer import PlainRenderer
from tests.integration.runtime_kit import TOPICS, WHO, Make, Pipeline
from tests.unit.core.build import at, event, journey, order, overdue, send, stop, view

BAD = journey(send(template="bad", overdue=overdue()), name="bad", stops=[stop()])
GOOD = journey(send("sms", "good"), name="good", stops=[stop()])
JOURNEY = BAD
LIMITS = AutoPause(complaints=0.1, bounces=0.2, within=timedelta(days=1), at_least=10)
RULES = Policy(topics=TOPICS, sending=Sending(auto_pause=LIMITS))
SAID = {"made_by": "sendgrid"}


def sent(shop: Pipeline, count: int, first: int = 0) -> list[tuple[str, str]]:
    """(id, address) of so many mails that went."""
    for n in range(first, first + count):
        shop.accept(view(shop.clock.now(), who=(f"user:{n}", f"email:{n}@x.de")))
    shop.drain()
    shop.deliver()
    handed = shop.email.handed[-count:]
    return [(mail.message_id, mail.to) for mail in handed]


def report(shop: Pipeline, mails: list[tuple[str, str]], name: str, **more: Any) -> None:
    for id, address in mails:
        said = event(name, shop.clock.now(), who=(f"email:{address}",), message_id=id, **more)
        shop.accept(msgspec.structs.replace(said, id=f"{name} {id}", context=SAID))
    shop.drain()


def paused(shop: Pipeline) -> list[str]:
    return [p.subject for p in _pauses(shop)]


def _pauses(shop: Pipeline) -> list[Pause]:
    with shop.database.connection() as connection:
        return senders.pauses(connection)


def resume(shop: Pipeline, subject: str) -> bool:
    with shop.database.connection() as connection:
        return senders.resume(connection, subject, shop.clock.now(), "ann")


def pause(shop: Pipeline, subject: str) -> bool:
    with shop.database.connection() as connection:
        return senders.pause(connection, Pause(subject, shop.clock.now(), "ann", "to look", {}))


def test_too_many_bounces_pause_the_journey_and_the_sender(make: Make, caplog: Any) -> None:
    shop = make(policy=RULES)
    mails = sent(shop, 12)
    report(shop, mails[:9], "Email Delivered")
    report(shop, mails[9:], "Email Bounced", permanent=True)
    assert [p.subject for p in watch(shop.shell)] == ["journey:bad", "sender:s@x.de"]
    found = _pauses(shop)[0]
    assert (found.by, found.figures["bounced"], found.figures["delivered"]) == ("winback", 3, 9)
    assert found.reason == "bounced: 3 of 12 within 1 day (25.00 %, more than 20 %)"
    assert "winback resume journey:bad" in caplog.text
    assert watch(shop.shell) == []


def test_reports_that_do_not_count(make: Make) -> None:
    shop = make(policy=RULES)
    mails = sent(shop, 12)
    report(shop, mails, "Email Bounced", permanent=False)  # a full mailbox passes by
    report(shop, mails, "Email Bounced", permanent=False)  # and what is said twice counts once
    report(shop, [("no id", mails[0][1])], "Email Bounced", permanent=True)
    said = event("Email Spam Reported", who=("email:0@x.de",), message_id=mails[0][0])
    shop.drain(said)  # anybody can say that who reads the write key in a page
    watch(shop.shell)
    assert paused(shop) == []


def test_figures_grow_old(make: Make) -> None:
    shop = make(policy=RULES)
    mails = sent(shop, 12)
    report(shop, mails[:3], "Email Spam Reported")
    watch(shop.shell)
    shop.at(at(days=2))
    report(shop, mails, "Email Delivered")
    watch(shop.shell)
    assert paused(shop) == []
    assert shop.one("select count(*) from report") == 0


def test_switched_off(make: Make) -> None:
    off = Policy(topics=TOPICS, sending=Sending(auto_pause=None))
    shop = make(policy=off)
    report(shop, sent(shop, 12), "Email Bounced", permanent=True)
    assert watch(shop.shell) == []


class TestPausedJourney:
    def test_holds_its_messages_and_no_others(self, make: Make) -> None:
        shop = make(BAD, GOOD, policy=RULES)
        pause(shop, "journey:bad")
        shop.drain(view(who=WHO))
        assert shop.deliver().sent == 1
        assert shop.messages() == [("bad", "due", "journey paused: to look"), ("good", "sent", "")]
        assert shop.deliver().seen == 0  # put aside, so that nobody looks at it again and again
        assert resume(shop, "journey:bad")
        assert shop.deliver().sent == 1
        assert shop.messages()[0] == ("bad", "sent", "")

    def test_puts_aside_what_is_due_already(self, make: Make) -> None:
        shop = make(policy=RULES)
        shop.drain(view(who=WHO))
        pause(shop, "journey:bad")
        assert not pause(shop, "journey:bad")
        assert shop.deliver().seen == 0
        assert shop.messages() == [("bad", "due", "journey paused: to look")]

    def test_stops_still_work(self, make: Make) -> None:
        shop = make(policy=RULES)
        pause(shop, "journey:bad")
        shop.drain(view(who=WHO))
        shop.deliver()
        shop.drain(order(at(hours=1)))
        assert shop.messages() == [("bad", "cancelled", "stopped")]
        resume(shop, "journey:bad")
        assert shop.at(at(hours=2)).deliver().seen == 0

    def test_what_is_overdue_then_follows_its_own_rule(self, make: Make) -> None:
        shop = make(
            journey(send(template="bad", overdue=overdue(hours=1)), name="bad", stops=[stop()]),
            policy=RULES,
        )
        pause(shop, "journey:bad")
        shop.drain(view(who=WHO))
        shop.at(at(days=3)).deliver()
        assert shop.messages()[0][1] == "due"  # it waits, and does not expire behind the back
        resume(shop, "journey:bad")
        shop.deliver()
        assert shop.messages()[0][1] == "skipped"

    def test_a_claim_that_knows_nothing_of_it_is_refused(self, make: Make) -> None:
        """A worker looks at the pauses once a second; the claiming statement looks itself."""
        shop = make(policy=RULES)
        shop.drain(view(who=WHO))
        with shop.database.connection() as connection:
            found = messages_store.candidates(connection, shop.clock.now(), 9)
        pause(shop, "journey:bad")
        assert gate.claim(shop.shell, found) == {}
        assert shop.one("select attempts from message") == 0


class TestPausedProvider:
    def test_by_a_person(self, make: Make) -> None:
        shop = make(BAD, GOOD, policy=RULES)
        shop.sms.name = "texts"  # type: ignore[misc]
        pause(shop, "provider:provider")
        shop.drain(view(who=WHO))
        assert shop.deliver().sent == 1
        assert len(shop.email.handed) == 0
        resume(shop, "provider:provider")
        assert shop.deliver().sent == 1

    def test_another_stands_in_for_a_persons_pause_not_for_its_own(self, make: Make) -> None:
        from tests.integration.test_senders import Second

        shop, second = make(policy=RULES), Second()
        shop.shell.fallbacks = {"email": (second,)}
        pause(shop, "provider:provider")
        shop.drain(view(who=WHO))
        assert shop.deliver().sent == 1 and len(second.handed) == 1
        resume(shop, "provider:provider")
        with shop.database.connection() as connection:
            own = Pause("provider:provider", shop.clock.now(), senders.WINBACK, "spam", {})
            senders.pause(connection, own)
        shop.drain(view(who=("user:2", "email:2@x.de")))
        assert shop.deliver().sent == 0


class TwoSenders(PlainRenderer):
    """Mails of the template "good" come from another address."""

    def render(self, message: Message, *rest: Any, **more: Any) -> Rendered:
        made = super().render(message, *rest, **more)
        assert isinstance(made, Email)
        sender = "good@x.de" if message.template == "good" else "bad@x.de"
        return msgspec.structs.replace(made, from_address=sender)


class TestPausedSender:
    @pytest.fixture
    def shop(self, make: Make) -> Pipeline:
        good = journey(send(template="good", overdue=overdue(hours=1)), name="good", stops=[stop()])
        shop = make(BAD, good, policy=RULES)
        shop.shell.renderer = TwoSenders()
        return shop

    def test_pauses_itself_while_another_goes_on_with_the_same_provider(
        self, shop: Pipeline
    ) -> None:
        for n in range(12):
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()
        shop.deliver()
        mails = [m for m in shop.email.handed if isinstance(m, Email)]
        assert Counter(m.from_address for m in mails) == {"good@x.de": 12, "bad@x.de": 12}
        bad = [(m.message_id, m.to) for m in mails if m.from_address == "bad@x.de"]
        good = [(m.message_id, m.to) for m in mails if m.from_address == "good@x.de"]
        report(shop, bad, "Email Bounced", permanent=True)
        report(shop, good, "Email Delivered")
        # Half of what the provider carried bounced, and yet it is not the provider that pauses.
        assert [p.subject for p in watch(shop.shell)] == ["journey:bad", "sender:bad@x.de"]
        resume(shop, "journey:bad")
        for n in range(20, 180):  # more than one look finds
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()
        handed = len(shop.email.handed)
        assert shop.deliver().sent == 160
        assert {m.from_address for m in shop.email.handed[handed:] if isinstance(m, Email)} == {
            "good@x.de"
        }
        assert shop.deliver().seen == 0  # put aside
        held = shop.rows("select distinct template, held, reason from message where status = 'due'")
        assert held == [("bad", "sender:bad@x.de", f"sender paused: {_pauses(shop)[0].reason}")]
        resume(shop, "sender:bad@x.de")
        assert shop.deliver().sent == 160
        assert shop.one("select count(*) from message where status <> 'sent'") == 0
        assert watch(shop.shell) == []  # nor does it, or its provider, pause again for the same

    def test_what_waited_follows_its_own_rule(self, shop: Pipeline) -> None:
        pause(shop, "sender:good@x.de")
        shop.drain(view(who=WHO))
        assert shop.deliver().sent == 1
        shop.at(at(days=3)).deliver()
        assert ("good", "due", "sender paused: to look") in shop.messages()
        resume(shop, "sender:good@x.de")
        shop.deliver()
        assert [status for name, status, _ in shop.messages() if name == "good"] == ["skipped"]

    def test_stops_still_work(self, shop: Pipeline) -> None:
        pause(shop, "sender:bad@x.de")
        shop.drain(view(who=WHO))
        shop.deliver()
        shop.drain(order(at(hours=1)))
        resume(shop, "sender:bad@x.de")
        assert shop.at(at(hours=2)).deliver().sent == 0
        assert ("bad", "cancelled", "stopped") in shop.messages()

    def test_a_claim_that_knows_nothing_of_it_is_refused(self, shop: Pipeline) -> None:
        """A worker looks at the pauses once a second; the claiming statement looks itself."""
        shop.drain(view(who=WHO))
        with shop.database.connection() as connection:
            found = messages_store.candidates(connection, shop.clock.now(), 9)
        pause(shop, "sender:bad@x.de")
        carriers = {
            c.message.id: Carrier("provider", sender=f"{c.message.template}@x.de") for c in found
        }
        claimed = gate.claim(shop.shell, found, carriers)
        assert [c.message.template for c in found if c.message.id in claimed] == ["good"]


def test_a_provider_pauses_for_what_many_small_senders_did_together(make: Make) -> None:
    class Many(PlainRenderer):
        def render(self, message: Message, *rest: Any, **more: Any) -> Rendered:
            made = super().render(message, *rest, **more)
            assert isinstance(made, Email)
            return msgspec.structs.replace(made, from_address=f"from-{made.to}")

    shop = make(BAD, policy=RULES)
    shop.shell.renderer = Many()
    mails = sent(shop, 12)
    report(shop, mails, "Email Bounced", permanent=True)
    watch(shop.shell)
    assert paused(shop) == ["journey:bad", "provider:provider"]


def test_a_resumed_journey_does_not_pause_again_for_the_same(make: Make) -> None:
    shop = make(policy=RULES)
    mails = sent(shop, 12)
    report(shop, mails, "Email Bounced", permanent=True)
    watch(shop.shell)
    assert resume(shop, "journey:bad") and resume(shop, "sender:s@x.de")
    assert not resume(shop, "journey:bad")
    assert watch(shop.shell) == []
    with shop.database.connection() as connection:
        ended = senders.pauses_ended(connection)
    assert {(p.subject, p.by, p.resumed_by) for p in ended} == {
        ("journey:bad", "winback", "ann"),
        ("sender:s@x.de", "winback", "ann"),
    }


def test_reports_of_merged_shoppers_count(make: Make) -> None:
    shop = make(policy=RULES)
    mails = sent(shop, 12)
    report(shop, mails, "Email Bounced", permanent=True)
    for n in range(12):  # each turns out to be another's account
        shop.drain(event("Page", at(hours=1), who=(f"user:{n + 100}",)))
    watch(shop.shell)
    assert paused(shop) == ["journey:bad", "sender:s@x.de"]
