"""How text messages are written and what they cost, from ``sms:`` in config/winback.yaml."""

from __future__ import annotations

import re
from decimal import Decimal

from engine.core.regions import zones_by_country
from engine.language.fields import Fields, read_entries, read_text
from engine.language.report import Report
from engine.language.tree import Tree, short
from engine.model.texts import Price, SmsRules, Transliterate

SMS = ("transliterate", "max segments", "prices")
TRANSLITERATE: dict[str, Transliterate] = {"false": "no", "true": "latin", "all": "all"}
#: As providers publish them: 0.0083 USD. For the loader and, as it is, for the schema.
PRICE = r"^\s*([0-9]{1,6}(?:\.[0-9]{1,8})?) ?([A-Z]{3})\s*$"
COUNTRY = r"^(?:[A-Z]{2}|\*)$"
#: As many as Twilio takes of plain English (1,600 characters).
SEGMENTS = r"^(?:[1-9]|10)$"


def read_sms(report: Report, node: Tree | None) -> SmsRules:
    """The key ``sms``; without it messages go as they are written, and cost nobody knows what."""
    usual = SmsRules()
    if node is None:
        return usual
    fields = Fields(report, node, "'sms'", SMS)
    chosen = fields.choice("transliterate", tuple(TRANSLITERATE))
    return SmsRules(
        TRANSLITERATE.get(chosen or "", usual.transliterate),
        _most(report, fields) or usual.max_segments,
        _prices(report, fields.get("prices")),
    )


def _most(report: Report, fields: Fields) -> int | None:
    text, node = fields.text("max segments"), fields.get("max segments")
    if text is None or node is None:
        return None
    if not re.search(SEGMENTS, text.strip()):
        message = f"'max segments' cannot be '{short(text)}'"
        report.add("J011", node.place, message, "write a number from 1 to 10")
        return None
    return int(text)


def _prices(report: Report, node: Tree | None) -> dict[str, Price]:
    found: dict[str, Price] = {}
    for key, value in read_entries(report, node, "'prices'"):
        text = read_text(report, value, f"the price for '{key.text}'")
        if key.text != "*" and key.text not in zones_by_country():
            hint = "write two capital letters, such as IN, or '*' for all others"
            report.add("J011", key.place, f"'{short(key.text)}' is no country", hint)
        elif text is not None and (price := re.search(PRICE, text)) is None:
            hint = "write what one segment costs, and the currency: 0.0083 USD"
            report.add("J011", value.place, f"'{short(text)}' is no price", hint)
        elif text is not None and price is not None:
            found[key.text] = Price(Decimal(price[1]), price[2])
    return found
