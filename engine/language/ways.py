"""How soon one step of a journey can follow another."""

from __future__ import annotations

from datetime import timedelta
from heapq import heappop, heappush

from engine.model.journey import (
    AnyStep,
    Branch,
    Exit,
    Journey,
    Jump,
    OfferStep,
    Split,
    Wait,
    WaitFor,
)


def soonest(journey: Journey, origin: AnyStep) -> dict[str, timedelta]:
    """The least time from ``origin`` to each step that can follow it: what is waited for comes
    at once, a time of day is now. Of an ``OfferStep`` only as far as the next one, which takes
    its place."""
    found: dict[str, timedelta] = {}
    work = [(timedelta(0), origin.next or "")]
    while work:
        passed, path = heappop(work)
        if not path or path in found:
            continue
        found[path] = passed
        step = journey.steps.get(path)
        if isinstance(step, OfferStep) and isinstance(origin, OfferStep):
            continue
        for following, then in _following(step, passed):
            heappush(work, (then, following or ""))
    return found


def _following(step: AnyStep | None, passed: timedelta) -> list[tuple[str | None, timedelta]]:
    match step:
        case None | Exit() | Jump():
            return []
        case Wait(next=following, duration=duration):
            return [(following, passed + duration)]
        case WaitFor(then=then, otherwise=otherwise, at_most=at_most, next=following):
            return [(then or following, passed), (otherwise or following, passed + at_most)]
        case Branch(arms=arms, next=following):
            ways = [(arm.goto or following, passed) for arm in arms]
            ends = bool(arms) and arms[-1].condition is None
            return ways if ends else [*ways, (following, passed)]
        case Split(arms=arms, next=following):
            return [(arm.goto or following, passed) for arm in arms]
    return [(step.next, passed)]
