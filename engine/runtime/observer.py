"""What can be learned from a simulation while it runs, and what it counts."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from engine.core.decision import Failure, Outcome
from engine.core.gate import Verdict
from engine.core.shopper import Shopper
from engine.model.event import Event
from engine.model.message import Message


@dataclass(slots=True)
class Tally:
    """What one journey did. ``enrolled`` counts every run (of a trigger with ``without`` those that
    got past it), ``held_out`` those of them that got nothing on purpose; ``messages`` what passed
    the gate; ``stopped`` runs a stop event ended, ``goals`` those of them that reached the goal."""

    enrolled: int = 0
    held_out: int = 0
    messages: int = 0
    stopped: int = 0
    goals: int = 0


class Fault(NamedTuple):
    """What a journey raised at a place of it (P10), without anybody's data."""

    journey: str
    path: str
    error: str
    text: str
    where: str

    @classmethod
    def of(cls, found: Failure) -> Fault:
        return cls(found.journey, found.path, found.error, found.text, found.where)

    def __str__(self) -> str:
        said = f"{self.error}: {self.text}" if self.text else self.error
        return f"{self.journey} fails at {self.path}: {said} ({self.where})"


class Observer:
    """Sees what a simulation decides, as it decides it. These methods do nothing.

    What they are handed belongs to the simulation: look at it during the call, change nothing.
    """

    def happened(self, shopper: Shopper, event: Event) -> None:
        """``event`` is about to be worked: all that fell due before it has been. Or the shopper
        reaches a calendar whose journey does not mean them."""

    def about(self, shopper: Shopper) -> None:
        """Whose decisions and judgements come next."""

    def merged(self, gone: int, into: int) -> None:
        """One profile becomes part of another."""

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        """The core's decisions since the last call, before anything comes of them."""

    def judged(self, message: Message, verdict: Verdict) -> None:
        """The gate's word on ``message``, spoken at ``message.due_at``."""


class Reused(Outcome):
    """An outcome for one stimulus after another: a fresh one would cost more than most
    decisions, and one for each shopper more memory than the shopper."""

    __slots__ = ()

    def forget(self) -> None:
        """Be as new."""
        # Most are empty, and to ask costs less than to clear.
        if self.traces:
            self.traces.clear()
        if self.enrollments:
            self.enrollments.clear()
            self.entered.clear()
            self.stopped.clear()
            self.qualified.clear()
        if self.messages:
            self.messages.clear()
        if self.consents:
            self.consents.clear()
        for rare in (self.audiences, self.emitted, self.jumps, self.too_late, self.failures):
            if rare:
                rare.clear()
        if self.claims:
            self.claims.clear()


class Untraced(Reused):
    """Nobody reads the traces: none are kept."""

    __slots__ = ()

    def mark(self, enrollment_id: str, path: str, verdict: str, why: str, at: datetime) -> None:
        pass

    def mark_wait(self, enrollment_id: str, path: str, until: datetime, at: datetime) -> None:
        pass


@contextmanager
def undisturbed() -> Iterator[None]:
    """Without Python's search for cycles: a simulation makes none, and searching millions of
    shoppers again and again takes as long as the simulation itself."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
