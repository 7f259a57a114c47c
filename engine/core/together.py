"""The most messages that one shopper can get of all journeys together, and what the caps leave."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from engine.core.gate import topic_of
from engine.core.worstcase import most
from engine.model.journey import Journey, Jump, Send
from engine.model.policy import Cap, Policy, QuietHours

#: Numbers by channel; "*" is all channels together. None: there is no bound.
Figures = Mapping[str, int | None]

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OfJourney:
    """What one journey can send a shopper: ``figures`` in all, of these ``capped`` and ``free`` of
    caps. With a ``key`` (its expression) for each key, of which there may be any number."""

    journey: str
    key: str
    figures: Figures
    capped: Figures
    free: Figures


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most messages in any ``within``: ``before`` the caps; ``capped``, what they leave of
    those that they are for; ``free``, those of no cap. ``binding`` caps hold something back."""

    within: timedelta
    journeys: tuple[OfJourney, ...]
    before: Figures
    capped: Figures
    free: Figures
    binding: tuple[Cap, ...]

    @property
    def after(self) -> Figures:
        """The most messages that the caps leave, with those of no cap."""
        return {name: _sum((figure, self.free[name])) for name, figure in self.capped.items()}


def worst_case(journeys: Mapping[str, Journey], policy: Policy, within: timedelta) -> WorstCase:
    """The worst case of these journeys. ``within`` is in whole days: over those, quiet hours never
    push messages of one channel together."""
    if not within or within % _DAY:
        raise ValueError("a worst case is told over whole days")
    channels = sorted({step.channel for each in journeys.values() for step in _sends(each)})
    sources = jump_sources(journeys)
    every = tuple(
        _of(each, [journeys[name] for name in sources[each.name]], policy, channels, within)
        for each in journeys.values()
        if _sends(each)
    )
    before, capped, free = (
        {name: _sum(figures[name] for figures in all_) for name in (*channels, "*")}
        for all_ in (
            [_any_keys(each, each.figures) for each in every],
            [_any_keys(each, each.capped) for each in every],
            [_any_keys(each, each.free) for each in every],
        )
    )
    left = {name: _least(capped[name], _limit(policy, name, within)) for name in channels}
    every_limit = _limit(policy, "*", within)
    apart = _least(capped["*"], _sum(left.values()))
    left = {name: _least(figure, every_limit) for name, figure in left.items()}
    left["*"] = _least(apart, every_limit)
    binding = tuple(
        cap
        for cap in policy.caps
        if cap.channel in left and _binds(cap, within, {**capped, "*": apart}[cap.channel], left)
    )
    return WorstCase(within, every, before, left, free, binding)


def _of(
    journey: Journey,
    sources: list[Journey],
    policy: Policy,
    channels: list[str],
    within: timedelta,
) -> OfJourney:
    """``sources`` are the journeys from which jumps lead here: they bring their keys along."""
    keys = [each.trigger.key.source for each in (journey, *sources) if each.trigger.key is not None]
    longest = max((_length(each) for each in policy.quiet_hours.values()), default=timedelta(0))

    def group(step: Send) -> tuple[str, bool]:
        return step.channel, topic_of(policy, step.topic).consent == "none"

    groups = {group(step) for step in _sends(journey)}

    @cache
    def count(*some: tuple[str, bool]) -> int | None:
        # What waits for the morning may meet what another channel, or nothing, holds back.
        room = longest if len(some) > 1 else timedelta(0)
        return most(journey, within + room, lambda step: group(step) in some, by_jump=bool(sources))

    def figures(*kinds: bool) -> Figures:
        found = {}
        for name in (*channels, "*"):
            some = sorted(one for one in groups if name in ("*", one[0]) and one[1] in kinds)
            apart = _sum(count(one) for one in some)
            found[name] = apart if len(some) < 2 else _least(apart, count(*some))
        return found

    key = keys[0] if keys else ""
    return OfJourney(journey.name, key, figures(False, True), figures(False), figures(True))


def _sends(journey: Journey) -> list[Send]:
    return [step for step in journey.steps.values() if isinstance(step, Send)]


def jump_sources(journeys: Mapping[str, Journey]) -> dict[str, list[str]]:
    """By journey those from which one gets there by jumps, also over others."""
    direct: dict[str, set[str]] = {name: set() for name in journeys}
    for journey in journeys.values():
        for step in journey.steps.values():
            if isinstance(step, Jump) and step.journey in direct:
                direct[step.journey].add(journey.name)
    found = {}
    for name in journeys:
        seen: set[str] = set()
        work = list(direct[name])
        while work:
            source = work.pop()
            if source not in seen:
                seen.add(source)
                work += direct[source]
        found[name] = sorted(seen)
    return found


def _length(quiet: QuietHours) -> timedelta:
    """How long a message may be held."""
    day = datetime(2000, 1, 1)
    start, end = datetime.combine(day, quiet.start), datetime.combine(day, quiet.end)
    return (end - start) % _DAY


def _any_keys(found: OfJourney, figures: Figures) -> Figures:
    """For any number of keys there is no bound where there is a message at all."""
    if not found.key:
        return figures
    return {name: None if figure else figure for name, figure in figures.items()}


def _limit(policy: Policy, channel: str, within: timedelta) -> int | None:
    return _least(*(_allowed(cap, within) for cap in policy.caps if cap.channel == channel))


def _allowed(cap: Cap, within: timedelta) -> int | None:
    """What a cap leaves in ``within``; one over no time at all leaves everything."""
    return cap.messages * -(-within // cap.within) if cap.within else None


def _binds(cap: Cap, within: timedelta, wanted: int | None, left: Figures) -> bool:
    """Whether this cap is what holds back some of what is ``wanted`` in its channel."""
    allowed = _allowed(cap, within)
    if allowed is None or allowed != left[cap.channel]:
        return False
    return wanted is None or wanted > allowed


def _sum(figures: Iterable[int | None]) -> int | None:
    total = 0
    for figure in figures:
        if figure is None:
            return None
        total += figure
    return total


def _least(*figures: int | None) -> int | None:
    return min((figure for figure in figures if figure is not None), default=None)
