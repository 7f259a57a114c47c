"""What starts a run: an event, a date in the data, the calendar, a segment."""

from __future__ import annotations

from datetime import time, timedelta
from typing import NamedTuple

from engine.core.conditions import names_used
from engine.language.context import Context
from engine.language.fields import Fields, read_condition, read_text
from engine.language.moments import read_days, read_shift, read_time
from engine.language.tree import Mapping, Scalar, Tree, short
from engine.language.waits import read_date, read_wait
from engine.model.journey import (
    CALENDAR_REACHED,
    SEGMENT_ENTERED,
    SEGMENT_LEFT,
    WITHOUT,
    Again,
    AnyStep,
    Calendar,
    Condition,
    Exit,
    Trigger,
    WaitFor,
    segment_test,
)

#: The kinds of trigger, and the keys that go with each besides those of all.
TRIGGERS: dict[str, tuple[str, ...]] = {
    "event": ("without",),
    "date": ("yearly", "shift", "at"),
    "every": ("at",),
    "segment": ("without",),
}
_KEYS = ("event", "without", "if", "key", "again", "date", "yearly", "shift", "every", "at")
OF_ALL = ("if", "key", "again")
WITHOUT_KEYS = ("event", "if", "within")
_AFTER = "after "

DID_IT = "did it after all"


class Without(NamedTuple):
    """``without``: the event that must not come, and how long one waits for it."""

    event: str
    within: timedelta
    condition: Condition | None


def read_trigger(context: Context, node: Tree) -> tuple[Trigger | None, Without | None]:
    """The trigger, and what ``without`` adds to the journey's beginning."""
    report = context.report
    fields = Fields(report, node, "the trigger", (*_KEYS, "segment"))
    kind = _kind(fields)
    key = context.condition(fields.get("key"), "trigger/key")
    if key is not None:
        _check_key(context, key)
    again = _again(context, fields.get("again"))
    without = _without(context, fields.get("without"))
    segment = ""
    if kind == "segment":
        event, condition, segment = _segment(context, fields)
    else:
        event = context.event(fields, "trigger") if kind == "event" else CALENDAR_REACHED
        condition = context.condition(fields.get("if"), "trigger/if")
    calendar = None
    if kind in ("date", "every"):
        context.places["trigger/calendar"] = fields.key_place(kind)
        context.places["trigger/key"] = fields.key_place("key")
        context.given_again = "again" in fields
        calendar = _calendar(context, fields, kind)
    if event is None or kind is None or (kind in ("date", "every") and calendar is None):
        return None, without
    return Trigger(event, condition, key, again, calendar, segment), without


def _kind(fields: Fields) -> str | None:
    report = fields.report
    given = [name for name in TRIGGERS if name in fields]
    if not given:
        if fields.sound and not any(fields.meant(name) for name in TRIGGERS):
            hint = "add 'event: …', or 'date', 'every' or 'segment'"
            report.add("J006", fields.place, "the trigger needs 'event'", hint)
        return None
    if len(given) > 1:
        message = f"'{given[0]}' and '{given[1]}' are two triggers"
        report.add("J023", fields.key_place(given[1]), message, "a journey has one: make two")
        return None
    allowed = (*TRIGGERS[given[0]], given[0], *OF_ALL)
    for name in _KEYS:
        if name in fields and name not in allowed:
            homes = " or ".join(f"'{kind}'" for kind, keys in TRIGGERS.items() if name in keys)
            message = f"'{name}' means nothing beside '{given[0]}'"
            report.add("J005", fields.key_place(name), message, f"it goes with {homes}")
    return given[0]


