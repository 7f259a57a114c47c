"""Where a shopper is: by which clocks, and under which country's law. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import timezone as phone_zones

from engine.core.regions import country_code, zones_by_country, zones_of_place

_WORDS = {
    "given": "as given",
    "phone": "by the phone number",
    "place": "by the address",
    "shop": "the shop's",
}


class Whereabouts(NamedTuple):
    """The ``zones`` (one or more) that the shopper may be in, and what tells: the time zone that
    was ``given``, the ``phone`` number, the ``place`` that is known, or nothing (``shop``)."""

    zones: tuple[ZoneInfo, ...]
    by: Literal["given", "phone", "place", "shop"]

    @property
    def words(self) -> str:
        """For a person: ``Asia/Karachi, by the phone number``."""
        names = ", ".join(zone.key for zone in self.zones[:3])
        if len(self.zones) > 3:
            names += f" and {len(self.zones) - 3} more"
        return f"{names}, {_WORDS[self.by]}"


def whereabouts(traits: Mapping[str, Any], otherwise: str) -> Whereabouts:
    """By which clocks the shopper lives: as given, else by the phone number (all zones of its
    country where the number does not tell more), else by address or location, else those of the
    zone named ``otherwise``."""
    given = traits.get("timezone")
    if isinstance(given, str) and (found := _given(given)) is not None:
        return found
    phone = traits.get("phone")
    if isinstance(phone, str) and (found := _by_phone(phone)) is not None:
        return found
    if (place := _place(traits)) is not None and (found := _by_place(*place)) is not None:
        return found
    return _shops(otherwise)


def shopper_zone(traits: Mapping[str, Any], otherwise: str) -> ZoneInfo:
    """The one zone that a shopper's times are counted in: theirs where it is certain, else that
    named ``otherwise``."""
    found = whereabouts(traits, otherwise)
    return found.zones[0] if len(found.zones) == 1 else zone_named(otherwise)


def country_of(traits: Mapping[str, Any], otherwise: str) -> str:
    """The country that a shopper is in (ISO 3166-1): of the address, of the phone number, else
    ``otherwise``."""
    if (place := _place(traits)) is not None:
        return place[0]
    phone = traits.get("phone")
    found = country_of_phone(phone) if isinstance(phone, str) else ""
    return found or otherwise


def country_of_phone(phone: str) -> str:
    """The country of an E.164 number; "" where it is none, or belongs to no one country."""
    regions = _regions_of(phone)
    if len(regions) == 1:
        return regions[0] if regions[0] in zones_by_country() else ""
    return _country_of_shared(phone) if regions else ""


def _regions_of(phone: str) -> tuple[str, ...]:
    """The countries that share the calling code. No code is the beginning of another; to look it
    up costs a hundredth of reading the number."""
    if phone[:1] == "+" and phone[1:].isdecimal() and 7 < len(phone) < 17:
        for end in (2, 3, 4):
            regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(phone[1:end]))
            if regions is not None:
                return tuple(regions)
    return ()


@lru_cache(maxsize=16384)
def _country_of_shared(phone: str) -> str:
    """Which of the countries with the same calling code (+1, +7, +44) a number is of."""
    try:
        number = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return ""
    # A number that is not assigned (yet) still begins like those of a country.
    code = phonenumbers.region_code_for_number(number)
    code = code or phonenumbers.region_code_for_country_code(number.country_code or 0)
    return code if code in zones_by_country() else ""


def zone_named(name: str) -> ZoneInfo:
    """The zone called ``name``; UTC where there is none."""
    return _zone(name) or ZoneInfo("UTC")


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or a name that is a path
        return None


@lru_cache(maxsize=1024)
def _given(name: str) -> Whereabouts | None:
    zone = _zone(name)
    return None if zone is None else Whereabouts((zone,), "given")


@lru_cache(maxsize=64)
def _shops(name: str) -> Whereabouts:
    return Whereabouts((zone_named(name),), "shop")


def _by_phone(phone: str) -> Whereabouts | None:
    country = country_of_phone(phone)
    if not country:
        return None
    found = _all_of(country)
    return found if len(found.zones) == 1 else _by_digits(phone, country)


@lru_cache(maxsize=512)
def _all_of(country: str) -> Whereabouts:
    return Whereabouts(_distinct(zones_by_country()[country]), "phone")


@lru_cache(maxsize=16384)
def _by_digits(phone: str, country: str) -> Whereabouts:
    """What the digits of a number tell in a country of several zones."""
    found = phone_zones.time_zones_for_number(phonenumbers.parse(phone))
    if len(found) > 1:  # of all countries with this code, so +1 gives half a hemisphere
        every = zones_by_country()[country]
        found = tuple(name for name in found if name in every)
    zones = _distinct(tuple(found))
    return Whereabouts(zones, "phone") if zones else _all_of(country)


@lru_cache(maxsize=4096)
def _by_place(country: str, region: str, city: str) -> Whereabouts | None:
    zones = _distinct(zones_of_place(country, region, city))
    return Whereabouts(zones, "place") if zones else None


@lru_cache(maxsize=1024)
def _distinct(names: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    """These zones, without those whose clocks show the same as another's."""
    if len(names) == 1:
        zone = _zone(names[0])
        return () if zone is None else (zone,)
    found: dict[tuple[timedelta | None, ...], ZoneInfo] = {}
    for name in names:
        zone = _zone(name)
        if zone is not None:
            found.setdefault(tuple(at.astimezone(zone).utcoffset() for at in _SAMPLES), zone)
    return tuple(found.values())


#: Zones that agree at these moments have agreed for years and are taken to be one.
_SAMPLES = tuple(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=5 * n) for n in range(6 * 73))

_Place = tuple[str, str, str]


def _place(traits: Mapping[str, Any]) -> _Place | None:
    """Country, region and city: of the address that the shop knows, of its own traits, or of the
    location that the browser's address on the net told."""
    for holder in _holders(traits):
        for key in ("country", "country_code"):
            text = holder.get(key)
            if isinstance(text, str) and (country := country_code(text)):
                return country, _text(holder, "region", "state", "province"), _text(holder, "city")
    return None


def _holders(traits: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    address, location = traits.get("address"), traits.get("location")
    if isinstance(address, dict):
        yield address
    yield traits
    if isinstance(location, dict):
        yield location


def _text(holder: Mapping[str, Any], *keys: str) -> str:
    for key in keys:
        value = holder.get(key)
        if isinstance(value, str) and value:
            return value
    return ""
