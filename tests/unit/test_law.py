"""The rules of countries: the shipped ones, holidays, several zones, what holds together."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.gate import SEND, Verdict, judge
from engine.core.holds import has_uneven_hours, hold
from engine.core.law import closed, limits, rules_for
from engine.core.timing import ANY_TIME, next_open
from engine.language import load_policy
from engine.model.message import Message
from engine.model.policy import Dlt, Hours, Policy, QuietHours, Rule, Shop, Topic

ROOT = Path(__file__).parents[2]
SHIPPED = load_policy(ROOT / "config" / "winback.yaml")[0].rules
TOPICS = {"offers": Topic("offers", consent="opt-out"), "orders": Topic("orders", consent="none")}
REGISTERED = Dlt("1101234567890123456", "WILLOW", {"t": "1107234567890123456"})

FRENCH, INDIAN, PAKISTANI = "+33612345678", "+919812345678", "+923012345678"
NEW_YORK, MIAMI, HOUSTON, TOLL_FREE = "+12125550123", "+13055550123", "+17135550123", "+18005550123"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def verdict(
    phone: str,
    now: str,
    *,
    topic: str = "offers",
    channel: str = "sms",
    traits: dict[str, Any] | None = None,
    message: dict[str, Any] | None = None,
    **policy: Any,
) -> Verdict:
    at = utc(now)
    made = Message(
        "m", "r", 1, "j", "v", "steps/0", channel, "t", topic, "e", at, at, **(message or {})
    )
    rules = {"topics": TOPICS, "rules": SHIPPED, "dlt": REGISTERED, **policy}
    return judge(made, Policy(**rules), {"phone": phone, **(traits or {})}, (), "", (), at)


def rule(country: str, hours: Hours, **more: Any) -> Rule:
    more = {"channels": frozenset({"sms"}), "name": "", "title": country, **more}
    return Rule(country=country, hours=hours, **more)


def daily(start: int, end: int) -> Hours:
    return Hours((((timedelta(hours=start), timedelta(hours=end)),),) * 7)


class TestShipped:
    @pytest.mark.parametrize(
        "phone, now, code, until",
        [
            # 2026-06-03 is a Wednesday
            (NEW_YORK, "2026-06-03T12:00", "", ""),
            (NEW_YORK, "2026-06-03T11:59", "quiet.law.us", "2026-06-03T12:00"),
            (NEW_YORK, "2026-06-04T00:59", "", ""),
            (NEW_YORK, "2026-06-04T01:00", "quiet.law.us", "2026-06-04T12:00"),
            (MIAMI, "2026-06-03T23:59", "", ""),
            (MIAMI, "2026-06-04T00:00", "quiet.law.us.florida", "2026-06-04T12:00"),
            # Texas: Saturday from nine, Sunday from noon (UTC-5)
            (HOUSTON, "2026-06-06T13:30", "quiet.law.us.texas", "2026-06-06T14:00"),
            (HOUSTON, "2026-06-07T14:30", "quiet.law.us.texas", "2026-06-07T17:00"),
            (INDIAN, "2026-06-03T04:29", "quiet.law.in", "2026-06-03T04:30"),
            (INDIAN, "2026-06-03T15:29", "", ""),
            (INDIAN, "2026-06-03T15:30", "quiet.law.in", "2026-06-04T04:30"),
            # Saturday evening in Paris: Monday; before Easter Monday: Tuesday
            (FRENCH, "2026-06-06T15:59", "", ""),
            (FRENCH, "2026-06-06T16:00", "quiet.law.fr", "2026-06-08T06:00"),
            (FRENCH, "2026-04-04T16:00", "quiet.law.fr", "2026-04-07T06:00"),
            # Armistice Day, a Wednesday; Christmas on Friday, then Saturday from ten
            (FRENCH, "2026-11-11T10:00", "quiet.law.fr.holiday", "2026-11-12T07:00"),
            (FRENCH, "2026-12-25T10:00", "quiet.law.fr.holiday", "2026-12-26T09:00"),
            # All Saints' Day is a Sunday, closed anyway
            (FRENCH, "2026-11-01T10:00", "quiet.law.fr", "2026-11-02T07:00"),
            # the week in which the clocks change
            (FRENCH, "2026-03-28T17:00", "quiet.law.fr", "2026-03-30T06:00"),
            (FRENCH, "2026-10-24T16:00", "quiet.law.fr", "2026-10-26T07:00"),
            (PAKISTANI, "2026-06-06T13:00", "quiet.law.pk", "2026-06-07T05:00"),
            ("+971501234567", "2026-06-03T17:00", "quiet.law.ae", "2026-06-04T03:00"),
            ("+966512345678", "2026-06-03T19:00", "quiet.law.sa", "2026-06-04T06:00"),
            ("+4915112345678", "2026-06-03T18:00", "quiet.law.de", "2026-06-04T06:00"),
            ("+447400123456", "2026-06-03T19:00", "quiet.law.gb", "2026-06-04T07:00"),
            ("+818012345678", "2026-06-03T18:00", "", ""),  # no rules of Japan
        ],
    )
    def test_when_a_promotion_by_sms_goes(
        self, phone: str, now: str, code: str, until: str
    ) -> None:
        found = verdict(phone, now)
        if not code:
            assert found == SEND
            return
        assert (found.action, found.code, found.until) == ("wait", code, utc(until))
        assert verdict(phone, until) == SEND

    def test_mail_and_receipts_are_not_under_them(self) -> None:
        assert verdict(FRENCH, "2026-06-07T10:00", channel="email") == SEND
        assert verdict(FRENCH, "2026-06-07T10:00", topic="orders") == SEND

    def test_the_words_name_country_and_holiday(self) -> None:
        assert verdict(FRENCH, "2026-06-07T10:00").reason == "quiet hours of France"
        found = verdict(FRENCH, "2026-11-11T10:00")
        assert found.reason == "quiet hours of France (Armistice Day)"

    def test_every_rule_has_a_source(self) -> None:
        assert all("http" in rule.source for rule in SHIPPED)
        files = sorted((ROOT / "config" / "rules").glob("*.yaml"))
        assert {rule.country.lower() for rule in SHIPPED} == {file.stem for file in files}
        assert all("not legal advice" in file.read_text("utf-8") for file in files)


class TestTheEdge:
    def test_a_step_may_skip(self) -> None:
        found = verdict(FRENCH, "2026-06-07T10:00", message={"when_quiet": "skip"})
        assert found == Verdict("skip", "quiet hours of France", code="quiet.law.fr")

    def test_what_would_be_too_late_on_monday_is_given_up(self) -> None:
        monday = utc("2026-06-08T06:00")
        found = verdict(FRENCH, "2026-06-06T20:00", message={"expires_at": monday})
        assert found.action == "wait"
        early = {"expires_at": monday - timedelta(seconds=1)}
        found = verdict(FRENCH, "2026-06-06T20:00", message=early)
        words = "quiet hours of France outlast the message"
        assert found == Verdict("skip", words, code="quiet.law.fr")

    def test_the_strictest_of_shop_and_country_wins(self) -> None:
        quiet = {"sms": QuietHours(time(22), time(11))}
        found = verdict(INDIAN, "2026-06-03T04:00", quiet_hours=quiet)  # 9:30, to 10 or to 11
        assert (found.code, found.until) == ("quiet.shop", utc("2026-06-03T05:30"))
        found = verdict(INDIAN, "2026-06-03T15:45", quiet_hours=quiet)  # 21:15: not the shop's yet
        assert (found.code, found.until) == ("quiet.law.in", utc("2026-06-04T05:30"))

    def test_switched_off_only_the_shop_s_own_hours_hold(self) -> None:
        rules = tuple(rule for rule in SHIPPED if rule.country != "FR")
        assert verdict(FRENCH, "2026-06-07T10:00", rules=rules) == SEND

    def test_rules_that_leave_no_time_are_no_endless_wait(self) -> None:
        rules = (rule("FR", daily(8, 12)), rule("FR", daily(13, 20), name="x"))
        found = verdict(FRENCH, "2026-06-03T10:00", rules=rules)
        assert (found.action, found.code) == ("skip", "quiet.never")
        found = verdict(FRENCH, "2026-06-03T10:00", rules=(rule("FR", Hours(((),) * 7)),))
        assert (found.action, found.code) == ("skip", "quiet.never")


class TestIndia:
    def test_without_its_id_a_promotion_is_not_sent(self) -> None:
        home = Shop(country="IN")
        for dlt in (None, Dlt("1" * 19, "WILLOW", {"other": "1" * 19})):
            found = verdict(INDIAN, "2026-06-03T10:00", dlt=dlt, shop=home)
            assert (found.action, found.code) == ("skip", "law.in.dlt")
            assert "'t' has no DLT id" in found.reason
            for more in ({"topic": "orders"}, {"channel": "email"}):
                assert verdict(INDIAN, "2026-06-03T10:00", dlt=dlt, shop=home, **more) == SEND
            assert verdict(FRENCH, "2026-06-03T10:00", dlt=dlt, shop=home) == SEND
        assert verdict(INDIAN, "2026-06-03T10:00", dlt=REGISTERED, shop=home) == SEND

    def test_from_abroad_none_is_needed(self) -> None:
        assert verdict(INDIAN, "2026-06-03T10:00", dlt=None) == SEND


class TestSeveralZones:
    def test_it_goes_when_all_of_them_allow_it(self) -> None:
        """A toll-free number may be anywhere from New York to the Aleutians."""
        # Nine in New York is three in Adak; 14:00 there is eight in Adak, before 21 in New York.
        found = verdict(TOLL_FREE, "2026-06-03T13:00")
        assert (found.code, found.until) == ("quiet.law.us", utc("2026-06-03T18:00"))
        assert verdict(TOLL_FREE, "2026-06-04T00:59") == SEND
        found = verdict(TOLL_FREE, "2026-06-04T01:00")
        assert found.until == utc("2026-06-04T18:00")

    def test_a_given_zone_outdoes_the_number(self) -> None:
        here = {"timezone": "America/Chicago"}
        assert verdict(TOLL_FREE, "2026-06-03T13:00", traits=here) == SEND


class TestMail:
    """A country with rules for mail: by where the shopper is."""

    sunday = "2026-06-07T10:00"
    rules = (
        rule(
            "FR",
            Hours((*(daily(8, 20).days[:6]), ())),
            channels=frozenset({"email"}),
            promotions=False,
        ),
    )

    @pytest.mark.parametrize(
        "traits, home, waits",
        [
            ({"address": {"country": "France"}}, "US", True),
            ({"location": {"country": "FR"}}, "US", True),
            ({"phone": FRENCH}, "US", True),
            ({"phone": FRENCH, "address": {"country": "DE"}}, "US", False),
            ({}, "FR", True),
            ({}, "US", False),
            ({"address": "1 rue de la Paix", "country": 33}, "US", False),
        ],
    )
    def test_its_country(self, traits: dict[str, Any], home: str, waits: bool) -> None:
        shop = Shop(country=home, timezone="Europe/Paris")
        traits = {"phone": None, **traits}
        for topic in ("offers", "orders"):  # the rule is about all of them
            found = verdict(
                "", self.sunday, channel="email", topic=topic, rules=self.rules, shop=shop,
                traits=traits,
            )  # fmt: skip
            assert (found.action == "wait") is waits

    def test_an_sms_goes_by_its_number(self) -> None:
        rules = (rule("FR", Hours(((),) * 7)),)
        found = rules_for(rules, "sms", {"phone": INDIAN, "address": {"country": "FR"}}, "FR")
        assert found == ()
        assert rules_for(rules, "sms", {"phone": FRENCH}, "US") == rules
        assert rules_for(rules, "sms", {}, "FR") == ()


spans = st.lists(st.integers(0, 96), min_size=2, max_size=4, unique=True).map(
    lambda marks: tuple(
        (timedelta(minutes=15 * a), timedelta(minutes=15 * b))
        for a, b in zip(sorted(marks)[::2], sorted(marks)[1::2], strict=False)
    )
)
weeks = st.builds(
    lambda days, holidays: Hours(tuple(days), holidays, "FR"),
    st.lists(st.one_of(spans, st.just(())), min_size=7, max_size=7),
    st.one_of(st.none(), spans, st.just(())),
)
ZONES = [ZoneInfo(name) for name in ("Europe/Paris", "America/New_York", "Australia/Lord_Howe")]


class TestClosed:
    @given(
        st.lists(weeks, min_size=1, max_size=3),
        st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True),
        st.integers(0, 366 * 96),
    )
    @settings(deadline=None, max_examples=150)
    def test_it_opens_at_the_first_moment_at_which_all_are_open(
        self, hours: list[Hours], zones: list[ZoneInfo], quarter: int
    ) -> None:
        """Against the plainest way: looking every quarter of an hour."""
        now = utc("2026-01-01T00:00") + timedelta(minutes=15 * quarter)
        rules = tuple(rule("FR", each, name=f"n{n}") for n, each in enumerate(hours))

        def is_open(at: datetime) -> bool:
            return all(next_open(each, zone, at) == at for each in hours for zone in zones)

        found = closed(limits(None, True, rules), zones, now)
        if found is None:
            assert is_open(now)
            return
        assert not is_open(now)
        at, end = now, found.until or now + timedelta(days=15)
        while at < min(end, now + timedelta(days=15)):
            assert not is_open(at)
            at += timedelta(minutes=15)
        if found.until is not None:
            assert is_open(found.until)


class TestHolds:
    def test_the_longest_wait_of_a_country(self) -> None:
        policy = Policy(rules=SHIPPED)
        assert hold(policy, "sms", "IN") == timedelta(hours=13)
        # Saturday at 18 before Easter, until Tuesday at eight
        assert hold(policy, "sms", "FR") >= timedelta(hours=62)
        assert hold(policy, "email") == timedelta(0)
        assert hold(policy, "sms") == hold(policy, "sms", "FR")

    def test_with_the_shop_s_own(self) -> None:
        quiet = {"sms": QuietHours(time(20), time(11)), "email": QuietHours(time(23), time(6))}
        policy = Policy(rules=SHIPPED, quiet_hours=quiet)
        assert hold(policy, "sms", "IN") == timedelta(hours=15)
        assert hold(policy, "email") == timedelta(hours=7)
        assert has_uneven_hours(policy, "sms")
        assert not has_uneven_hours(policy, "email")

    def test_no_limits_hold_nothing(self) -> None:
        assert hold(Policy(rules=(rule("FR", ANY_TIME),)), "sms") == timedelta(0)
