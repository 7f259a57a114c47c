"""A segment's rule in words, and what became of each part of it for one shopper."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from engine.core.durations import show_duration
from engine.core.segments.judge import judge, measured
from engine.core.segments.subject import Subject
from engine.model.segment import (
    All,
    Bucketed,
    Consented,
    Dated,
    Did,
    Either,
    If,
    InSegment,
    Journeyed,
    Listed,
    Located,
    Not,
    Nth,
    Rule,
    Scale,
    Scored,
    Setting,
    Window,
)


class Told(NamedTuple):
    """One rule at its ``depth``: what it asks in ``words``, whether it holds, until when time alone
    leaves it so, and what was ``found`` ("" where there is nothing to add)."""

    depth: int
    path: str
    words: str
    holds: bool
    until: datetime | None
    found: str


def tell(
    rule: Rule,
    subject: Subject,
    at: datetime,
    setting: Setting,
    scale: Scale | None = None,
    depth: int = 0,
) -> Iterator[Told]:
    """The rule and the rules in it, from the outside to the inside."""
    member, until = judge(rule, subject, at, setting, scale)
    found = ""
    if isinstance(rule, Did):
        value = measured(rule, subject, at, setting)
        found = "none to go by" if value is None else f"it is {value}"
    yield Told(depth, rule.path, words_of(rule), member, until, found)
    inner: tuple[Rule, ...] = ()
    match rule:
        case All(parts=parts) | Either(parts=parts):
            inner = parts
        case Not(part=part):
            inner = (part,)
        case InSegment(rule=linked):
            inner = (linked,) if linked is not None else ()
    for part in inner:
        yield from tell(part, subject, at, setting, scale, depth + 1)


def words_of(rule: Rule) -> str:
    """What the rule itself asks, nearly as it was written."""
    match rule:
        case All():
            return "all of"
        case Either():
            return "any of"
        case Not():
            return "not"
        case InSegment(name=name):
            return f"in segment {name}"
        case Did():
            return _did(rule)
        case Nth():
            test = f" if {rule.condition.source}" if rule.condition else ""
            return f"{rule.which} {rule.event}{test}{_window(rule.window)}"
        case If(condition=condition):
            return f"if {condition.source}"
        case Dated(date=date, ahead=ahead, past=past):
            length = ahead if ahead is not None else past
            word = "in the next" if ahead is not None else "in the last"
            return f"date {date.source} {word} {show_duration(length or timedelta(0))}"
        case Journeyed():
            words = {"in": "in journey", "was": "was in journey", "goal": "reached goal of"}
            within = f" within {show_duration(rule.within)}" if rule.within else ""
            return f"{words[rule.how]} {rule.journey}{within}"
        case Consented():
            return f"consent {rule.channel} {rule.topic}: {rule.says}"
        case Located():
            places = (*rule.cities, *rule.states, *rule.countries)
            return f"lives in {', '.join(places)}"
        case Scored():
            spans = {name: getattr(rule, name) for name in ("recency", "frequency", "monetary")}
            scores = ", ".join(f"{name} {span.text}" for name, span in spans.items() if span)
            return f"rfm {scores}"
        case Listed(name=name):
            return f"on list {name}"
        case Bucketed():
            return f"random {rule.low} to {rule.high}% of {rule.salt}"


def _did(rule: Did) -> str:
    names = " or ".join(rule.events)
    test = f" if {rule.condition.source}" if rule.condition else ""
    window = _window(rule.window)
    if rule.value is not None:
        value = rule.value.source
        return f"did {names}{test}{window}: {rule.measure} of {value} {rule.span.text}"
    if rule.span.high == 0:
        return f"did not {names}{test}{window}"
    return f"did {names}{test}{window}: {rule.span.text} times"


def _window(window: Window) -> str:
    words = ""
    if window.within is not None:
        words += f" within {show_duration(window.within)}"
    if window.ago:
        words += f" longer ago than {show_duration(window.ago)}"
    if window.since is not None:
        words += f" since {window.since:%Y-%m-%d %H:%M} UTC"
    if window.before is not None:
        words += f" before {window.before:%Y-%m-%d %H:%M} UTC"
    return words
