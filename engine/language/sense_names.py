"""Whether the names of events and of their fields are some, or nearly some."""

from __future__ import annotations

import re
from difflib import get_close_matches

from engine.core.conditions import names_used
from engine.language.events import FIELDS, NAMES, OUR_OWN
from engine.language.fields import did_you_mean
from engine.language.report import Place, Report
from engine.language.tree import Scalar, short
from engine.model.journey import Condition


def check_name(report: Report, name: str, place: Place) -> None:
    """Warn where no standard event has this name, but one nearly the same does."""
    if name in NAMES:
        return
    small = {known.casefold(): known for known in NAMES}
    near = get_close_matches(name.casefold(), small, n=1, cutoff=0.88)
    if near:
        message = f"no standard event is called '{short(name)}'"
        report.add("J053", place, message, f"did you mean '{small[near[0]]}'?")


def check_fields(report: Report, event: str, condition: Condition, text: Scalar) -> None:
    """Warn where a condition about a standard event reads a field that it does not carry."""
    fields = FIELDS.get(event)
    for holder, name in sorted(names_used(condition)) if fields is not None else ():
        if holder != "event" or not name or fields is None or name in fields:
            continue
        by = "" if event in OUR_OWN else " in Segment's specification"
        found = re.search(rf"\bevent\b\s*(?:\.\s*|\[\s*['\"]){re.escape(name)}", text.text)
        place = text.at(found.start()) if found else text.place
        hint = did_you_mean(name, fields, otherwise="make sure that your shop sends it")
        report.add("J052", place, f"'{event}' carries no '{short(name)}'{by}", hint)
