"""Whose law counts when somebody's data is to go to an ad platform, and what it asks for."""

from __future__ import annotations

#: The law of these wants a yes before anybody's data goes to an ad platform: the EEA, the United
#: Kingdom and Switzerland, as Google's EU user consent policy names them.
ASKS = frozenset(
    {"AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR"}
    | {"HU", "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE"}
    | {"SI", "SK"}
)


def law_of(country: str, phone_country: str, shop: str) -> str:
    """The ISO country whose law counts for a shopper.

    Of the country that they gave and that of their phone number the one that asks for more; with
    neither known ("") it is the shop's.
    """
    known = [one for one in (country, phone_country) if one] or [shop]
    return next((one for one in known if one in ASKS), known[0])


def may_be_told(law: str, yes: bool) -> bool:
    """Whether an ad platform, any of them, by API or by file, may be told of a shopper who has
    not said no. ``yes``: they said so, to the use of their data and to personal ads."""
    return yes or law not in ASKS
