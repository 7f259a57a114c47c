"""The shopper's time zone, from what shops and shoppers really write into it."""

from __future__ import annotations

import pytest

from engine.core import regions
from engine.core.gate import zone_of
from engine.core.profiles import absorb
from engine.core.regions import zones_by_country
from engine.core.zones import country_of, shopper_zone, whereabouts
from engine.model.policy import Policy, Shop
from engine.model.profile import Profile
from tests.unit.core.build import event

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


@pytest.mark.parametrize(
    ("traits", "zones", "by"),
    [
        ({"timezone": "Asia/Tokyo", "phone": "+13055550123"}, {"Asia/Tokyo"}, "given"),
        ({"phone": "+13055550123", "country": "FR"}, {"America/New_York"}, "phone"),
        # the state has two; the country's others come from the table of the IANA
        ({"address": {"country": "US", "state": "TX"}}, {"America/Chicago", "America/Denver"},
         "place"),
        ({"address": {"country": "US", "state": "Texas", "city": "Denver"}}, {"America/Denver"},
         "place"),
        ({"address": {"country": "usa", "region": "US-CA"}}, {"America/Los_Angeles"}, "place"),
        ({"location": {"country": "Brazil", "city": "Sao Paulo"}}, {"America/Sao_Paulo"}, "place"),
        ({"country": "Pakistan"}, {"Asia/Karachi"}, "place"),
        ({"country_code": "de"}, {"Europe/Berlin"}, "place"),
        ({"address": {"country": "AU"}, "location": {"country": "PK"}}, None, "place"),
        ({"address": {"country": "Atlantis"}}, {"Asia/Karachi"}, "shop"),
        ({"address": {"country": 5}, "location": ["PK"], "city": "Lahore"}, {"Asia/Karachi"},
         "shop"),
        # satellite phones belong to no country
        ({"phone": "+881612345678"}, {"Asia/Karachi"}, "shop"),
    ],
)  # fmt: skip
def test_whereabouts(traits: dict[str, object], zones: set[str] | None, by: str) -> None:
    found = whereabouts(traits, "Asia/Karachi")
    assert found.by == by
    if zones is not None:
        assert {zone.key for zone in found.zones} == zones
    else:
        assert len(found.zones) > 3


@pytest.mark.parametrize(("phone", "most"), [("+18005550123", 9), ("+61412345678", 8)])
def test_a_number_of_no_one_place_may_be_anywhere_in_its_country(phone: str, most: int) -> None:
    found = whereabouts({"phone": phone}, "UTC")
    assert 3 < len(found.zones) <= most  # those whose clocks agree are one
    country = {"+1": "US", "+6": "AU"}[phone[:2]]
    assert {zone.key for zone in found.zones} <= set(zones_by_country()[country])
    assert shopper_zone({"phone": phone}, "UTC").key == "UTC"  # times need one zone
    assert found.words.endswith("more, by the phone number")


def test_every_region_is_in_its_country() -> None:
    for (country, _), zones in regions._regions().items():
        assert set(zones) <= set(zones_by_country()[country])


def test_the_browser_s_place_becomes_a_trait_and_the_shop_s_address_outdoes_it() -> None:
    seen = event("Page", context={"location": {"country": "FR", "city": "Paris"}})
    profile = absorb(Profile(1), seen)
    assert whereabouts(profile.traits, "UTC").zones[0].key == "Europe/Paris"
    known = event("Identify", kind="identify", address={"country": "PK"})
    assert country_of(absorb(profile, known).traits, "US") == "PK"
