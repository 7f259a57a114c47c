"""What a message does that the gate holds back: wait, skip, or stand back for a higher one."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec
import pytest

from engine.core.gate import SEND, Verdict, judge, uncapped
from engine.core.refusals import QUIET
from engine.model.message import Message, Sent
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic

NOW = datetime(2026, 3, 2, 22, tzinfo=UTC)
DAY = timedelta(days=1)
OPEN = {"offers": Topic("offers", consent="opt-out")}


def message(**changes: Any) -> Message:
    made = Message(
        "m", "r", 1, "j", "v", "steps/0", "email", "t", "offers", "e", NOW, NOW, NOW + DAY
    )
    return msgspec.structs.replace(made, **changes)


def verdict(
    policy: Policy,
    one: Message,
    *sent: datetime,
    now: datetime = NOW,
    traits: dict[str, Any] | None = None,
    suppressed: str = "",
) -> Verdict:
    history = [Sent("email", "offers", at) for at in sent]
    return judge(one, policy, traits or {}, (), suppressed, history, now)


class TestCaps:
    policy = Policy(topics=OPEN, caps=(Cap(2, 7 * DAY), Cap(1, DAY)))

    def test_skip_is_the_default(self) -> None:
        assert verdict(self.policy, message(), NOW).action == "skip"

    def test_wait_until_the_slot_is_free(self) -> None:
        hour = timedelta(hours=1)
        waits = message(when_capped="wait")
        assert verdict(self.policy, waits, NOW - 23 * hour) == Verdict(
            "wait", "frequency cap: 1 in 1 day", NOW + hour, code="cap.all"
        )
        free = NOW + hour
        assert verdict(self.policy, waits, NOW - 23 * hour, now=free) == SEND

    def test_the_cap_that_lasts_longest_counts(self) -> None:
        waits = message(when_capped="wait", expires_at=None)
        sent = (NOW - 3 * DAY, NOW - 2 * DAY, NOW - timedelta(hours=1))
        found = verdict(self.policy, waits, *sent)
        # of three in seven days two must have left: the second did so after seven days
        assert found.until == NOW - 2 * DAY + 7 * DAY
        assert found.until is not None
        assert verdict(self.policy, waits, *sent, now=found.until) == SEND
        before = found.until - timedelta(microseconds=1)
        assert verdict(self.policy, waits, *sent, now=before).action == "wait"

    def test_a_wait_that_outlasts_the_message_is_none(self) -> None:
        waits = message(when_capped="wait", expires_at=NOW + timedelta(minutes=30))
        found = verdict(self.policy, waits, NOW - timedelta(hours=23))
        assert found == Verdict("skip", "the cap outlasts the message", code="cap.all")

    def test_a_cap_of_nothing_is_never_free(self) -> None:
        closed = Policy(topics=OPEN, caps=(Cap(0, DAY),))
        found = verdict(closed, message(when_capped="wait", expires_at=None))
        assert found.action == "skip"


class TestQuietHours:
    policy = Policy(topics=OPEN, quiet_hours={"email": QuietHours(time(21), time(9))})

    def test_wait_or_skip(self) -> None:
        morning = NOW + timedelta(hours=11)
        assert verdict(self.policy, message()) == Verdict(
            "wait", "quiet hours", morning, code=QUIET
        )
        assert verdict(self.policy, message(when_quiet="skip")) == Verdict(
            "skip", "quiet hours", code=QUIET
        )
        short = message(expires_at=NOW + timedelta(hours=2))
        assert verdict(self.policy, short) == Verdict(
            "skip", "quiet hours outlast the message", code=QUIET
        )

    def test_with_a_grace_they_are_no_delay(self) -> None:
        grace = timedelta(hours=2)
        short = message(expires_at=NOW + grace, grace=grace)
        morning = NOW + timedelta(hours=11)
        expected = Verdict("wait", "quiet hours", morning, morning + grace, QUIET)
        assert verdict(self.policy, short) == expected


class TestNextWindow:
    policy = Policy(shop=Shop(timezone="America/New_York"), topics=OPEN)
    grace = timedelta(hours=2)

    def test_it_goes_at_the_same_local_time_of_the_next_day(self) -> None:
        due = datetime(2026, 3, 7, 15, tzinfo=UTC)  # ten in New York, the day before summer time
        late = message(due_at=due, expires_at=due + self.grace, grace=self.grace)
        assert verdict(self.policy, late, now=due + self.grace) == SEND
        found = verdict(self.policy, late, now=due + timedelta(hours=5))
        then = due + timedelta(hours=23)
        assert found == Verdict(
            "wait", "overdue: next window", then, then + self.grace, "overdue.window"
        )

    def test_after_days_away_it_is_the_next_window_from_now(self) -> None:
        late = message(expires_at=NOW + self.grace, grace=self.grace)
        found = verdict(Policy(topics=OPEN), late, now=NOW + timedelta(days=5, hours=3))
        assert found.until == NOW + 6 * DAY

    def test_without_a_grace_it_is_skipped(self) -> None:
        assert verdict(self.policy, message(), now=NOW + 2 * DAY) == Verdict(
            "skip", "overdue", code="overdue"
        )


class TestWebhooks:
    @pytest.mark.parametrize("topics", [{}, {"webhooks": Topic("webhooks", consent="opt-in")}])
    def test_no_consent_cap_or_quiet_hours(self, topics: dict[str, Topic]) -> None:
        policy = Policy(
            topics=topics,
            caps=(Cap(0, DAY),),
            quiet_hours={"webhook": QuietHours(time(0), time(23, 59))},
        )
        assert verdict(policy, message(channel="webhook", topic="webhooks")) == SEND
        assert "webhooks" in uncapped(policy)
