"""Public holidays, from the tables of the library ``holidays``. Pure: given a day, no clock.

Those that follow the moon are the library's estimates, which may be a day off.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import holidays as tables


def is_holiday(country: str, day: date) -> bool:
    """Whether ``day`` is a public holiday in all of ``country`` (ISO 3166-1)."""
    return day in _of(country, day.year)


def holiday_name(country: str, day: date) -> str:
    """What the holiday is called in English where that is known; "" on any other day."""
    return _of(country, day.year).get(day, "")


def has_holidays(country: str) -> bool:
    """Whether the tables know the country."""
    return country in _countries()


@lru_cache(maxsize=1)
def _countries() -> frozenset[str]:
    return frozenset(tables.list_supported_countries(include_aliases=False))


@lru_cache(maxsize=512)
def _of(country: str, year: int) -> dict[date, str]:
    if country not in _countries():
        return {}
    # Without a language the library would look at the environment for one.
    found = tables.country_holidays(country, years=year, expand=False, language="en_US")
    return {day: str(name) for day, name in found.items()}
