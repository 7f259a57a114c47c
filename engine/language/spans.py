"""Reads a number or a range of them: ``at least 2``, ``more than 500``, ``2 to 4``."""

from __future__ import annotations

import re
from decimal import Decimal

from engine.language.fields import read_text
from engine.language.report import Report
from engine.language.tree import Tree, short
from engine.model.segment import Span

_N = r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?"
_WORDS = {
    "at least": "low",
    "more than": "low open",
    "at most": "high",
    "less than": "high open",
    "exactly": "both",
    "": "both",
}
#: For the loader and, as it is, for the schema.
SPAN = rf"^\s*(?:(at least|more than|at most|less than|exactly)\s+)?({_N})\s*$"
BETWEEN = rf"^\s*(?:between\s+)?({_N})\s*(?:-|–|to|and)\s*({_N})\s*$"


def read_span(report: Report, node: Tree, what: str) -> Span | None:
    """A range; a number alone is exactly that."""
    text = read_text(report, node, what)
    if text is None:
        return None
    if found := re.search(SPAN, text):
        number, kind = Decimal(found[2]), _WORDS[found[1] or ""]
        if kind == "both":
            return Span(number, number, text=text.strip())
        if kind.startswith("low"):
            return Span(low=number, low_open=kind.endswith("open"), text=text.strip())
        return Span(high=number, high_open=kind.endswith("open"), text=text.strip())
    if found := re.search(BETWEEN, text):
        low, high = Decimal(found[1]), Decimal(found[2])
        if low <= high:
            return Span(low, high, text=text.strip())
        message = f"{what} begins with the larger number: '{short(text)}'"
        report.add("S005", node.place, message, f"write {high} to {low}")
        return None
    hint = "write for example at least 2, more than 500, or 2 to 4"
    report.add("S005", node.place, f"{what} cannot be '{short(text)}'", hint)
    return None
