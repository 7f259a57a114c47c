"""Why a shopper is not in a journey: the trigger's own conditions, asked once more.

They are asked at the time of the shopper's last event of that name, with the history until then.
Of the profile only what is known today can be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from engine.core.book import JourneyBook
from engine.core.conditions import ConditionError, ConditionSyntaxError, compile_condition, holds
from engine.core.durations import show_duration
from engine.core.entries import in_season
from engine.core.facts_view import Facts
from engine.core.shopper import Past, Shopper
from engine.model.event import Event
from engine.model.journey import Condition, Journey
from engine.runtime.explain import Explanation


class WhyNot(NamedTuple):
    """``journey`` is in force and did not take the shopper at the last occasion, because."""

    journey: str
    because: str


def why_not(found: Explanation, book: JourneyBook) -> list[WhyNot]:
    """For each journey in force, why the shopper's last occasion began no run; journeys in which
    it did are left out."""
    shopper = Shopper(found.profile)
    last: dict[str, Event] = {}
    for logged in found.log:
        event = logged.event
        shopper.history.add(event.name, Past(event.time, event.id, event.properties))
        if event.name not in last or last[event.name].order_key < event.order_key:
            last[event.name] = event
    answers = []
    for journey in sorted(book.current.values(), key=lambda j: j.name):
        because = _because(journey, found, shopper, last, book)
        if because:
            answers.append(WhyNot(journey.name, because))
    return answers


def _because(
    journey: Journey,
    found: Explanation,
    shopper: Shopper,
    last: Mapping[str, Event],
    book: JourneyBook,
) -> str:
    trigger = journey.trigger
    events = [logged.event for logged in found.log if logged.event.name == trigger.event]
    if trigger.calendar is not None:
        events = [e for e in events if e.properties.get("journey") == journey.name]
        if not events:
            return "its day has not come for this shopper"
    if not events:
        latest = max(last.values(), key=lambda e: e.order_key, default=None)
        other = (
            f"; the last event was {latest.name}, {latest.time:%Y-%m-%d %H:%M}" if latest else ""
        )
        return f"no {trigger.event} ever came of this shopper{other}"
    event = max(events, key=lambda e: e.order_key)
    mine = [story.run for story in found.stories if story.run.journey == journey.name]
    if any(run.event_id == event.id for run in mine):
        return ""
    when = f"at the last {trigger.event}, {event.time:%Y-%m-%d %H:%M}: "
    if not in_season(journey, event.time):
        return when + "the journey was not in season (starts, ends)"
    facts = Facts(shopper, book.currency, event.time, "", event, event)
    key = ""
    if trigger.key is not None:
        value, why = _value(trigger.key, facts)
        if not value and value != 0:
            return when + f"it has no key ({trigger.key.source}{': ' + why if why else ''})"
        key = str(value)
        facts["key"] = key
    before = [r for r in mine if r.key == key and r.entered_at <= event.time]
    if before:
        run = max(before, key=lambda r: r.entered_at)
        about = f" about {key}" if key else ""
        if run.ended_at is None or run.ended_at > event.time:
            return when + f"a run{about} was under way"
        again = trigger.again
        if again.rule == "never":
            return when + f"there had been a run{about} (again: never)"
        if again.rule == "after" and event.time - run.entered_at <= again.after:
            return when + (
                f"the last run{about} began {run.entered_at:%Y-%m-%d %H:%M} "
                f"(again: after {show_duration(again.after)})"
            )
    if trigger.condition is not None:
        failed = list(_failed(trigger.condition, facts))
        if failed:
            return when + "; ".join(failed)
    return when + (
        "today it would enter: the journey, its conditions or what is known of the shopper "
        "have changed since"
    )


def _value(condition: Condition, facts: Facts) -> tuple[Any, str]:
    try:
        return condition.test(facts), ""
    except ConditionError as error:
        return None, str(error)


def _failed(condition: Condition, facts: Facts) -> Iterator[str]:
    """The parts of ``a and b and c`` that do not hold, each with the reason where it is a missing
    fact."""
    held, why = holds(condition, facts)
    if held:
        return
    parts = list(_parts(condition))
    failed = [(part, *holds(part, facts)) for part in parts]
    if all(held for _, held, _ in failed):
        yield _words(condition, why)
    for part, held, reason in failed:
        if not held:
            yield _words(part, reason)


def _words(condition: Condition, why: str) -> str:
    return f"{condition.source} — {why}" if why else f"{condition.source} was not so"


def _parts(condition: Condition) -> Iterable[Condition]:
    sources = _conjuncts(condition.source)
    try:
        return [compile_condition(source, condition.path) for source in sources]
    except ConditionSyntaxError:
        return [condition]


def _conjuncts(source: str) -> list[str]:
    """``a and b`` cut at its outermost ``and``s; an ``or`` beside them leaves it whole."""
    parts, depth, start, quote = [], 0, 0, ""
    for index, letter in enumerate(source):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif not depth and source.startswith((" or ", " if "), index):
            return [source]
        elif not depth and source.startswith(" and ", index):
            parts.append(source[start:index].strip())
            start = index + len(" and ")
    return [*parts, source[start:].strip()]
