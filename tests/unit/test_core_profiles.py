"""What events teach about a shopper."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.core.consent import answer_of, consents_of, merged_consents, stricter
from engine.core.profiles import REFUSED, absorb, merged_profiles, money
from engine.model.event import Event
from engine.model.policy import Topic
from engine.model.profile import Consent, Profile
from tests.unit.core.build import T0, at, event, order, view

NOBODY = Profile(1)


def after(*events: Event, before: Profile = NOBODY) -> Profile:
    profile = before
    for one in events:
        profile = absorb(profile, one)
    return profile


class TestTraits:
    def test_identify(self) -> None:
        profile = after(event("Identify", kind="identify", first_name="Ayşe", plan="gold"))
        assert profile.traits == {"first_name": "Ayşe", "plan": "gold"}

    def test_a_track_call_teaches_no_traits(self) -> None:
        assert after(view(plan="gold")).traits == {}

    def test_what_came_last_stands(self) -> None:
        first = event("Identify", kind="identify", plan="gold", city="Köln")
        second = event("Identify", kind="identify", plan="free")
        assert after(first, second).traits == {"plan": "free", "city": "Köln"}

    def test_address_and_phone_of_any_event_as_normalised(self) -> None:
        who = ("user:1", "email:a@b.de", "phone:+4930123456", "cart:c", "anonymous:x")
        profile = after(event("Order Completed", who=who, email=" A@B.de"))
        assert profile.traits == {"email": "a@b.de", "phone": "+4930123456"}

    def test_the_normalised_address_wins_over_the_trait(self) -> None:
        profile = after(event("Identify", kind="identify", who=("email:a@b.de",), email="A@B.de "))
        assert profile.traits == {"email": "a@b.de"}

    def test_context(self) -> None:
        context = {"locale": "de-DE", "timezone": "Europe/Berlin", "traits": {"city": "Köln"}}
        assert after(view(context=context)).traits == {
            "locale": "de-DE",
            "timezone": "Europe/Berlin",
            "city": "Köln",
        }

    def test_what_the_browser_says_does_not_overrule_what_is_known(self) -> None:
        known = Profile(1, {"locale": "ur-PK", "timezone": "Asia/Karachi"})
        context = {"locale": "en-US", "timezone": "America/New_York"}
        assert after(view(context=context), before=known).traits == known.traits

    def test_consent_is_no_trait(self) -> None:
        told: dict[str, Any] = {"consent": {"email": True}}
        assert after(event("Identify", kind="identify", **told)).traits == {}
        assert after(view(context={"traits": told})).traits == {}

    @pytest.mark.parametrize("traits", [None, [], "text", 5])
    def test_odd_context_is_harmless(self, traits: Any) -> None:
        assert after(view(context={"traits": traits, "locale": None})).traits == {}


class TestSeen:
    def test_first_and_last_by_their_own_time(self) -> None:
        profile = after(view(at(hours=2)), view(at(hours=1)), view(at(hours=3)), view(at(hours=2)))
        assert (profile.first_seen, profile.last_seen) == (at(hours=1), at(hours=3))


class TestOrders:
    def test_counted_and_added_up(self) -> None:
        profile = after(
            order(T0, revenue=Decimal("19.90"), currency="EUR"),
            order(at(hours=1), total="5.05", currency="eur"),
            order(at(hours=2), value=100, currency="USD"),
        )
        assert profile.orders == 3
        assert profile.lifetime_value == {"EUR": Decimal("24.95"), "USD": Decimal(100)}
        assert profile.last_order_at == at(hours=2)

    def test_refunds_come_off_but_the_order_stays(self) -> None:
        profile = after(
            order(T0, revenue=50, currency="EUR"),
            event("Order Refunded", at(days=1), total=Decimal("20.50"), currency="EUR"),
        )
        assert (profile.orders, profile.lifetime_value) == (1, {"EUR": Decimal("29.50")})
        assert profile.last_order_at == T0

    def test_a_late_order_is_not_the_last(self) -> None:
        profile = after(order(at(days=2)), order(at(days=1)))
        assert (profile.orders, profile.last_order_at) == (2, at(days=2))

    @pytest.mark.parametrize(
        "properties",
        [
            {},
            {"revenue": "a lot", "currency": "EUR"},
            {"revenue": True, "currency": "EUR"},
            {"revenue": None, "currency": "EUR"},
            {"revenue": [5], "currency": "EUR"},
            {"revenue": "NaN", "currency": "EUR"},
            {"revenue": "Infinity", "currency": "EUR"},
            {"revenue": 5},
            {"revenue": 5, "currency": "Euro"},
            {"revenue": 5, "currency": 978},
            {"revenue": "", "total": "", "value": "", "currency": "EUR"},
        ],
    )
    def test_bad_money_counts_the_order_and_no_money(self, properties: dict[str, Any]) -> None:
        assert money(properties) is None
        profile = after(event("Order Completed", **properties))
        assert (profile.orders, profile.lifetime_value) == (1, {})

    def test_revenue_before_total_before_value(self) -> None:
        all_three = {"revenue": 1, "total": 2, "value": 3, "currency": "EUR"}
        assert money(all_three) == (Decimal(1), "EUR")
        assert money({**all_three, "revenue": "?"}) == (Decimal(2), "EUR")
        assert money({"value": 3, "currency": "EUR"}) == (Decimal(3), "EUR")

    @given(st.lists(st.decimals("0.01", "10000", places=2), max_size=20))
    @settings(deadline=None, max_examples=100)
    def test_to_the_cent(self, amounts: list[Decimal]) -> None:
        profile = after(*[order(T0, revenue=str(a), currency="EUR") for a in amounts])
        assert profile.lifetime_value.get("EUR", Decimal(0)) == sum(amounts, Decimal(0))


def told(one: Event) -> list[tuple[str, str, bool]]:
    return [(c.channel, c.topic, c.granted) for c in consents_of(one)]


class TestConsents:
    @pytest.mark.parametrize(
        "consent, expected",
        [
            ({"email": True}, [("email", "*", True)]),
            ({"email": False, "sms": True}, [("email", "*", False), ("sms", "*", True)]),
            ({"email": {"offers": True, "news": False}},
             [("email", "offers", True), ("email", "news", False)]),
            ({"email": "yes"}, []),
            ({"email": 1}, []),
            ({"email": None}, []),
            ({"email": {"offers": "no"}}, []),
            (True, []),
            ([], []),
            (None, []),
        ],
    )  # fmt: skip
    def test_identify(self, consent: Any, expected: list[tuple[str, str, bool]]) -> None:
        assert told(event("Identify", kind="identify", consent=consent)) == expected
        assert told(view(context={"traits": {"consent": consent}})) == expected

    def test_a_property_of_another_event_is_no_consent(self) -> None:
        assert told(view(consent={"email": True})) == []

    @pytest.mark.parametrize(
        "name, properties, expected",
        [
            ("Consent Given", {"channel": "email", "topic": "offers"}, ("email", "offers", True)),
            ("Consent Given", {"channel": "email"}, ("email", "*", True)),
            ("Consent Withdrawn", {"channel": "sms", "topic": "*"}, ("sms", "*", False)),
            ("Consent Withdrawn", {"channel": "ads"}, ("ads", "*", False)),
        ],
    )
    def test_track(
        self, name: str, properties: dict[str, Any], expected: tuple[str, str, bool]
    ) -> None:
        assert told(event(name, **properties)) == [expected]

    @pytest.mark.parametrize("properties", [{}, {"channel": ""}, {"channel": 5}, {"topic": "x"}])
    def test_track_without_a_channel(self, properties: dict[str, Any]) -> None:
        assert told(event("Consent Withdrawn", **properties)) == []

    def test_at_the_time_of_the_event_with_its_source(self) -> None:
        late = event("Consent Given", at(hours=-5), received=T0, channel="email", source="form")
        (consent,) = consents_of(late)
        assert (consent.at, consent.source) == (at(hours=-5), "form")


def decision(granted: bool, time: datetime = T0, topic: str = "*") -> Consent:
    return Consent("email", topic, granted, time)


some = st.builds(
    decision,
    st.booleans(),
    st.integers(0, 3).map(lambda n: at(hours=n)),
    st.sampled_from(["*", "offers"]),
)


class TestStricter:
    def test_the_later(self) -> None:
        yes, later_no = decision(True), decision(False, at(hours=1))
        assert stricter(yes, later_no) is later_no
        assert stricter(decision(False), decision(True, at(hours=1))).granted

    def test_at_the_same_time_the_no(self) -> None:
        assert not stricter(decision(True), decision(False)).granted
        assert not stricter(decision(False), decision(True)).granted

    @given(some, some)
    @settings(deadline=None, max_examples=100)
    def test_whoever_is_named_first(self, one: Consent, other: Consent) -> None:
        assert stricter(one, other).granted == stricter(other, one).granted


def says(topic: str, consents: list[Consent]) -> str:
    return answer_of(Topic(topic), topic, "email", consents)


class TestMerged:
    def test_a_no_of_either_stands_whenever_it_was_given(self) -> None:
        for one, other in (
            (decision(False), decision(True, at(hours=5))),
            (decision(True, at(hours=5)), decision(False)),
            (decision(True), decision(False, at(hours=5))),
        ):
            (kept,) = merged_consents([one], [other])
            assert not kept.granted

    def test_of_two_of_a_kind_the_later(self) -> None:
        for granted in (True, False):
            early, late = decision(granted), decision(granted, at(hours=1))
            assert merged_consents([early], [late]) == [late] == merged_consents([late], [early])

    def test_a_no_to_the_channel_is_a_no_to_each_topic(self) -> None:
        later = decision(True, T0 + timedelta(days=1), "offers")
        both = merged_consents([later], [decision(False)])
        assert {(c.topic, c.granted) for c in both} == {("offers", False), ("*", False)}
        assert {c.at for c in both if c.topic == "offers"} == {later.at}

    def test_channels_stand_apart(self) -> None:
        sms = Consent("sms", "offers", True, T0)
        both = merged_consents([sms], [decision(False)])
        assert {(c.channel, c.granted) for c in both} == {("sms", True), ("email", False)}

    @given(st.lists(some), st.lists(some))
    @settings(deadline=None, max_examples=200)
    def test_nothing_is_opened_by_it(self, one: list[Consent], other: list[Consent]) -> None:
        kept = merged_consents(one, other)
        assert sorted(kept, key=str) == sorted(merged_consents(other, one), key=str)
        assert {c.topic for c in kept} == {c.topic for c in one + other}
        for topic in ("offers", "news"):
            words = {says(topic, merged_consents(side, [])) for side in (one, other)}
            expected = "no" if "no" in words else "yes" if "yes" in words else "silent"
            assert says(topic, kept) == expected

    def test_profiles(self) -> None:
        one = after(
            event("Identify", kind="identify", city="Köln", plan="free"),
            order(at(hours=1), revenue=10, currency="EUR"),
        )
        other = absorb(
            after(event("Identify", at(hours=-1), kind="identify", plan="gold"), before=Profile(2)),
            order(at(hours=5), revenue=5, currency="EUR"),
        )
        for whole in (merged_profiles(one, other), merged_profiles(other, one)):
            assert whole.traits == {"city": "Köln", "plan": "gold"}
            assert (whole.orders, whole.lifetime_value) == (2, {"EUR": Decimal(15)})
            assert (whole.first_seen, whole.last_seen) == (at(hours=-1), at(hours=5))
            assert whole.last_order_at == at(hours=5)
        assert (merged_profiles(one, other).id, merged_profiles(other, one).id) == (1, 2)

    def test_with_one_that_was_never_seen(self) -> None:
        one = after(order(revenue=10, currency="EUR"))
        assert merged_profiles(one, Profile(2)) == one
        whole = merged_profiles(Profile(2), one)
        assert (whole.orders, whole.first_seen, whole.last_order_at) == (1, T0, T0)


class TestAddressesThatAreNone:
    def told(self, *who: str, **refused: str) -> Event:
        given = {kind: {"value": value, "because": "so"} for kind, value in refused.items()}
        return replace(
            event("Identify", kind="identify", who=("user:1", *who), **refused),
            context={REFUSED: given, "traits": dict(refused)},
        )

    def test_they_are_kept_aside_and_replace_no_good_one(self) -> None:
        good = event("Identify", kind="identify", who=("user:1", "email:a@example.com"))
        profile = after(good, self.told(email="a@", phone="12"))
        assert profile.traits == {
            "email": "a@example.com",
            "refused_email": {"value": "a@", "because": "so"},
            "refused_phone": {"value": "12", "because": "so"},
        }

    def test_a_good_one_ends_it(self) -> None:
        good = event("Identify", kind="identify", who=("user:1", "email:a@example.com"))
        assert after(good, self.told(email="a@"), good).traits == {"email": "a@example.com"}

    def test_of_two_in_one_event_both_are_kept(self) -> None:
        profile = after(self.told("email:a@example.com", email="a@"))
        assert profile.traits["email"] == "a@example.com"
        assert profile.traits["refused_email"]["value"] == "a@"
