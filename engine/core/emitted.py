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
#: at one moment; the steps that would emit more do not. What one of them leads to counts on: the
#: first event by one, the second by two. So a circle of several events ends as well: at most
#: 2 ** (LONGEST_CHAIN - 1) come of one, where they would multiply at every turn.
LONGEST_CHAIN = 10

#: How the id of an emitted event begins: it comes after all others of its moment, for something
#: led to it. Ids decide between events of one moment, so what led to it never counts as coming
#: after it: an order that puts somebody into a segment does not stop what that starts.
EMITTED: Final = "~emit"


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


def chain_before(run: Enrollment, now: datetime) -> int:
    """How far the emitted events that led to ``run`` at this very moment have counted: an emitted
    event's id tells, and it is the trigger of the run that it started."""
    kind, _, rest = run.event_id.partition(":")
    before = rest.partition(":")[0]
    return (
        int(before[:6]) if kind == EMITTED and before.isdecimal() and run.entered_at >= now else 0
    )
