"""The facts made of events and profiles, and durations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from engine.core.durations import DurationError, parse_duration, show_duration
from engine.core.facts import event_facts, product_ids, profile_facts
from engine.model.event import Event
from engine.model.profile import Profile

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    "properties, expected",
    [
        ({}, []),
        ({"product_id": 42}, ["42"]),
        ({"products": [{"product_id": "a"}, {"product_id": 7}], "product_id": "a"}, ["a", "7"]),
        ({"products": [{"sku": "x"}, None, "y", {"product_id": None}]}, []),
        ({"products": {"product_id": "a"}, "product_id": ["b"]}, []),
        ({"product_id": ""}, []),
        ({"product_id": True}, []),
    ],
)
def test_product_ids(properties: dict[str, object], expected: list[str]) -> None:
    assert product_ids(properties) == expected


def test_event_facts_are_the_properties_over_what_we_derive() -> None:
    event = Event("m1", "track", "Product Viewed", NOW, NOW, ("user:1",), {"product_id": 1})
    assert event_facts(event) == {
        "product_id": 1,
        "product_ids": ["1"],
        "event_name": "Product Viewed",
    }
    own = Event("m2", "track", "A", NOW, NOW, ("user:1",), {"event_name": "mine"})
    assert event_facts(own)["event_name"] == "mine"


def test_profile_facts_count_in_the_shops_currency_and_over_traits() -> None:
    profile = Profile(
        1,
        {"first_name": "زینب", "orders": "lots"},
        orders=2,
        lifetime_value={"INR": Decimal("1200.50"), "USD": Decimal(3)},
        first_seen=NOW,
    )
    facts = profile_facts(profile, "INR")
    assert facts["lifetime_value"] == Decimal("1200.50")
    assert facts["orders"] == 2
    assert facts["first_name"] == "زینب"
    assert facts["first_seen"] == NOW
    assert facts["last_order_at"] is None
    assert profile_facts(profile, "GBP")["lifetime_value"] == 0


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2 hours", timedelta(hours=2)),
        ("1 day 12 hours", timedelta(days=1, hours=12)),
        ("90minutes", timedelta(minutes=90)),
        ("1 Week", timedelta(days=7)),
        ("0 seconds", timedelta(0)),
        ("  30 days ", timedelta(days=30)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text, message, hint",
    [
        ("", "'' is not a duration", "write for example"),
        ("2", "'2' is not a duration", "write for example"),
        ("soon", "'soon' is not a duration", "write for example"),
        ("-2 hours", "'-2 hours' is not a duration", "write for example"),
        ("2 hurs", "'2 hurs': unknown unit 'hurs'", "did you mean 'hours'?"),
        ("1 month", "'1 month': a month has no fixed length", "say '30 days' instead"),
        ("9000 weeks", "'9000 weeks' is longer than 3660 days", "write for example"),
        ("٢ hours", "'٢ hours' is not a duration", "write for example"),
    ],
)
def test_bad_durations(text: str, message: str, hint: str) -> None:
    with pytest.raises(DurationError) as caught:
        parse_duration(text)
    assert str(caught.value) == message
    assert caught.value.hint.startswith(hint)


def test_durations_in_words() -> None:
    assert show_duration(timedelta(days=1, hours=12, seconds=1)) == "1 day 12 hours 1 second"
    assert show_duration(timedelta(0)) == "0 seconds"
    assert parse_duration(show_duration(timedelta(days=8, minutes=3))) == timedelta(8, 180)
