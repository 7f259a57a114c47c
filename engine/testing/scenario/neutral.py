"""Personal data out, something of the same kind in, the same for the same value every time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from engine.language.events import FIELDS

#: What the e-commerce events say about goods and money: nobody's secret, and what conditions
#: look at.
_GOODS = frozenset().union(*FIELDS.values()) - {
    *("email", "cart_id", "cart_token", "cart_url", "order_id", "checkout_id", "wishlist_id"),
    *("share_message", "recipient", "review_id", "review_body", "query", "name", "event_name"),
}
_SETTINGS = frozenset(
    {"locale", "timezone", "language", "country", "channel", "topic", "segment", "journey"}
)
_NAMES = {
    **dict.fromkeys(("first_name", "firstname", "given_name"), "Sam"),
    **dict.fromkeys(("last_name", "lastname", "family_name", "surname"), "Sample"),
    **dict.fromkeys(("name", "full_name", "username", "recipient"), "Sam Sample"),
}
#: Numbers that lead to a person; other numbers are kept, for journeys compare them.
_NUMBERS = frozenset(
    {"zip", "postal_code", "postcode", "latitude", "longitude", "lat", "lng", "age", "ip"}
)
_BIRTH = frozenset({"birthday", "birthdate", "birth_date", "date_of_birth", "dob"})
_PHONES = frozenset({"phone", "mobile", "telephone", "phone_number"})
_EMAIL = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>]+")
_DIGITS = re.compile(r"\+?[0-9][0-9 ()/.-]{6,}[0-9]")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?")


class Neutral:
    """Replaces personal data. ``keep``: names of properties and traits whose text is kept
    because conditions compare it; an address in it is replaced all the same."""

    def __init__(self, keep: frozenset[str] = frozenset()) -> None:
        self._keep = keep
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def traits(self, traits: Mapping[str, Any]) -> dict[str, Any]:
        """The traits of a person: ``name`` is theirs."""
        return {key: self._value(key, value, person=True) for key, value in traits.items()}

    def properties(self, event: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        """What an event says: ``name`` is a product's where the event is about products."""
        goods = event in FIELDS or event in ("Page", "Screen")
        return {k: self._value(k, v, person=not goods) for k, v in properties.items()}

    def _value(self, key: str, value: Any, *, person: bool) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Mapping):
            return {k: self._value(str(k), v, person=person) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(key, each, person=person) for each in value]
        word = key.lower()
        if isinstance(value, int | float | Decimal):
            if word in _PHONES:
                return self._phone(str(value))
            if word in _NUMBERS or self._is_id(word):
                return self._number(word)
            return value
        return self._text(word, key, str(value), person)

    def _text(self, word: str, key: str, text: str, person: bool) -> str:
        if word in _PHONES:
            return self._phone(text)
        if _EMAIL.fullmatch(text.strip()):
            return self._email(text)
        if word in _BIRTH:
            return _born(text)
        if word in _NAMES and (person or word != "name"):
            return _NAMES[word]
        if self._is_id(word):
            return self._numbered("id", word.removesuffix("_id"), text)
        if key in self._keep or word in _GOODS | _SETTINGS or (word == "name" and not person):
            return self._scrub(text)
        if _MOMENT.fullmatch(text):
            return text
        if text.startswith(("http://", "https://")):
            return self._numbered("url", "https://example.org/", text, dash="")
        return self._numbered("text", "text", text)

    @staticmethod
    def _is_id(word: str) -> bool:
        if word in _GOODS:
            return False
        return word in ("id", "cart_token", "token") or word.endswith(("_id", "_token"))

    def _scrub(self, text: str) -> str:
        text = _EMAIL.sub(lambda found: self._email(found[0]), text)
        if _MOMENT.fullmatch(text) or not _DIGITS.fullmatch(text.strip()):
            return text
        return self._phone(text)

    def _email(self, text: str) -> str:
        return self._numbered("email", "shopper", text.strip().lower(), "@example.org", dash="")

    def _phone(self, text: str) -> str:
        """A number of the same country that its regulator keeps for examples; one for every
        number, for a second one could be somebody's."""
        try:
            region = phonenumbers.region_code_for_number(phonenumbers.parse(text, "US"))
        except phonenumbers.NumberParseException:
            region = None
        example = phonenumbers.example_number_for_type(region or "US", PhoneNumberType.MOBILE)
        if example is None:
            return "+12015550123"
        return phonenumbers.format_number(example, PhoneNumberFormat.E164)

    def _number(self, word: str) -> int:
        self._counts[word] = self._counts.get(word, 0) + 1
        return self._counts[word]

    def _numbered(self, kind: str, stem: str, value: str, tail: str = "", dash: str = "-") -> str:
        place = (f"{kind}{stem}", value)
        if place not in self._given:
            self._given[place] = f"{stem}{dash}{self._number(place[0])}{tail}"
        return self._given[place]


def _born(text: str) -> str:
    """The same day of another year: it is the day that journeys look at."""
    try:
        born = date.fromisoformat(text[:10])
    except ValueError:
        return "1988-01-01"
    return born.replace(year=1988).isoformat()  # a leap year: every day exists
