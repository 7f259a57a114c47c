"""What nobody knows has arrived: held, retried, abandoned, merged away while it was on the wire."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from engine.model.message import Rendered
from engine.model.policy import Cap, Policy
from engine.runtime import gate, reports
from engine.runtime.attempt import RETRY_UNKNOWN, TRIES
from engine.store import messages as messages_store
from engine.store import outcomes as outcomes_store
from engine.store.database import Connection
from tests.integration.runtime_kit import (
    ANSWERS,
    HOLD,
    RETRY,
    TOPICS,
    WHO,
    Make,
    Pipeline,
    accepts,
    busy,
    deliveries,
    silent,
)
from tests.unit.core.build import (
    T0,
    at,
    event,
    journey,
    order,
    send,
    view,
)

JOURNEY = HOLD


class TestUnknown:
    def test_is_held(self, make: Make) -> None:
        shop = make()
        shop.email.answer = silent
        shop.drain(view(who=WHO))
        assert shop.deliver().unknown == 1
        assert shop.messages() == [("once", "unknown", "no answer")]
        assert deliveries(shop) == [(1, "unknown")]
        shop.email.answer = accepts
        assert shop.at(at(days=9)).deliver().seen == 0
        assert len(shop.email.handed) == 1

    def test_is_sent_again_where_the_step_says_so_but_not_at_once(self, make: Make) -> None:
        shop = make(RETRY)
        shop.email.answer = silent
        shop.drain(view(who=WHO))
        assert shop.deliver().retried == 1
        assert shop.deliver().seen == 0
        assert shop.one("select due_at from message") == at(minutes=1)
        shop.email.answer = accepts
        assert shop.at(at(minutes=1)).deliver().sent == 1
        assert deliveries(shop) == [(1, "unknown"), (2, "accepted")]

    def test_and_not_for_ever(self, make: Make) -> None:
        shop = make(RETRY)
        shop.email.answer = silent
        shop.drain(view(who=WHO))
        for _ in range(TRIES + 2):
            shop.at(shop.clock.now() + timedelta(days=1)).deliver()
        assert shop.messages() == [("again", "unknown", "no answer")]
        assert len(shop.email.handed) == TRIES

    @pytest.mark.parametrize("broken", [ValueError("ouch"), KeyError("x"), TimeoutError()])
    def test_a_channel_that_breaks_its_contract(
        self, make: Make, broken: Exception, caplog: Any
    ) -> None:
        caplog.set_level("CRITICAL")
        shop = make()
        shop.email.answer = lambda _: broken
        shop.drain(view(who=WHO))
        assert shop.deliver().unknown == 1
        ((_, status, reason),) = shop.messages()
        assert (status, reason) == ("unknown", f"{type(broken).__name__} in provider")

    def test_one_does_not_keep_the_others(self, make: Make) -> None:
        shop = make()
        for n in range(20):
            shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))
        shop.drain()
        answers = {f"{n}@x.de": ANSWERS[n % 4] for n in range(20)}
        shop.email.answer = lambda rendered: answers[rendered.to](rendered)
        done = shop.deliver()
        assert (done.sent, done.failed, done.retried, done.unknown) == (5, 5, 5, 5)

    def test_it_counts_for_caps(self, make: Make) -> None:
        shop = make(policy=Policy(topics=TOPICS, caps=(Cap(1, timedelta(days=1)),)))
        shop.email.answer = silent
        other = journey(send(template="other"), name="other")
        shop.journeys = [HOLD, other]
        shop.drain(view(who=WHO))
        shop.deliver()
        assert len(shop.email.handed) == 1


class TestAbandoned:
    def claim(self, shop: Pipeline) -> None:
        """Claim what is due and die before the provider answers."""
        with shop.database.connection() as connection:
            found = messages_store.candidates(connection, shop.clock.now(), 100)
        assert gate.claim(shop.shell, found)

    def abandon(self, shop: Pipeline, before: Any) -> int:
        with shop.database.connection() as connection:
            now = shop.clock.now()
            lost = outcomes_store.abandoned(
                connection, before, now, tries=TRIES, pause=RETRY_UNKNOWN
            )
            reports.recall(connection, lost, now)
            return len(lost)

    def test_becomes_unknown(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))
        self.claim(shop)
        assert shop.deliver().seen == 0
        assert self.abandon(shop, T0) == 0  # it may still be on the wire
        shop.at(at(minutes=10))
        assert self.abandon(shop, at(minutes=5)) == 1
        assert shop.messages() == [("once", "unknown", "the worker died before the answer")]
        assert deliveries(shop) == [(1, "unknown")]
        assert shop.deliver().seen == 0

    def test_or_is_due_again_where_the_step_says_so(self, make: Make) -> None:
        shop = make(RETRY)
        shop.drain(view(who=WHO))
        self.claim(shop)
        shop.at(at(minutes=10))
        assert self.abandon(shop, at(minutes=5)) == 1
        assert shop.deliver().seen == 0  # not at once: its provider may still be at it
        assert shop.at(at(minutes=11)).deliver().sent == 1
        assert deliveries(shop) == [(1, "unknown"), (2, "accepted")]

    def test_and_not_for_ever(self, make: Make) -> None:
        shop = make(RETRY)
        shop.drain(view(who=WHO))
        for n in range(1, TRIES + 1):
            shop.at(at(days=n))
            self.claim(shop)
            assert self.abandon(shop, at(days=n, minutes=1)) == 1
        assert shop.messages() == [("again", "unknown", "the worker died before the answer")]
        assert shop.at(at(days=TRIES + 9)).deliver().seen == 0

    def test_unless_its_run_was_stopped_meanwhile(self, make: Make) -> None:
        shop = make(RETRY)
        shop.drain(view(who=WHO))
        self.claim(shop)
        shop.drain(order(at(minutes=1)))
        shop.at(at(minutes=10))
        assert self.abandon(shop, at(minutes=5)) == 1
        assert shop.deliver().claimed == 0
        assert shop.messages() == [("again", "cancelled", "stopped")]

    def test_an_answer_after_all_is_believed(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=WHO))

        def answer(_: Rendered) -> str:
            assert self.abandon(shop, at(seconds=1)) == 1
            return "late"

        shop.email.answer = answer
        shop.deliver()
        assert shop.messages() == [("once", "sent", "")]

    def test_the_providers_report_settles_it(self, make: Make) -> None:
        shop = make()
        shop.email.answer = silent
        shop.drain(view(who=WHO))
        shop.deliver()
        id = shop.one("select id::text from message")
        said = event("Email Delivered", at(minutes=1), message_id=id)
        shop.drain(said)  # anybody can say that who reads the write key in a page
        assert shop.messages()[0][1] == "unknown"
        by_callback = {"made_by": "sendgrid"}
        shop.drain(msgspec.structs.replace(said, id="report", context=by_callback))
        assert shop.messages() == [("once", "sent", "by the provider's report")]
        assert deliveries(shop) == [(1, "accepted")]
        assert shop.one("select settled_by from delivery") == "report"

    def test_also_while_it_waits_to_be_tried_again(self, make: Make) -> None:
        shop = make(RETRY)
        shop.email.answer = silent
        shop.drain(view(who=WHO))
        shop.deliver()
        id = shop.one("select id::text from message")
        said = event("Email Delivered", at(seconds=30), message_id=id)
        shop.drain(msgspec.structs.replace(said, id="report", context={"made_by": "sendgrid"}))
        assert shop.at(at(days=1)).deliver().seen == 0
        assert shop.messages() == [("again", "sent", "by the provider's report")]


#: Of each name: what it proves of a call that nobody answers.
PROVE = [
    ("Email Processed", {}, "sent"),
    ("Email Delivered", {}, "sent"),
    ("Email Bounced", {"permanent": True}, "sent"),
    ("Email Spam Reported", {}, "sent"),
    ("Email Dropped", {"reason": "Spam Content"}, "failed"),
    ("Email Unsubscribed", {}, "unknown"),
]


class TestReportedBeforeItIsUnknown:
    """Providers report within a second; a call is given up after fifteen, and a worker that was
    killed is missed after two minutes. No other report will come."""

    def report(self, shop: Pipeline, name: str = "Email Processed", **more: Any) -> None:
        id = shop.one("select id::text from message")
        said = event(name, at(seconds=1), id=f"report {name}", who=("email:a@b.de",))
        more = {"message_id": id, **more}
        context = {"made_by": "sendgrid"}
        shop.drain(msgspec.structs.replace(said, properties=more, context=context))

    @pytest.mark.parametrize(("name", "more", "becomes"), PROVE)
    def test_while_the_call_hangs(
        self, make: Make, name: str, more: dict[str, Any], becomes: str
    ) -> None:
        shop = make()
        shop.drain(view(who=WHO))

        def answer(rendered: Rendered) -> Exception:
            self.report(shop, name, **more)
            return silent(rendered)

        shop.email.answer = answer
        shop.deliver()
        ((_, status, reason),) = shop.messages()
        assert status == becomes
        outcome = {"sent": "accepted", "failed": "refused", "unknown": "unknown"}[becomes]
        assert deliveries(shop) == [(1, outcome)]
        if becomes != "unknown":
            assert reason == "by the provider's report"
            assert shop.one("select settled_by from delivery") == "report"
            assert shop.one("select live from enrollment") is False

    @pytest.mark.parametrize("journeys", [(HOLD,), (RETRY,)])
    def test_while_its_worker_is_dead_and_nobody_has_noticed(
        self, make: Make, journeys: Any
    ) -> None:
        shop = make(*journeys)
        shop.drain(view(who=WHO))
        TestAbandoned().claim(shop)
        self.report(shop)
        shop.at(at(minutes=10))
        assert TestAbandoned().abandon(shop, at(minutes=5)) == 1
        assert [status for _, status, _ in shop.messages()] == ["sent"]
        assert shop.at(at(days=1)).deliver().seen == 0

    @pytest.mark.parametrize("second", [silent, busy])
    def test_while_it_is_tried_again(self, make: Make, second: Any) -> None:
        shop = make(RETRY)
        shop.email.answer = silent
        shop.drain(view(who=WHO))
        shop.deliver()

        def answer(rendered: Rendered) -> Exception:
            self.report(shop)
            found: Exception = second(rendered)
            return found

        shop.email.answer = answer
        shop.at(at(minutes=1)).deliver()
        assert [status for _, status, _ in shop.messages()] == ["sent"]
        assert shop.at(at(days=1)).deliver().seen == 0  # it has arrived: not a third time

    def test_at_the_very_moment(self, make: Make) -> None:
        """The report waits for the worker that is writing, and then finds the message unknown."""
        shop = make()
        shop.drain(view(who=WHO))
        settle = outcomes_store.settle
        draining = threading.Thread(target=self.report, args=(shop,))

        def slow(connection: Connection, results: Any) -> dict[str, int]:
            found = settle(connection, results)
            draining.start()
            draining.join(0.5)  # the drain cannot end before this transaction does
            assert draining.is_alive()
            return found

        shop.email.answer = silent
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(outcomes_store, "settle", slow)
            shop.deliver()
        draining.join(20)
        assert not draining.is_alive()
        assert [status for _, status, _ in shop.messages()] == ["sent"]


class TestMergeInFlight:
    """The shopper is merged while the provider is called."""

    @pytest.mark.parametrize("journeys", [(HOLD,), (RETRY,)])
    def test_the_answer_finds_its_message(self, make: Make, journeys: Any) -> None:
        shop = make(*journeys)
        shop.drain(view(who=("anonymous:x", "email:a@b.de")[::-1]), event("Page", who=("user:1",)))
        before = shop.profile("email:a@b.de")

        def answer(_: Rendered) -> str:
            shop.drain(event("Page", at(seconds=1), who=("user:1", "anonymous:x")))
            return "taken"

        shop.email.answer = answer
        assert shop.deliver().sent == 1
        assert shop.profile("email:a@b.de") != before
        ((_, status, _),) = shop.messages()
        assert status == "sent"
        assert deliveries(shop) == [(1, "accepted")]
        assert shop.one("select live from enrollment") is False
        with shop.database.connection() as connection:
            assert not outcomes_store.abandoned(
                connection, at(days=1), at(days=1), tries=TRIES, pause=RETRY_UNKNOWN
            )

    def test_a_refusal_too(self, make: Make) -> None:
        shop = make()
        shop.drain(view(who=("email:a@b.de", "anonymous:x")), event("Page", who=("user:1",)))

        def answer(rendered: Rendered) -> Exception:
            shop.drain(event("Page", at(seconds=1), who=("user:1", "anonymous:x")))
            return busy(rendered)

        shop.email.answer = answer
        assert shop.deliver().retried == 1
        assert shop.messages() == [("once", "due", "try later")]
