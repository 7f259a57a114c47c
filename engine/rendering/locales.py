"""Which language a shopper reads, and how it is written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

from babel import Locale, UnknownLocaleError

_TAG = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
_FALLBACK = Locale("en")


def choose(traits: Mapping[str, Any], shop_locale: str, there: Collection[str]) -> str:
    """The tag of ``there`` that suits the shopper best.

    Tried in turn: the trait ``locale``, the trait ``language`` (each also without its
    territory: "ur-PK", then "ur"), the shop's locale, English, and what comes first by name.
    Raises ``ValueError`` when ``there`` is empty.
    """
    return _best(tuple(_given(traits)), shop_locale, tuple(there))


@lru_cache(maxsize=1024)
def _best(given: tuple[str, ...], shop_locale: str, there: tuple[str, ...]) -> str:
    by_tag = {_normal(tag): tag for tag in sorted(there)}
    for wish in _wishes(given, shop_locale):
        if wish in by_tag:
            return by_tag[wish]
    return min(there)


def shopper_locale(traits: Mapping[str, Any], shop_locale: str, language: str) -> str:
    """The locale whose numbers and dates go with a text written in ``language``: the
    shopper's own, else the shop's, if they speak that language; else ``language`` itself."""
    base = _normal(language).partition("-")[0]
    for wish in (*_given(traits), shop_locale):
        if _normal(wish).partition("-")[0] == base and "-" in _normal(wish):
            return wish
    return language


@lru_cache(maxsize=512)
def babel_locale(tag: str) -> Locale:
    """Babel's locale for a BCP 47 tag; English where the tag means nothing to it."""
    text = tag.replace("_", "-")
    while text:
        try:
            return Locale.parse(text, sep="-")
        except (ValueError, UnknownLocaleError):
            text = text.rpartition("-")[0]
    return _FALLBACK


def direction(tag: str) -> Literal["ltr", "rtl"]:
    """How the language of ``tag`` is written."""
    return "rtl" if babel_locale(tag).text_direction == "rtl" else "ltr"


def _wishes(given: tuple[str, ...], shop_locale: str) -> Iterator[str]:
    for tag in (*given, shop_locale, "en"):
        wish = _normal(tag)
        while wish:
            yield wish
            wish = wish.rpartition("-")[0]


def _given(traits: Mapping[str, Any]) -> Iterator[str]:
    for trait in ("locale", "language"):
        value = traits.get(trait)
        if isinstance(value, str) and _TAG.fullmatch(value.strip()):
            yield value.strip()


def _normal(tag: str) -> str:
    return tag.replace("_", "-").lower()
