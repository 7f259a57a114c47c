"""Marketing sense of times: calendars, the life of a journey, quiet hours, and circles."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from engine.core.conditions import names_used
from engine.core.durations import show_duration
from engine.core.holds import hold
from engine.language.context import Context
from engine.language.events import FIELDS
from engine.language.tree import short
from engine.model.journey import CALENDAR_REACHED, Emit, Journey, Send
from engine.model.policy import QuietHours

_CARRIED = {("event", name) for name in FIELDS[CALENDAR_REACHED]}


def check_times(context: Context, journey: Journey) -> None:
    """Warn of a journey that never starts, starts but once, or starts itself."""
    report, trigger = context.report, journey.trigger
    again = trigger.again.rule != "never"
    if journey.starts and journey.ends and journey.ends <= journey.starts:
        hint = "no run begins before 'starts' or from 'ends' on"
        report.add("J064", context.places["ends"], "it ends before it starts", hint)
    if trigger.calendar is not None:
        _check_calendar(context, journey)
    for step in journey.steps.values():
        if isinstance(step, Send) and context.is_promotion(step.topic):
            _check_quiet(context, step)
        elif isinstance(step, Emit) and step.event == trigger.event and again:
            message = f"'{short(step.event)}' starts this journey again"
            hint = "give the event another name, or leave 'again' out"
            report.add("J065", context.places[f"{step.path}/event"], message, hint)


def _check_calendar(context: Context, journey: Journey) -> None:
    trigger = journey.trigger
    assert trigger.calendar is not None
    if trigger.key is not None and not names_used(trigger.key) <= _CARRIED:
        hint = "delete it: the calendar knows of no product and no cart"
        message = "the calendar carries nothing to take a key from"
        context.report.add("J060", context.places["trigger/key"], message, hint)
    if not context.given_again:
        place, once = context.places["trigger/calendar"], trigger.calendar.date is not None
        hint = "add 'again: always'; 'again: never' if it is meant so"
        message = "only the first such date of a shopper starts a run"
        if not once:
            message = "a shopper takes part but once, for ever"
        context.report.add("J061", place, message, hint)


def _check_quiet(context: Context, step: Send) -> None:
    """A message that comes due as the quiet hours begin must outlive them, and those of the
    country that the shop is in."""
    policy = context.policy
    if policy is None or step.when_quiet == "skip" or step.overdue.rule != "skip":
        return
    quiet, country = policy.quiet_hours.get(step.channel), policy.shop.country
    longest = hold(policy, step.channel, country)
    if step.overdue.after >= longest:
        return
    if quiet is not None and step.overdue.after < _length(quiet):
        longest = _length(quiet)
        message = f"what comes due at {quiet.start:%H:%M} is given up before {quiet.end:%H:%M}"
    else:
        message = f"quiet hours in {country} can last {show_duration(longest)}, and then it is late"
    hint = f"write 'skip after {show_duration(longest + timedelta(hours=2))}'"
    context.report.add("J066", context.places[f"{step.path}/if overdue"], message, hint)


def _length(quiet: QuietHours) -> timedelta:
    day = date(2000, 1, 1)
    length = datetime.combine(day, quiet.end) - datetime.combine(day, quiet.start)
    return length if length > timedelta(0) else length + timedelta(days=1)
