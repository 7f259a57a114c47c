"""Machines' opens and clicks are not a shopper's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.engagement import judged
from engine.core.receipts import progress
from engine.model.event import Event
from tests.unit.core.build import T0, event

PERSON = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)


def seen(name: str, after: float = 60, message: str = "m", **properties: Any) -> Event:
    said = event(
        name,
        T0 + timedelta(seconds=after),
        **{"message_id": message, "user_agent": PERSON, **properties},
    )
    return msgspec.structs.replace(said, context={"made_by": "sendgrid"})


def names(*events: Event) -> list[str]:
    return [found.name for found in judged(events, {"m": T0})]


def test_a_persons_click_counts() -> None:
    click = seen("Email Clicked", url="https://shop.example")
    assert judged([click], {"m": T0}) == [click]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (seen("Email Opened", machine=True), "the provider says so"),
        (
            seen("Email Opened", user_agent="Mozilla/5.0 (GoogleImageProxy)"),
            "program",
        ),
        (seen("Email Clicked", user_agent="curl/8.5.0"), "program"),
        (seen("Email Clicked", user_agent="Mozilla/5.0 BarracudaScan"), "program"),
        (seen("SMS Clicked", user_agent="facebookexternalhit/1.1"), "program"),
        (seen("Email Clicked", after=3), "too soon"),
    ],
)
def test_a_machines_does_not(found: Event, why: str) -> None:
    (other,) = judged([found], {"m": T0})
    assert other.name == f"{found.name} By Machine"
    assert why in other.properties["because"]
    assert (other.id, other.time, other.identifiers) == (found.id, found.time, found.identifiers)


def test_an_open_right_away_may_be_a_person_waiting_for_the_mail() -> None:
    assert names(seen("Email Opened", after=3)) == ["Email Opened"]


def test_a_click_before_its_message_went_is_no_scanners() -> None:
    assert names(seen("Email Clicked", after=-5)) == ["Email Clicked"]


def test_who_follows_every_link_at_once_is_a_scanner() -> None:
    many = [seen("Email Clicked", 60 + n / 10, url=f"https://shop.example/{n}") for n in range(3)]
    assert names(*many) == ["Email Clicked By Machine"] * 3
    assert names(*many[:2]) == ["Email Clicked"] * 2


def test_who_taps_one_link_again_and_again_is_a_person() -> None:
    taps = [seen("Email Clicked", 60 + n / 10, url="https://shop.example") for n in range(5)]
    assert names(*taps) == ["Email Clicked"] * 5


def test_what_a_page_sends_is_not_judged() -> None:
    made_up = event("Email Opened", T0, machine=True)
    assert judged([made_up], {}) == [made_up]


def test_machines_prove_delivery_and_no_more() -> None:
    assert progress(seen("Email Clicked By Machine")) == ("m", 3, 0)
    assert progress(seen("Email Clicked")) == ("m", 5, 0)
    assert progress(event("Email Clicked", T0, message_id="m")) is None


@given(st.lists(st.sampled_from(["Email Opened", "Email Clicked", "Order Completed"]), max_size=8))
def test_judging_again_changes_nothing(kinds: list[str]) -> None:
    events = [seen(kind, 60 * n, machine=n % 2 == 0) for n, kind in enumerate(kinds)]
    once = judged(events, {"m": T0})
    assert judged(once, {"m": T0}) == once
