"""The shopper's time zone, from what shops and shoppers really write into it."""

from __future__ import annotations

import pytest

from engine.core.gate import zone_of
from engine.model.policy import Policy, Shop

POLICY = Policy(shop=Shop(timezone="Asia/Karachi"))


@pytest.mark.parametrize(
    ("traits", "zone"),
    [
        ({"timezone": "Europe/Paris"}, "Europe/Paris"),
        ({"phone": "+923012345678"}, "Asia/Karachi"),
        ({"phone": "+33612345678", "timezone": "Asia/Kolkata"}, "Asia/Kolkata"),
        # An unassigned number: phonenumbers says Etc/Unknown, but it begins like British ones.
        ({"phone": "+447700900123"}, "Europe/London"),
        ({"timezone": "Mars/Phobos"}, "Asia/Karachi"),
        ({"timezone": "../../etc/passwd"}, "Asia/Karachi"),
        ({"timezone": ""}, "Asia/Karachi"),
        ({"timezone": 5, "phone": 7}, "Asia/Karachi"),
        ({}, "Asia/Karachi"),
    ],
)
def test_a_zone_is_found_or_the_shop_s_is_taken(traits: dict[str, object], zone: str) -> None:
    assert zone_of(traits, POLICY).key == zone


def test_a_shop_with_a_wrong_zone_is_on_utc() -> None:
    assert zone_of({}, Policy(shop=Shop(timezone="Nowhere/At_All"))).key == "UTC"
