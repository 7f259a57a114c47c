"""Who an event speaks of: the identifiers named in it, normalised, strongest first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from engine.model import address
from engine.model.address import NotAnAddress
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

#: RFC 5321, 4.5.3.1.3: a path has 256 octets, two of them its brackets.
_LONGEST_EMAIL = 254
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
    """``email:…``, in small letters; None where it cannot be an address. White space around it,
    and a name as in "Asha Rao <asha@example.com>", are taken off."""
    return _taken(read_email, value)


def phone(value: object, region: str) -> str | None:
    """``phone:+…`` in E.164; None where it cannot be a number.

    ``region`` (ISO 3166, "IN") is where a number without a country code is taken to be from.
    """
    return _taken(read_phone, value, region)


def _taken(read: Callable[..., str], *of: object) -> str | None:
    try:
        return read(*of)
    except NotAnAddress:
        return None


def read_email(value: object) -> str:
    """As ``email``, but raises ``NotAnAddress`` with the reason."""
    if not isinstance(value, str):
        raise NotAnAddress("An email address must be a text.")
    found = address.identity(address.mailbox(value.strip(), named=True))
    if len(found) > _LONGEST_EMAIL:
        raise NotAnAddress("The email address is too long.")
    return f"email:{found}"


def read_phone(value: object, region: str) -> str:
    """As ``phone``, but raises ``NotAnAddress`` with the reason."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 4 <= len(value) <= 40:
        raise NotAnAddress("This is not a phone number.")
    return f"phone:{address.number(value, region)}"


def identifiers_of(
    *,
    user: object = None,
    anonymous: object = None,
    people: Iterable[Mapping[str, Any] | None] = (),
    carts: Iterable[Mapping[str, Any] | None] = (),
    region: str,
    refused: dict[str, Any] | None = None,
) -> tuple[str, ...]:
    """All identifiers, strongest first, none twice. May be empty: then the event names nobody.
    ``refused`` is told which address was none, and why: kind -> ``{"value", "because"}``.

    ``people`` are mappings whose ``email`` and ``phone`` are the shopper's (traits, properties,
    ``context.traits``); ``carts`` those that may hold one of ``CART_FIELDS``.
    """
    # In order of strength as it goes: sorting them costs more than finding them.
    found = [identifier("user", user)]
    persons = [person for person in people if person]
    for person in persons:
        if "email" in person:
            found.append(_read("email", person["email"], region, refused))
    for person in persons:
        if "phone" in person:
            found.append(_read("phone", person["phone"], region, refused))
    for cart in carts:
        if cart:
            for field, before in CART_FIELDS.items():
                if field in cart and (name := identifier("cart", cart[field])):
                    found.append(name.replace(":", f":{before}", 1) if before else name)
    found.append(identifier("anonymous", anonymous))
    return tuple(dict.fromkeys([name for name in found if name]))


def _read(kind: str, value: object, region: str, refused: dict[str, Any] | None) -> str | None:
    if value is None or value == "":
        return None
    try:
        return read_email(value) if kind == "email" else read_phone(value, region)
    except NotAnAddress as error:
        if refused is not None:
            refused[kind] = {"value": str(value)[:MAX_LENGTH], "because": str(error)}
        return None


def strongest_first(found: Iterable[str | None]) -> tuple[str, ...]:
    """Drop the None and the doubles; order by kind, within a kind as found."""
    return tuple(sorted(dict.fromkeys(name for name in found if name), key=_rank))


def _rank(name: str) -> int:
    return _STRENGTH[name.partition(":")[0]]
