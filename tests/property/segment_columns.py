"""Shoppers in columns, as the store gives them, made of single ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from engine.core.facts import COUNTED
from engine.core.segments import Subject
from engine.core.segments.columns import Columns, Happened, Sorted, Stays, Wanted, ticks
from engine.core.segments.slide import NEVER
from engine.model.profile import Profile
from engine.model.segment import Rule


def columns_of(rule: Rule, subjects: Sequence[Subject]) -> Columns:
    """What ``rule`` asks of them. Their ids must rise."""
    wanted = Wanted()
    wanted.add(rule)
    found = Columns(np.array([one.profile.id for one in subjects], np.int64))
    for stream in wanted.events:
        kinds: dict[str, int] = {}
        properties: list[dict[str, Any]] = []
        rows = []
        for one in subjects:
            for past in one.history.named(stream.name):
                kind = {k: v for k, v in past.properties.items() if k in stream.properties}
                code = kinds.setdefault(repr(kind), len(kinds))
                if code == len(properties):
                    properties.append(kind)
                rows.append((one.profile.id, ticks(past.time), code))
        who, times, codes = np.array(rows or [(0, 0, 0)], np.int64)[: len(rows)].T
        found.events[stream] = Happened.of(found.ids, who, times, codes, properties)
    for fields in wanted.people:
        found.people[fields] = _sorted(_reduced(one.profile, fields) for one in subjects)
    for channel, topic in wanted.consents:
        found.consents[channel, topic] = _sorted(
            tuple(c for c in one.consents.values() if c.channel == channel) for one in subjects
        )
    for journey in wanted.journeys:
        stays = [
            (place, ticks(s.entered_at), NEVER if s.ended_at is None else ticks(s.ended_at), s.goal)
            for place, one in enumerate(subjects)
            for s in one.stays
            if s.journey == journey
        ]
        who, began, ended, goal = np.array(stays or [(0, 0, 0, 0)], np.int64)[: len(stays)].T
        found.stays[journey] = Stays(who, began, ended, goal.astype(bool))
    for name in wanted.lists:
        on = [place for place, one in enumerate(subjects) if name in one.lists]
        found.lists[name] = np.array(on, np.int64)
    return found


def _reduced(profile: Profile, fields: Sequence[str]) -> Profile:
    counted = {name: getattr(profile, name) for name in fields if name in COUNTED}
    traits = {k: v for k, v in profile.traits.items() if k in fields}
    return Profile(0, traits, **counted)


def _sorted(those: Iterable[Any]) -> Sorted[Any]:
    kinds: list[Any] = []
    known: dict[Hashable, int] = {}
    codes = []
    for one in those:
        code = known.setdefault(repr(one), len(kinds))
        if code == len(kinds):
            kinds.append(one)
        codes.append(code)
    return Sorted(kinds, np.array(codes, np.int64))
