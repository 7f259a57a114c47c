"""Events that Winback makes itself, from ``emit`` steps and calendars.

They take the same way in as all others, but the shopper did nothing: their context says whose
they are, and ``last_seen`` does not move.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from engine.model.enrollment import Enrollment
from engine.model.event import Event

OURS: Final[dict[str, Any]] = {"made_by": "winback"}

#: Journeys may start each other in a circle. So many emitted events may follow from each other
#: at one moment; the steps that would emit more do not.
LONGEST_CHAIN = 10


class Emitted(NamedTuple):
    """What a step emitted. The shell knows by which identifiers the shopper goes."""

    id: str
    profile_id: int
    name: str
    time: datetime
    properties: dict[str, Any]


def ours(context: Mapping[str, Any]) -> bool:
    """Whether the event with this context is one that Winback made."""
    return context.get("made_by") == "winback"


def event_of(emitted: Emitted, who: tuple[str, ...], received_at: datetime) -> Event:
    """The event as it comes into the inbox: it happened when its step was passed."""
    return Event(
        emitted.id,
        "track",
        emitted.name,
        emitted.time,
        received_at,
        who,
        emitted.properties,
        OURS,
    )


def place_in_chain(run: Enrollment, now: datetime) -> int:
    """How many emitted events, this one counted, have followed from each other at this very
    moment: an emitted event's id tells, and it is the trigger of the run that it started."""
    kind, _, rest = run.event_id.partition(":")
    before = rest.partition(":")[0]
    if kind == "emit" and before.isdecimal() and run.entered_at >= now:
        return int(before[:6]) + 1
    return 1
