"""SendGrid's simulator: what it takes, what it then reports, and that we believe it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.channels.sendgrid import MESSAGE_ID, SendGridChannel, body_of
from engine.clock import ManualClock
from engine.errors import DeliveryError, OutcomeUnknown
from engine.testing.plan import Plan
from engine.testing.sendgrid import SendGridSimulator
from engine.testing.sendgrid_events import entry
from engine.testing.simulator import Simulator, answering
from engine.testing.stories import SENDGRID_WORDS, Callbacks, Stories
from tests.contract.conftest import an_email
from tests.contract.simulator_kit import Shop, plain
from tests.shared_data import shared

Start = Callable[..., tuple[SendGridSimulator, SendGridChannel, Shop]]


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def start(
            stories: str | dict[str, float] = "processed delivered",
            told: dict[str, str] | None = None,
            **how: Any,
        ) -> tuple[SendGridSimulator, SendGridChannel, Shop]:
            options = {k: how.pop(k) for k in ("plan", "rate", "spec", "slow", "clock") if k in how}
            shares = stories if isinstance(stories, dict) else {stories: 1.0}
            inbox = stack.enter_context(Simulator())
            callbacks = Callbacks(
                url=f"{inbox.url}/callbacks/sendgrid",
                stories=Stories(shares, told=told),
                **{"delay": 0.005, "every": 0.02, "again": (0.02, 0.02, 0.02), **how},
            )
            there = stack.enter_context(SendGridSimulator(callbacks=callbacks, **options))
            channel = SendGridChannel("SG.key", there.url, answer=0.3)
            stack.callback(channel.close)
            shop = Shop(inbox, there)
            shop.inbox = inbox  # type: ignore[attr-defined]
            return there, channel, shop

        yield start


def test_the_id_we_look_for_is_the_one_we_send() -> None:
    assert SendGridSimulator.key_argument == MESSAGE_ID


def test_what_is_taken_is_reported_signed_and_believed(start: Start) -> None:
    there, channel, shop = start("processed deferred delivered open click")
    sent = an_email(7, html='<a href="https://shop.example/c?a=1&amp;b=2">See</a>')
    receipt = channel.send(sent)
    assert there.drain()
    events = shop.events()
    assert Counter(e.name for e in events) == {
        f"Email {word}": 1 for word in ("Processed", "Deferred", "Delivered", "Opened", "Clicked")
    }
    for event in events:
        assert event.properties["message_id"] == sent.message_id
        assert event.properties["reference"].startswith(receipt.reference)
        assert event.identifiers == ("email:shopper7@example.com",)
    click = next(e for e in events if e.name == "Email Clicked")
    assert click.properties["url"] == "https://shop.example/c?a=1&b=2"
    (post,) = {post.headers["content-type"] for post in shop.posts}
    assert post == "application/json"
    assert all(post.body.endswith(b"]\r\n") for post in shop.posts)


def test_a_flipped_byte_is_not_believed(start: Start) -> None:
    there, channel, shop = start()
    channel.send(an_email())
    assert there.drain()
    (post,) = shop.posts
    assert shop.believes(post)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(post.body) - 1), st.integers(1, 255))
    def flipped(at: int, change: int) -> None:
        assert not shop.believes(
            post, lambda raw: raw[:at] + bytes([raw[at] ^ change]) + raw[at + 1 :]
        )

    flipped()
    assert not shop.believes(post, bytes.rstrip)
    stamp = "x-twilio-email-event-webhook-timestamp"
    late = post._replace(headers={**post.headers, stamp: str(int(post.headers[stamp]) + 1)})
    assert not shop.believes(late)
    with SendGridSimulator() as stranger:
        assert stranger.public_key != there.public_key


def test_its_entries_have_the_fields_of_recorded_ones() -> None:
    """Each recorded event's fields, but for custom ones, are also in ours of the same kind."""
    recorded = shared("payloads/esp_webhooks/sendgrid.jsonl").read_text("utf-8").splitlines()
    mail = {"arguments": {}, "categories": ["a"], "link": "https://a.example/", "group": 0}
    seen = set()
    for line in filter(None, recorded):
        for theirs in json.loads(line)["payload"]:
            kind = theirs["event"]
            ours = entry(kind, 0, "a@b.example", "ref", 1.0, mail)
            custom = {"anymail_id", "custom1", "custom2"}
            missing = theirs.keys() - custom - ours.keys()
            assert not missing, kind
            for name in theirs.keys() & ours.keys() - {"category"}:
                assert type(ours[name]) is type(theirs[name]), (kind, name)
            seen.add(kind)
    assert seen >= {"processed", "delivered", "deferred", "bounce", "dropped", "open", "click"}


def test_every_kind_of_event_is_read(start: Start) -> None:
    there, channel, shop = start(" ".join(sorted(SENDGRID_WORDS)))
    channel.send(an_email())
    assert there.drain()
    names = {event.name for event in shop.events()}
    assert names == {
        *("Email Processed", "Email Deferred", "Email Delivered", "Email Bounced"),
        *("Email Dropped", "Email Opened", "Email Clicked", "Email Spam Reported"),
        *("Email Unsubscribed", "Email Resubscribed", "Consent Withdrawn"),
    }


