"""How many messages a run can send within a time at the very most, whatever the shopper does; or
how much else its steps can do.

Worked out over the steps, not sampled: every branch and arm is taken, every event that is waited
for comes at once or never, nothing is stopped, capped or held back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from engine.model.journey import (
    AnyStep,
    Branch,
    Exit,
    Journey,
    Jump,
    Send,
    Split,
    Wait,
    WaitFor,
)

_MINUTE = timedelta(minutes=1)


def _messages(step: AnyStep) -> int:
    return int(isinstance(step, Send))


class Reach:
    """Worst cases of ``journey``; ``others`` are where its ``jump`` steps lead.
    Messages are counted, or what ``weigh`` says of each step.

    Times are counted in whole minutes, waits rounded down: never too few messages.
    """

    def __init__(
        self,
        journey: Journey,
        others: Mapping[str, Journey] | None = None,
        _on_the_way: frozenset[str] = frozenset(),
        weigh: Callable[[AnyStep], int] = _messages,
    ) -> None:
        self._journey = journey
        self._weigh = weigh
        self._others = others or {}
        self._on_the_way = _on_the_way | {journey.name}
        self._known: dict[tuple[str, int], int] = {}

    def from_start(self, within: timedelta) -> int:
        """Messages of a run that begins now."""
        return self._from(self._journey.start, within // _MINUTE)

    def from_wait(self, at: str, left: timedelta, within: timedelta) -> int:
        """Messages of a run that waits at ``at`` for another ``left`` (at least none)."""
        step = self._journey.steps[at]
        minutes = within // _MINUTE
        wait = max(left // _MINUTE, 0)
        if isinstance(step, WaitFor):
            then = self._from(step.then or step.next, minutes)
            return max(then, self._later(step.otherwise or step.next, minutes - wait))
        # A send that waits for its next window has itself still to come.
        return self._later(at if isinstance(step, Send) else step.next, minutes - wait)

    def _later(self, at: str | None, minutes: int) -> int:
        return self._from(at, minutes) if minutes >= 0 else 0

    def _from(self, at: str | None, minutes: int) -> int:
        if at is None:
            return 0
        place = (at, minutes)
        if place not in self._known:
            self._known[place] = self._worked_out(at, minutes)
        return self._known[place]

    def _worked_out(self, at: str, minutes: int) -> int:
        step = self._journey.steps[at]
        if isinstance(step, Exit):
            return 0
        if isinstance(step, Wait):
            return self._later(step.next, minutes - step.duration // _MINUTE)
        if isinstance(step, WaitFor):
            then = self._from(step.then or step.next, minutes)
            late = minutes - step.at_most // _MINUTE
            return max(then, self._later(step.otherwise or step.next, late))
        if isinstance(step, Branch | Split):
            ways = {arm.goto or step.next for arm in step.arms}
            if isinstance(step, Branch):
                ways.add(step.next)
            return max(self._from(way, minutes) for way in ways)
        if isinstance(step, Jump):
            other = self._others.get(step.journey)
            if other is None or other.name in self._on_the_way:
                return 0
            further = Reach(other, self._others, self._on_the_way, self._weigh)
            return further._from(other.start, minutes)
        return self._weigh(step) + self._from(step.next, minutes)
