"""The most messages that one shopper can get of all journeys together, and what the caps leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import NamedTuple

from engine.core.gate import topic_of
from engine.core.holds import has_uneven_hours, hold
from engine.core.worstcase import most
from engine.model.journey import Journey, Jump, Send
from engine.model.policy import Cap, Policy

#: Numbers by channel; "*" is all channels together. None: there is no bound.
Figures = Mapping[str, int | None]

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OfJourney:
    """What one journey can send a shopper: ``figures`` in all, of these ``capped`` and ``free`` of
    caps, and those about ``topics`` that have caps of their own ("": about all others that have
    caps). With a ``key`` (its expression) for each key, of which there may be any number."""

    journey: str
    key: str
    figures: Figures
    capped: Figures
    free: Figures
    topics: Mapping[str, Figures] = field(default_factory=dict)


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
    by_topic = {
        topic: {
            name: _sum(_any_keys(each, each.topics.get(topic, {})).get(name, 0) for each in every)
            for name in (*channels, "*")
        }
        for topic in _topics(policy)
    }
    topical = _topical(by_topic, policy, channels, within)
    left = {
        name: _least(capped[name], topical[name], _limit(policy, name, within)) for name in channels
    }
    every_limit = _limit(policy, "*", within)
    apart = _least(capped["*"], topical["*"], _sum(left.values()))
    left = {name: _least(figure, every_limit) for name, figure in left.items()}
    left["*"] = _least(apart, every_limit)
    binding = tuple(
        cap
        for cap in policy.caps
        if cap.channel in left
        and (
            _binds(cap, within, {**capped, "*": apart}[cap.channel], left)
            if cap.topic == "*"
            else _exceeds(by_topic[cap.topic][cap.channel], _allowed(cap, within))
        )
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
    topics = _topics(policy)
    longest = max((hold(policy, channel) for channel in channels), default=timedelta(0))

    def group(step: Send) -> _Group:
        free = topic_of(policy, step.topic).consent == "none"
        own = "" if free or step.topic not in topics else step.topic
        return _Group(step.channel, free, own)

    groups = {group(step) for step in _sends(journey)}

    @cache
    def count(*some: _Group) -> int | None:
        # What waits for the morning may meet what another channel, or nothing, holds back; what
        # waits for Monday meets what was due on Monday.
        apart = len({(each.channel, each.free) for each in some}) > 1
        uneven = any(has_uneven_hours(policy, each.channel) for each in some)
        room = longest if apart or uneven else timedelta(0)
        return most(journey, within + room, lambda step: group(step) in some, by_jump=bool(sources))

    def figures(wanted: Callable[[_Group], bool]) -> Figures:
        found = {}
        for name in (*channels, "*"):
            some = sorted(one for one in groups if name in ("*", one.channel) and wanted(one))
            apart = _sum(count(one) for one in some)
            found[name] = apart if len(some) < 2 else _least(apart, count(*some))
        return found

    def about(topic: str) -> Figures:
        return figures(lambda one: not one.free and one.topic == topic)

    return OfJourney(
        journey.name,
        keys[0] if keys else "",
        figures(lambda one: True),
        figures(lambda one: not one.free),
        figures(lambda one: one.free),
        {topic: about(topic) for topic in topics},
    )


class _Group(NamedTuple):
    """Messages that the same caps and hours hold back. ``topic``: only where it has its own."""

    channel: str
    free: bool
    topic: str


def _topics(policy: Policy) -> list[str]:
    """The topics that have caps of their own, and "" for all others; none where none has."""
    own = sorted({cap.topic for cap in policy.caps if cap.topic != "*"})
    return [*own, ""] if own else []


def _topical(
    by_topic: Mapping[str, Figures], policy: Policy, channels: list[str], within: timedelta
) -> Figures:
    """What the caps per topic leave of all topics together, by channel; None: they say nothing."""
    if not by_topic:
        return dict.fromkeys((*channels, "*"))
    left: dict[str, list[int | None]] = {name: [] for name in (*channels, "*")}
    for topic, wanted in by_topic.items():
        over_all = _limit(policy, "*", within, topic)
        each = {c: _least(wanted[c], _limit(policy, c, within, topic)) for c in channels}
        for channel in channels:
            left[channel].append(_least(each[channel], over_all))
        left["*"].append(_least(wanted["*"], _sum(each.values()), over_all))
    return {name: _sum(figures) for name, figures in left.items()}


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


def _any_keys(found: OfJourney, figures: Figures) -> Figures:
    """For any number of keys there is no bound where there is a message at all."""
    if not found.key:
        return figures
    return {name: None if figure else figure for name, figure in figures.items()}


def _limit(policy: Policy, channel: str, within: timedelta, topic: str = "*") -> int | None:
    caps = [cap for cap in policy.caps if (cap.channel, cap.topic) == (channel, topic)]
    return _least(*(_allowed(cap, within) for cap in caps))


def _exceeds(wanted: int | None, allowed: int | None) -> bool:
    return allowed is not None and (wanted is None or wanted > allowed)


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
