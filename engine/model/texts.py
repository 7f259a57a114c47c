"""How text messages are written and what they cost. Read from ``sms:`` in config/winback.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

#: ``latin``: quotes, dashes, accents and the like, where the whole text then fits into GSM-7.
#: ``all``: other scripts too, by their sound.
Transliterate = Literal["no", "latin", "all"]


@dataclass(frozen=True, slots=True)
class Price:
    """An ``amount`` of money in ``currency`` (ISO 4217)."""

    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class SmsRules:
    """``transliterate``  what is written in plainer letters, so that it costs fewer segments; a
                       template may say otherwise.
    ``max_segments``   of how many segments a message may be before lint warns.
    ``prices``         of one segment, by the country of the number (ISO 3166-1); "*" any other.
    """

    transliterate: Transliterate = "no"
    max_segments: int = 3
    prices: Mapping[str, Price] = field(default_factory=dict)