@pytest.mark.parametrize(
    ("story", "permanent"),
    [("bounce:bounce", True), ("bounce:blocked", False), ("bounce:expired", False)],
)
def test_only_a_real_bounce_is_for_good(start: Start, story: str, permanent: bool) -> None:
    there, channel, shop = start(f"processed {story}")
    channel.send(an_email(1))
    assert there.drain()
    bounce = next(e for e in shop.events() if e.name == "Email Bounced")
    assert bounce.properties["permanent"] is permanent
    assert ("shopper1@example.com" in there.suppressed) is permanent
    assert there.ledger is not None
    assert ("shopper1@example.com" in there.ledger.stops) is permanent


def test_a_machine_s_opening_says_so(start: Start) -> None:
    there, channel, shop = start("open:machine open")
    channel.send(an_email())
    assert there.drain()
    opened = [e.properties["machine"] for e in shop.events() if e.name == "Email Opened"]
    assert sorted(opened) == [False, True]


@pytest.mark.parametrize(
    ("story", "reason"),
    [
        ("processed bounce", "Bounced Address"),
        ("processed delivered spamreport", "Spam Reporting Address"),
        ("processed delivered unsubscribe", "Unsubscribed Address"),
    ],
)
def test_mail_to_a_suppressed_address_is_accepted_and_dropped(
    start: Start, story: str, reason: str
) -> None:
    there, channel, shop = start(story)
    channel.send(an_email(1))
    assert there.drain()
    receipt = channel.send(an_email(1, message_id="00000000-0000-0000-0000-000000000002"))
    assert receipt.reference  # SendGrid says 202 all the same
    assert there.drain()
    dropped = [e for e in shop.events() if e.name == "Email Dropped"]
    assert [e.properties["reason"] for e in dropped] == [reason]
    assert dropped[0].properties["message_id"].endswith("2")
    assert there.ledger is not None
    assert [taken.kept_back for taken in there.ledger] == [False, True]
    assert [taken.key[-1] for taken in there.ledger.after_stop()] == ["2"]
    channel.send(an_email(2))
    assert there.drain()
    assert len(there.ledger.entries) == 3 and not there.ledger.entries[2].kept_back


def test_leaving_a_group_stops_that_group_only_and_an_override_goes_through(start: Start) -> None:
    there, _, _ = start("processed", told={"shopper1@example.com": "processed group_unsubscribe"})

    def send(group: int, **settings: Any) -> None:
        mail = {**body_of(an_email(1)), "asm": {"group_id": group}, "mail_settings": settings}
        answer = urllib3.request(
            "POST",
            f"{there.url}/v3/mail/send",
            json=mail,
            headers={"Authorization": "Bearer SG.key", "Content-Type": "application/json"},
        )
        assert answer.status == (200 if "sandbox_mode" in settings else 202)

    send(5)
    assert there.drain()
    send(5)
    send(6)
    send(5, bypass_list_management={"enable": True})
    send(5, sandbox_mode={"enable": True})
    assert there.ledger is not None
    assert [taken.kept_back for taken in there.ledger] == [False, True, False, False]


def test_reports_come_twice_late_and_out_of_order_and_are_the_same_events(start: Start) -> None:
    def run() -> tuple[list[str], Counter[tuple[str, str]]]:
        there, channel, shop = start(
            "processed delivered open click",
            twice=0.5,
            shuffle=0.5,
            late=0.3,
            late_by=0.05,
            batch=1,
            seed=5,
        )
        for n in range(30):
            channel.send(an_email(n))
        assert there.drain()
        events = shop.events()
        count = Counter((e.properties["message_id"], e.name) for e in events)
        assert len({e.id for e in events}) == len(count) == 120  # a repeat has the same id
        order: dict[str, list[str]] = {}
        for event in events:
            order.setdefault(event.properties["message_id"], []).append(event.name)
        assert any(names[0] != "Email Processed" for names in order.values())
        return [e.id for e in events], count

    (_, first), (_, second) = run(), run()
    assert first == second  # which ones come twice is the seed's to say
    assert 30 < sum(first.values()) - 120 < 90


def test_events_are_gathered_into_posts(start: Start) -> None:
    there, channel, shop = start("processed delivered", batch=25, every=5.0)
    for n in range(50):
        channel.send(an_email(n))
    assert there.drain()
    assert [len(json.loads(plain(post))) for post in shop.posts] == [25] * 4
    assert there.events == 100


def test_a_post_is_small_enough_for_sendgrid(start: Start) -> None:
    there, channel, shop = start("delivered", batch=100_000, every=0.5)
    arguments = {"big": "x" * 9000}
    mail = body_of(an_email())
    mail["personalizations"] = [
        {"to": [{"email": f"u{n}@example.com"}], "custom_args": arguments} for n in range(100)
    ]
    channel._sdk.send(mail)
    assert there.drain()
    assert len(shop.posts) == 2
    assert all(len(post.body) <= 768_010 for post in shop.posts)
    assert there.count == 100


