"""What every ad platform asks for: one member, canonical text, E.164 phones, SHA-256."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
import phonenumbers

from engine.model.adlaw import law_of

_SPACES = re.compile(r"\s+")
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_DEVICE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_DEVICE = "00000000-0000-0000-0000-000000000000"


class Member(msgspec.Struct, frozen=True, gc=False):
    """One shopper as an ad platform may know them. Plain text: never write or log one.

    ``reference`` is the hash that names the profile at a platform that keeps our own id.
    ``region`` is the ISO country that a phone number without ``+`` is read in, ``law`` the one
    whose law counts. ``device`` is the advertising id of a phone (IDFA, GAID).
    """

    reference: str
    email: str = ""
    phone: str = ""
    first_name: str = ""
    last_name: str = ""
    country: str = ""
    postal_code: str = ""
    region: str = "US"
    law: str = "US"
    device: str = ""


def member(profile_id: int, traits: Mapping[str, Any], *, region: str) -> Member:
    """The member that a profile's traits describe; ``region`` is the shop's country.

    Reads the traits of the Segment spec: ``email``, ``phone``, ``first_name``, ``last_name``,
    and country and postal code from ``address`` or from the top; and ``advertising_id``. The
    shopper's own country, where it is an ISO code, goes before the shop's.
    """
    address = traits.get("address")
    address = address if isinstance(address, Mapping) else {}
    country = _first(address, "country") or _first(traits, "country", "country_code")
    country = country.upper() if _COUNTRY.fullmatch(country) else ""
    phone = _first(traits, "phone")
    return Member(
        reference=sha256(f"profile:{profile_id}"),
        email=_first(traits, "email"),
        phone=phone,
        first_name=_first(traits, "first_name"),
        last_name=_first(traits, "last_name"),
        country=country,
        postal_code=_first(address, "postal_code", "postalCode", "zip")
        or _first(traits, "postal_code", "zip"),
        region=country or region,
        law=law_of(country, _read(phone, country or region)[1], region),
        device=_first(traits, "advertising_id", "advertisingId", "idfa", "gaid"),
    )


def sha256(text: str) -> str:
    """SHA-256 of the UTF-8 text as lower-case hex; "" stays "".

    The hash of nothing is the same for everybody, so a platform would take it for one person
    whom all shoppers share.
    """
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def canonical(text: str) -> str:
    """Composed (NFC), trimmed, inner white space as single spaces: one spelling, one hash."""
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def plain_email(text: str) -> str:
    """Lower case, dots and ``+tag`` kept; "" when it is no address."""
    address = canonical(text).lower()
    local, at, domain = address.partition("@")
    return address if local and at and domain and "@" not in domain and " " not in address else ""


def device(text: str) -> str:
    """An advertising id in small letters with its hyphens; "" when it is none, or the one of all
    zeros that a phone gives whose owner wants no tracking."""
    found = canonical(text).lower()
    return found if _DEVICE.fullmatch(found) and found != _NO_DEVICE else ""


def e164(phone: str, region: str) -> str:
    """``+`` and digits of a number that can exist, "" of one that cannot.

    A number without ``+`` is read as one of ``region`` first, and where it is none there, as
    an international one whose ``+`` was lost.
    """
    return _read(phone, region)[0]


@lru_cache(maxsize=8)  # of one member it is asked three times, at 20 us
def _read(phone: str, region: str) -> tuple[str, str]:
    """The number in E.164, and the country that it belongs to; "" and "" of one that is none."""
    text = canonical(phone)
    if not text:
        return "", ""
    readings = [text]
    digits = re.sub(r"\D", "", text)
    if not text.startswith("+") and not digits.startswith("0"):
        readings.append(f"+{digits}")
    for reading in readings:
        try:
            number = phonenumbers.parse(reading, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            written = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return written, phonenumbers.region_code_for_number(number) or ""
    return "", ""


def _first(traits: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = traits.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value)
    return ""
