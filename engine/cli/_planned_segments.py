"""What ``winback plan`` says of segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from engine.language import SegmentSet
from engine.model.journey import Journey
from engine.runtime.segment_plan import SegmentChange, SegmentPlan, draw
from engine.store.database import Connection


def of_files(
    connection: Connection, journeys: Mapping[str, Journey], found: SegmentSet, now: datetime
) -> SegmentPlan:
    """The files against what is in force; one with an error stays as it is."""
    broken = found.names - found.segments.keys()
    lists = {name: one.identifiers for name, one in found.lists.items()}
    return draw(connection, journeys, found.segments, broken, lists, now)


def show(plan: SegmentPlan, messages: int, allowed: int) -> None:
    """For a person. ``messages``: those of the journeys' changes too."""
    console = Console(highlight=False, soft_wrap=True)
    if not plan.changes:
        return
    console.print("\nSegments go into force by themselves, as soon as the files are the shop's:")
    for change in plan.changes:
        console.print(Text(f"  {_words(change)}"))
    for part in plan.parts:
        words = f"{part.people:,} a day {part.who}, up to {part.messages:,} messages"
        console.print(f"  {part.journey}: {words}", markup=False)
    if plan.messages:
        words = f"With them up to {messages:,} messages more in the first day; allowed are"
        console.print(Text(f"{words} {allowed:,}.", "bold red" if messages > allowed else "bold"))


def _words(change: SegmentChange) -> str:
    hear = f"{', '.join(change.journeys)} {'hears' if len(change.journeys) == 1 else 'hear'} of it"
    if change.change == "removed":
        return f"{change.segment} removed; {hear}, and nobody enters or leaves it any more"
    moved = f"{change.members:,} members, {change.come:,} come in and {change.go:,} go out at once"
    return f"{change.segment} {change.change}: {moved}, by which no journey begins; {hear}"


def as_document(plan: SegmentPlan) -> dict[str, Any]:
    """For a program."""
    return {
        "changes": [asdict(change) for change in plan.changes],
        "messages": plan.messages,
        "parts": [asdict(part) for part in plan.parts],
    }