def _calendar(context: Context, fields: Fields, kind: str) -> Calendar | None:
    report, node, at = context.report, fields.get(kind), fields.get("at")
    clock = (None if at is None else read_time(report, at, "'at'")) or time(9)
    if node is None:
        return None
    if kind == "every":
        days = read_days(report, node, "'every'", ("day", "month"))
        return None if days is None else Calendar(every=days, at=clock)
    yearly = fields.boolean("yearly") or False
    by = fields.get("shift")
    shift = None if by is None else read_shift(report, by)
    date = read_date(context, node, "trigger/date", "write for example profile.birthday")
    if date is None:
        return None
    others = sorted({holder for holder, _ in names_used(date)} - {"profile"})
    if others or date.history or not names_used(date):
        message = "the date must come from the profile"
        if others or date.history:
            message += f", not from '{others[0]}'" if others else ", not from the history"
        hint = "write profile.birthday; for a day of all shoppers use 'every' with 'starts'"
        report.add("J026", node.place, message, hint)
        return None
    return Calendar(date, yearly, shift or timedelta(0), (), clock)


def _segment(context: Context, fields: Fields) -> tuple[str | None, Condition | None, str]:
    """A segment is sugar for its event and a condition on the event's ``segment``."""
    report, node, test = context.report, fields.get("segment"), fields.get("if")
    own = context.condition(test, "trigger/if")
    if node is None:
        return None, None, ""
    what = Fields(report, node, "'segment'", ("entered", "left"))
    given = [name for name in ("entered", "left") if name in what]
    if len(given) != 1:
        if isinstance(node, Mapping) and not what.meant("entered") and not what.meant("left"):
            hint = "write {entered: big-spenders} or {left: big-spenders}"
            message = "a segment trigger has either 'entered' or 'left'"
            report.add("J011", node.place, message, hint)
        return None, None, ""
    name, place = what.text(given[0]), what.get(given[0])
    if name is None or place is None or (own is None and test is not None):
        return None, None, ""
    source = segment_test(name)
    if own is not None:
        source += f" and ({own.source})"
    else:
        assert isinstance(place, Scalar)
        context.texts["trigger/if"] = place
    condition = read_condition(report, Scalar(place.place, source, False), "trigger/if")
    return SEGMENT_ENTERED if given[0] == "entered" else SEGMENT_LEFT, condition, name


def _without(context: Context, node: Tree | None) -> Without | None:
    if node is None:
        return None
    fields = Fields(context.report, node, "'without'", WITHOUT_KEYS, ("event", "within"))
    event = context.event(fields, WITHOUT)
    condition = context.condition(fields.get("if"), f"{WITHOUT}/if")
    within = read_wait(context.report, fields.get("within"))
    return None if event is None or within is None else Without(event, within, condition)


def add_without(context: Context, without: Without, start: str | None) -> str:
    """Put the hidden wait before the step at ``start``; gives the path that it begins at."""
    exit_at = f"{WITHOUT}/then"
    waiting = WaitFor(
        WITHOUT, start, without.event, without.within, without.condition, exit_at, start
    )
    hidden: dict[str, AnyStep] = {WITHOUT: waiting, exit_at: Exit(exit_at, start, DID_IT)}
    context.steps = {**hidden, **context.steps}
    return WITHOUT


def _check_key(context: Context, key: Condition) -> None:
    foreign = sorted({holder for holder, _ in names_used(key)} - {"event"})
    if foreign or key.history:
        what = f"'{foreign[0]}'" if foreign else "the history"
        place = context.texts["trigger/key"].place
        context.report.add(
            "J015",
            place,
            f"the key cannot depend on {what}",
            "take it from the event: event.product_id",
        )


def _again(context: Context, node: Tree | None) -> Again:
    rule = None if node is None else read_text(context.report, node, "'again'")
    if node is None or rule is None or rule == "never":
        return Again()
    if rule == "always":
        return Again("always")
    if rule.startswith(_AFTER):
        after = context.duration_after(node, len(_AFTER))
        return Again() if after is None else Again("after", after)
    message = f"'again' cannot be '{short(rule)}'"
    context.report.add("J011", node.place, message, "write never, always, or after 30 days")
    return Again()
