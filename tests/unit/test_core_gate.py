"""May this message go? The verdict, without the database around it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.consent import allowed
from engine.core.gate import SEND, Verdict, judge, zone_of
from engine.model.message import Message, Sent
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic
from engine.model.profile import Consent

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NIGHT = QuietHours(time(21), time(9))
TOPICS = {
    "offers": Topic("offers", consent="opt-in"),
    "news": Topic("news", consent="opt-out"),
    "orders": Topic("orders", consent="none"),
}


def message(
    channel: str = "email", topic: str = "offers", expires_at: datetime | None = None
) -> Message:
    return Message(
        "m", "r", 1, "j", "v", "steps/0", channel, "t", topic, "e", NOON, NOON, expires_at
    )


def yes(topic: str = "*", channel: str = "email", at: datetime = NOON) -> Consent:
    return Consent(channel, topic, True, at)


def no(topic: str = "*", channel: str = "email", at: datetime = NOON) -> Consent:
    return Consent(channel, topic, False, at)


def verdict(
    *,
    channel: str = "email",
    topic: str = "offers",
    consents: Sequence[Consent] | None = None,
    sent: Sequence[tuple[str, datetime]] = (),
    suppressed: str = "",
    traits: dict[str, Any] | None = None,
    now: datetime = NOON,
    expires_at: datetime | None = None,
    bare: bool = False,
    **policy: Any,
) -> Verdict:
    return judge(
        message(channel, topic, expires_at),
        Policy(topics=TOPICS, **policy),
        traits or {},
        [yes(), yes(channel="sms")] if consents is None else consents,
        suppressed,
        [Sent(channel, "offers", at) for channel, at in sent],
        now,
        bare=bare,
    )


LATER = timedelta(seconds=1)


class TestConsent:
    @pytest.mark.parametrize(
        "topic, consents, may",
        [
            ("offers", [], False),
            ("news", [], True),
            ("orders", [], True),
            ("offers", [yes("offers")], True),
            ("offers", [yes()], True),
            ("news", [no("news")], False),
            ("news", [no()], False),
            ("orders", [no(), no("orders")], True),
            ("offers", [yes("news")], False),
            ("offers", [yes(channel="sms")], False),
            # the latest decision stands, about the topic or about all
            ("offers", [yes("offers"), no(at=NOON + LATER)], False),
            ("offers", [no(), yes("offers", at=NOON + LATER)], True),
            ("offers", [no("offers"), yes(at=NOON + LATER)], True),
            ("offers", [no(at=NOON - LATER), yes("offers")], True),
            # at the same time, the no
            ("offers", [yes("offers"), no()], False),
            ("offers", [no("offers"), yes()], False),
            # another topic's no is nobody's business
            ("offers", [yes("offers"), no("news", at=NOON + LATER)], True),
        ],
    )
    def test_allowed(self, topic: str, consents: list[Consent], may: bool) -> None:
        assert allowed(TOPICS[topic], topic, "email", consents) is may
        assert allowed(TOPICS[topic], topic, "email", consents[::-1]) is may
        found = verdict(topic=topic, consents=consents)
        if may:
            assert found == SEND
            return
        asked = any(c.channel == "email" and c.topic in ("*", topic) for c in consents)
        assert found.code == ("consent.withdrawn" if asked else "consent.missing")
        assert (found.action, found.reason) == ("skip", f"no consent for email {topic}")

    def test_an_unnamed_topic_needs_a_yes(self) -> None:
        assert verdict(topic="secret", consents=[]).action == "skip"
        assert verdict(topic="secret", consents=[yes()]) == SEND

    @given(
        st.lists(
            st.builds(
                Consent,
                st.sampled_from(["email", "sms"]),
                st.sampled_from(["*", "offers", "news"]),
                st.booleans(),
                st.integers(0, 3).map(lambda n: NOON + timedelta(hours=n)),
            )
        )
    )
    @settings(deadline=None, max_examples=300)
    def test_one_more_no_never_opens_and_a_final_no_always_closes(
        self, consents: list[Consent]
    ) -> None:
        topic = TOPICS["news"]
        latest = max((c.at for c in consents), default=NOON)
        assert not allowed(topic, "news", "email", [*consents, no(at=latest)])
        if not allowed(topic, "news", "email", consents):
            for consent in (no("news"), no(), no("news", at=latest)):
                assert not allowed(topic, "news", "email", [*consents, consent])


class TestCaps:
    day = Cap(2, timedelta(days=1))
    sms = Cap(1, timedelta(days=7), channel="sms")

    @pytest.mark.parametrize(
        "hours_ago, action",
        [((), "send"), ((1,), "send"), ((1, 2), "skip"), ((1, 24), "send"), ((1, 23.99), "skip")],
    )
    def test_window_rolls(self, hours_ago: tuple[float, ...], action: str) -> None:
        sent = [("email", NOON - timedelta(hours=h)) for h in hours_ago]
        assert verdict(sent=sent, caps=(self.day,)).action == action

    def test_all_channels_count_for_all(self) -> None:
        sent = [("email", NOON), ("sms", NOON)]
        found = verdict(sent=sent, caps=(self.day,))
        assert found == Verdict("skip", "frequency cap: 2 in 1 day", code="cap.all")

    def test_a_channel_counts_for_itself(self) -> None:
        sent = [("sms", NOON - timedelta(days=2))]
        assert verdict(channel="sms", sent=sent, caps=(self.sms,)).code == "cap.channel"
        assert verdict(channel="email", sent=sent, caps=(self.sms,)) == SEND
        assert verdict(channel="sms", sent=[("email", NOON)], caps=(self.sms,)) == SEND

    def test_the_tightest_of_several(self) -> None:
        caps = (Cap(5, timedelta(days=30)), self.day)
        old = [("email", NOON - timedelta(days=d)) for d in range(2, 7)]
        assert verdict(sent=old[:4], caps=caps) == SEND
        assert verdict(sent=old, caps=caps).action == "skip"
        assert verdict(sent=[("email", NOON)] * 2, caps=caps).action == "skip"

    def test_transactional_mail_knows_no_cap(self) -> None:
        assert verdict(topic="orders", sent=[("email", NOON)] * 9, caps=(self.day,)) == SEND

    def test_zero_lets_nothing_through(self) -> None:
        assert verdict(caps=(Cap(0, timedelta(days=1)),)).action == "skip"


class TestQuietHours:
    evening = datetime(2026, 6, 1, 22, tzinfo=UTC)
    morning = datetime(2026, 6, 2, 9, tzinfo=UTC)
    quiet: ClassVar = {"email": NIGHT}

    def test_wait_until_morning(self) -> None:
        found = verdict(now=self.evening, quiet_hours=self.quiet)
        assert found == Verdict("wait", "quiet hours", self.morning, code="quiet.shop")
        assert verdict(now=self.morning, quiet_hours=self.quiet) == SEND

    def test_by_channel(self) -> None:
        assert verdict(channel="sms", now=self.evening, quiet_hours=self.quiet) == SEND

    def test_transactional_mail_does_not_wait(self) -> None:
        assert verdict(topic="orders", now=self.evening, quiet_hours=self.quiet) == SEND

    def test_what_would_be_overdue_in_the_morning_is_skipped_now(self) -> None:
        early = self.morning - LATER
        found = verdict(now=self.evening, quiet_hours=self.quiet, expires_at=early)
        assert found == Verdict("skip", "quiet hours outlast the message", code="quiet.shop")
        exact = verdict(now=self.evening, quiet_hours=self.quiet, expires_at=self.morning)
        assert exact.action == "wait"

    def test_in_the_shoppers_zone(self) -> None:
        # 17:00 UTC is 22:00 in Karachi and 13:00 in New York.
        now = datetime(2026, 6, 1, 17, tzinfo=UTC)
        found = verdict(now=now, quiet_hours=self.quiet, traits={"timezone": "Asia/Karachi"})
        assert found.until == datetime(2026, 6, 2, 4, tzinfo=UTC)
        here = {"timezone": "America/New_York"}
        assert verdict(now=now, quiet_hours=self.quiet, traits=here) == SEND

    def test_a_cap_skips_before_the_night_delays(self) -> None:
        caps = (Cap(1, timedelta(days=1)),)
        sent = [("email", self.evening)]
        found = verdict(now=self.evening, quiet_hours=self.quiet, caps=caps, sent=sent)
        assert found.action == "skip"


class TestZone:
    policy = Policy(shop=Shop(timezone="Asia/Kolkata"))

    @pytest.mark.parametrize(
        "traits, zone",
        [
            ({}, "Asia/Kolkata"),
            ({"timezone": "Europe/Berlin"}, "Europe/Berlin"),
            ({"timezone": "Mars/Olympus"}, "Asia/Kolkata"),
            ({"timezone": "../../etc/passwd"}, "Asia/Kolkata"),
            ({"timezone": "/etc/localtime"}, "Asia/Kolkata"),
            ({"timezone": ""}, "Asia/Kolkata"),
            ({"timezone": "Europe"}, "Asia/Kolkata"),
            ({"timezone": "a\0b"}, "Asia/Kolkata"),
            ({"timezone": 5}, "Asia/Kolkata"),
            ({"phone": "+923001234567"}, "Asia/Karachi"),
            ({"phone": "+12125550123"}, "America/New_York"),
            ({"phone": "+18005550123"}, "Asia/Kolkata"),  # no one place
            ({"phone": "nonsense"}, "Asia/Kolkata"),
            ({"phone": ["+923001234567"]}, "Asia/Kolkata"),
            ({"phone": "+923001234567", "timezone": "Europe/Berlin"}, "Europe/Berlin"),
        ],
    )
    def test_zone_of(self, traits: dict[str, Any], zone: str) -> None:
        assert zone_of(traits, self.policy).key == zone

    def test_a_shop_without_a_real_zone_is_in_utc(self) -> None:
        assert zone_of({}, Policy(shop=Shop(timezone="nowhere"))).key == "UTC"


class TestTheRest:
    def test_expiry(self) -> None:
        assert verdict(expires_at=NOON) == SEND
        assert verdict(expires_at=NOON - LATER) == Verdict("skip", "overdue", code="overdue")

    def test_suppression_holds_for_every_topic(self) -> None:
        for topic in TOPICS:
            found = verdict(topic=topic, suppressed="bounced", consents=[yes()])
            assert found == Verdict("skip", "suppressed: bounced", code="suppressed.bounce")

    def test_bare_leaves_out_permission_but_not_suppression_or_expiry(self) -> None:
        strict: dict[str, Any] = {
            "consents": [no()],
            "caps": (Cap(0, timedelta(days=1)),),
            "quiet_hours": {"email": QuietHours(time(0), time(23))},
        }
        assert verdict(bare=True, **strict) == SEND
        assert verdict(bare=True, suppressed="x", **strict).action == "skip"
        assert verdict(bare=True, expires_at=NOON - LATER, **strict).action == "skip"
