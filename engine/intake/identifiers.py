"""Who an event speaks of: the identifiers named in it, normalised, strongest first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import phonenumbers

from engine.model.event import IDENTIFIER_KINDS

#: Longest value of an identifier, in characters. It stands in B-tree indexes, whose rows end
#: at 2,704 bytes; four bytes a character at worst.
MAX_LENGTH = 255

#: What broken code sends where it has no id. Each would make one profile of thousands of
#: shoppers.
JUNK = frozenset(
    {
        "",
        "0",
        "-1",
        "null",
        "(null)",
        "undefined",
        "none",
        "nil",
        "nan",
        "true",
        "false",
        "guest",
        "anonymous",
        "unknown",
        "n/a",
        "[object object]",
        "00000000-0000-0000-0000-000000000000",
    }
)

#: Properties (of the event or its context) that name a cart, with what is put before the value:
#: a shop that counts its carts and its checkouts both from 1 must not have two shoppers merged.
CART_FIELDS = {
    "cart_id": "",
    "cart_token": "",
    "checkout_token": "checkout-",
    "checkout_id": "checkout-",
}

_EMAIL = re.compile(r"[^\s@<>(),;:\"\[\]\\]+@[^\s@<>(),;:\"\[\]\\.]+(?:\.[^\s@<>(),;:\"\[\]\\.]+)+")
_STRENGTH: dict[str, int] = {kind: rank for rank, kind in enumerate(IDENTIFIER_KINDS)}


def identifier(kind: str, value: object) -> str | None:
    """``kind:value`` of a raw id (text or number), None where it is junk, of another type, or
    longer than ``MAX_LENGTH``."""
    if isinstance(value, str):
        text = value.strip()
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        text = str(value)
    else:
        return None
    if len(text) > MAX_LENGTH or text.lower() in JUNK:
        return None
    return f"{kind}:{text}"


def email(value: object) -> str | None:
    """``email:…``, trimmed and in small letters; None where it cannot be an address.

    A light check, as this is the door: one @, a dot in the domain, at most 254 characters
    (RFC 5321). Whether mail may go there is decided when it is sent.
    """
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if len(text) > 254 or not _EMAIL.fullmatch(text):
        return None
    return f"email:{text}"


def phone(value: object, region: str) -> str | None:
    """``phone:+…`` in E.164; None where it cannot be a number.

    ``region`` (ISO 3166, "IN") is where a number without a country code is taken to be from.
    Possible is enough (length and country code): ranges open faster than metadata knows them.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 4 <= len(value) <= 40:
        return None
    return _phone(value, region)


@lru_cache(maxsize=4096)
def _phone(value: str, region: str) -> str | None:
    # Some 60 µs a number, most of a request: a shopper's events repeat it.
    try:
        number = phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None
    digits = str(number.national_number)
    possible = phonenumbers.is_possible_number_with_reason(number)
    # One without its area code could be called from next door, but not be written to.
    if number.extension or possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    filler = len(set(digits)) == 1 or digits in ("123456789", "1234567890")
    if filler and not phonenumbers.is_valid_number(number):
        return None  # 000-000-0000: what is typed to get past a form
    return "phone:" + phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def identifiers_of(
    *,
    user: object = None,
    anonymous: object = None,
    people: Iterable[Mapping[str, Any] | None] = (),
    carts: Iterable[Mapping[str, Any] | None] = (),
    region: str,
) -> tuple[str, ...]:
    """All identifiers, strongest first, none twice. May be empty: then the event names nobody.

    ``people`` are mappings whose ``email`` and ``phone`` are the shopper's (traits, properties,
    ``context.traits``); ``carts`` those that may hold one of ``CART_FIELDS``.
    """
    # In order of strength as it goes: sorting them costs more than finding them.
    found = [identifier("user", user)]
    persons = [person for person in people if person]
    for person in persons:
        if "email" in person:
            found.append(email(person["email"]))
    for person in persons:
        if "phone" in person:
            found.append(phone(person["phone"], region))
    for cart in carts:
        if cart:
            for field, before in CART_FIELDS.items():
                if field in cart and (name := identifier("cart", cart[field])):
                    found.append(name.replace(":", f":{before}", 1) if before else name)
    found.append(identifier("anonymous", anonymous))
    return tuple(dict.fromkeys([name for name in found if name]))


def strongest_first(found: Iterable[str | None]) -> tuple[str, ...]:
    """Drop the None and the doubles; order by kind, within a kind as found."""
    return tuple(sorted(dict.fromkeys(name for name in found if name), key=_rank))


def _rank(name: str) -> int:
    return _STRENGTH[name.partition(":")[0]]