def test_what_is_not_taken_is_posted_again(start: Start) -> None:
    there, channel, shop = start()
    shop.inbox.script([answering(503), answering(500), answering(401)])  # type: ignore[attr-defined]
    channel.send(an_email())
    assert there.drain()
    assert len(shop.events()) == 2
    poster = there.poster
    assert (poster.posts, poster.repeats, poster.accepted, poster.refused) == (4, 3, 1, 3)
    assert poster.given_up == 0
    shop.inbox.script([answering(503)] * 4)  # type: ignore[attr-defined]
    channel.send(an_email(2))
    assert there.drain()
    assert poster.given_up == 1
    assert len(shop.events()) == 2


def test_events_go_by_the_shop_s_clock_and_signatures_by_the_machine_s(start: Start) -> None:
    at = datetime(2031, 1, 1, tzinfo=UTC)
    there, channel, shop = start(clock=ManualClock(at))
    channel.send(an_email())
    assert there.drain()
    stamp = int(shop.posts[0].headers["x-twilio-email-event-webhook-timestamp"])
    assert abs(stamp - time.time()) < 60
    assert {e.time.replace(second=0, microsecond=0) for e in shop.events()} == {at}
    assert there.ledger is not None and there.ledger.entries[0].at == at.timestamp()


def test_posts_can_be_compressed(start: Start) -> None:
    there, channel, shop = start(gzip=True)
    channel.send(an_email())
    assert there.drain()
    assert shop.posts[0].headers["content-encoding"] == "gzip"
    assert len(shop.events()) == 2


def test_a_test_may_bring_about_an_event_of_its_own(start: Start) -> None:
    there, channel, shop = start("processed")
    channel.send(an_email(1))
    there.report("shopper1@example.com", "spamreport")
    assert there.drain()
    assert "Email Spam Reported" in {e.name for e in shop.events()}
    assert there.suppressed == {"shopper1@example.com": "Spam Reporting Address"}
    with pytest.raises(LookupError):
        there.report("nobody@example.com", "open")


@pytest.mark.parametrize(
    ("fault", "taken", "what"),
    [
        ("429", False, DeliveryError),
        ("503", False, DeliveryError),
        ("401", False, DeliveryError),
        ("403", False, DeliveryError),
        ("413", False, DeliveryError),
        ("400", False, DeliveryError),
        ("drop", False, OutcomeUnknown),
        ("500", False, OutcomeUnknown),
        ("502", False, OutcomeUnknown),
        ("504", False, OutcomeUnknown),
        ("hang", True, OutcomeUnknown),
        ("cut", True, OutcomeUnknown),
        ("lie", True, OutcomeUnknown),
        ("slow", True, None),
    ],
)
def test_each_fault_is_what_it_says(
    start: Start, fault: str, taken: bool, what: type[Exception] | None
) -> None:
    there, channel, shop = start(plan=Plan({fault: 1.0}), slow=0.05)
    if what is None:
        channel.send(an_email())
    else:
        with pytest.raises(what):
            channel.send(an_email())
    assert there.faulted == {fault: 1}
    assert there.drain()
    assert there.ledger is not None
    assert [t.fault for t in there.ledger] == ([fault] if taken else [])
    # What was taken is reported, whatever was answered: that is how the unknown is settled.
    assert bool(shop.events()) is taken


def test_too_many_requests_are_refused_until_the_next_second(start: Start) -> None:
    there, channel, _ = start(rate=5)
    took = waits = 0
    for n in range(30):
        try:
            channel.send(an_email(n))
            took += 1
        except DeliveryError as busy:
            assert busy.retry_after == timedelta(seconds=1)
            waits += 1
    assert 5 <= took <= 15 and waits == 30 - took
    assert there.faulted == {"429": waits}
    assert there.count == took


def test_the_ledger_tells_a_sender_that_repeats_blindly(start: Start) -> None:
    """The truth under many threads: exactly the blind repeats of what was taken are doubles."""
    there, channel, _ = start(plan=Plan({"cut": 0.1, "lie": 0.1, "429": 0.1, "drop": 0.1}, 2))

    def blindly(n: int) -> None:
        for _ in range(20):
            try:
                channel.send(an_email(n))
            except (DeliveryError, OutcomeUnknown):
                continue
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(blindly, range(200)))
    ledger = there.ledger
    assert ledger is not None
    assert ledger.lost(an_email(n).message_id for n in range(200)) == set()
    unsaid = Counter(t.key for t in ledger if t.fault in ("cut", "lie"))
    assert ledger.doubled() == {key: count + 1 for key, count in unsaid.items()}
    assert 20 < len(ledger.doubled()) < 80
    assert there.requests == 200 + sum(there.faulted.values())


def test_everything_goes_past_its_own_schema(start: Start) -> None:
    there, channel, shop = start(spec=shared("specs/sendgrid/tsg_mail_v3.json"))
    channel.send(an_email(1, from_name="آداب", reply_to="help@shop.example"))
    assert there.drain()
    assert len(shop.events()) == 2
