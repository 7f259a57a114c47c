"""Where a shopper lives, for segments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.core.zones import country_of
from engine.model.segment import Located

#: Traits that tell: when one changes, the answer may.
TRAITS = frozenset(
    {"address", "location", "phone", "country", "country_code", "state", "region", "province"}
    | {"city"}
)
_STATES = ("state", "region", "province")


def lives_in(rule: Located, traits: Mapping[str, Any]) -> bool:
    """Whether the shopper lives there: by the address that the shop knows, by its own traits, or by
    the place that the browser's address on the net told; the country also by the phone number.
    Names of states and cities are compared without regard to capital letters."""
    if rule.countries and country_of(traits, "") not in rule.countries:
        return False
    if rule.states and not _said(traits, _STATES, rule.states):
        return False
    return not rule.cities or _said(traits, ("city",), rule.cities)


def _said(traits: Mapping[str, Any], keys: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """The first of the holders that says anything counts."""
    for holder in (traits.get("address"), traits, traits.get("location")):
        if not isinstance(holder, Mapping):
            continue
        for key in keys:
            value = holder.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip().casefold() in wanted
    return False
