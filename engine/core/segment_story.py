"""What happened to a shopper, as segments look at it, and the events that tell who entered and
left: the same in the pipeline and in a simulation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from engine.core.emitted import EMITTED, LONGEST_CHAIN, Emitted
from engine.core.ids import derive
from engine.core.segments import Book, Change, Step
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import SEGMENT_ENTERED, SEGMENT_LEFT
from engine.model.profile import Profile


@dataclass(slots=True)
class Story:
    """What happened to one shopper in a batch: the profile ``before``, and (event, the profile
    after it, its time) in order. ``runs`` are those that changed, by id; ``anew``: they are new or
    took somebody in, so that everything may be otherwise; ``named``: by another name as well."""

    before: Profile
    happened: list[tuple[Event | None, Profile, datetime]] = field(default_factory=list)
    runs: Mapping[str, Enrollment] = field(default_factory=dict)
    new: bool = False
    anew: bool = False
    named: bool = False


def steps_of(book: Book, story: Story, now: datetime) -> list[Step]:
    """What may have touched where the shopper stands, in order."""
    steps = list(book.steps(story.before, story.happened))
    more = book.of_journeys({run.journey for run in story.runs.values()}) if story.runs else None
    if more:
        steps = [step._replace(touched=step.touched | more) for step in steps]
    first = book.every if story.anew else book.of_lists if story.named else None
    if first:
        if not steps:
            steps = [Step(now, story.before, None, first)]
        steps[0] = steps[0]._replace(touched=steps[0].touched | first)
    return steps


def told_by(change: Change) -> Emitted | None:
    """The event that tells of the change. Its id says what it is about, so that it counts once
    (P2), and how many events of ours at that moment led to it: None where a circle of segments and
    journeys ends."""
    place = _chained(change) + 1
    if place > LONGEST_CHAIN:
        return None
    word = "entered" if change.member else "left"
    id = derive("segment", change.segment, change.profile_id, word, change.at, change.cause)
    name = SEGMENT_ENTERED if change.member else SEGMENT_LEFT
    properties = {"segment": change.segment}
    return Emitted(f"{EMITTED}:{place}:{id}", change.profile_id, name, change.at, properties)


def _chained(change: Change) -> int:
    kind, _, rest = change.cause.partition(":")
    number = rest.partition(":")[0]
    return int(number[:6]) if kind == EMITTED and number.isdecimal() else 0
