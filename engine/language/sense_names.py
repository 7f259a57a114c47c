"""Whether the name of an event is one, or nearly one."""

from __future__ import annotations

from difflib import get_close_matches

from engine.language.events import NAMES
from engine.language.report import Place, Report
from engine.language.tree import short


def check_name(report: Report, name: str, place: Place) -> None:
    """Warn where no standard event has this name, but one nearly the same does."""
    if name in NAMES:
        return
    small = {known.casefold(): known for known in NAMES}
    near = get_close_matches(name.casefold(), small, n=1, cutoff=0.88)
    if near:
        message = f"no standard event is called '{short(name)}'"
        report.add("J053", place, message, f"did you mean '{small[near[0]]}'?")
