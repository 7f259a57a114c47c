"""What the core answers with: the new enrollment, effects as data, and the trace that says why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from engine.core.emitted import Emitted
from engine.model.enrollment import Enrollment
from engine.model.message import Message
from engine.model.profile import Consent


class Mark(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of a trace: at ``path`` of the YAML, the core decided ``verdict`` because
    ``why``, at ``at`` (UTC)."""

    path: str
    verdict: str
    why: str
    at: datetime


@dataclass(slots=True)
class AudienceChange:
    """The shopper goes on an audience or comes off it, on account of one run."""

    audience: str
    enrollment_id: str
    profile_id: int
    wanted: bool


class Jumped(NamedTuple):
    """``run`` has ended to go on in ``journey``, which the book may yet refuse."""

    run: Enrollment
    journey: str


class TooLate(NamedTuple):
    """A step came too late for what it sends: it gives it up, or ``waits`` for the next window.
    ``id`` is the message's, whether it is made or not."""

    id: str
    profile_id: int
    at: datetime
    journey: str
    step: str
    channel: str
    topic: str
    waits: bool


class Claim(NamedTuple):
    """A run asks for a code of ``pool``. ``id`` follows from run, step and visit: one code each,
    however often it is asked for."""

    id: str
    pool: str
    enrollment_id: str


class Failure(NamedTuple):
    """A fault that struck one journey for one shopper (P10): at ``path`` of that ``version`` an
    exception of type ``error`` was raised, ``where`` in our code. ``run_id`` is "" where no run had
    begun. ``text`` is what the exception says, without the shopper's data; ``at`` (UTC) the
    logical time."""

    journey: str
    version: str
    path: str
    run_id: str
    error: str
    text: str
    where: str
    at: datetime


@dataclass(slots=True)
class Outcome:
    """All that one batch of stimuli changed for one shopper, ready to be written in one go.

    ``enrollments`` holds the latest state of every run that changed, by id; ``entered`` the
    ids of those that are new; ``stopped`` those whose waiting messages must be cancelled and
    whose audience places must be given back; ``qualified`` those that got past their trigger's
    ``without``. ``emitted`` are events for the inbox. ``jumps`` is
    empty between two stimuli. ``claims``, by id: the codes that were asked for, see
    ``engine.core.coupons``.
    """

    enrollments: dict[str, Enrollment] = field(default_factory=dict)
    entered: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    qualified: set[str] = field(default_factory=set)
    messages: list[Message] = field(default_factory=list)
    audiences: list[AudienceChange] = field(default_factory=list)
    consents: list[Consent] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)
    #: the emitted event that led to more last, at what moment, and to how many at that moment
    chained: tuple[str, datetime | None, int] = ("", None, 0)
    jumps: list[Jumped] = field(default_factory=list)
    too_late: list[TooLate] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    claims: dict[str, Claim] = field(default_factory=dict)
    traces: dict[str, list[Mark]] = field(default_factory=dict)

    def mark(self, enrollment_id: str, path: str, verdict: str, why: str, at: datetime) -> None:
        self.traces.setdefault(enrollment_id, []).append(Mark(path, verdict, why, at))

    def mark_wait(self, enrollment_id: str, path: str, until: datetime, at: datetime) -> None:
        """``mark`` that the run waits: only a trace that is kept is worth the words."""
        self.mark(enrollment_id, path, "waits", in_words(until), at)


def in_words(moment: datetime) -> str:
    """Until when somebody waits, for a trace."""
    return f"until {moment.isoformat(' ')[:19]} UTC"


Facts = dict[str, Any]
