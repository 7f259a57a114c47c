"""Marketing sense: a journey that can run, but hardly means what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from difflib import get_close_matches

from engine.core.conditions import names_used
from engine.core.durations import DurationError, parse_duration, show_duration
from engine.language.context import Context
from engine.language.events import FIELDS, NAMES
from engine.language.fields import did_you_mean
from engine.language.report import Place
from engine.language.tree import short
from engine.model.journey import Branch, Condition, Journey, Send, Split, Update, Wait, WaitFor

_PURCHASE = "Order Completed"


def check_sense(context: Context, journey: Journey) -> None:
    """Add the warnings about a compiled journey to the report."""
    _check_events(context, journey)
    for condition, event in _conditions(journey):
        _check_condition(context, journey, condition, event)
    promotions = [
        step
        for step in journey.steps.values()
        if isinstance(step, Send) and context.is_promotion(step.topic)
    ]
    if promotions and not any(stop.event == _PURCHASE for stop in journey.stops):
        context.report.add(
            "J051",
            context.places[promotions[0].path],
            "a promotion that no purchase stops",
            "add 'stop: [{event: Order Completed, goal: true}]'",
        )
    for step in promotions:
        _check_promotion(context, step)
        _check_offer(context, journey, step)


def _check_promotion(context: Context, step: Send) -> None:
    policy = context.policy
    if policy is not None and step.channel == "sms" and "sms" not in policy.quiet_hours:
        place, message = context.places[step.path], "SMS, and no quiet hours for them"
        hint = "add 'quiet hours: {sms: 21:00-09:00}' to config/winback.yaml"
        context.report.add("J056", place, message, hint)
    if step.overdue.rule == "send":
        place = context.places[f"{step.path}/if overdue"]
        context.report.add(
            "J057", place, "a promotion that is sent however late", "write 'skip after 12 hours'"
        )


def _conditions(journey: Journey) -> Iterator[tuple[Condition, str]]:
    """Every condition with the name of what ``event`` is in it."""
    trigger = journey.trigger
    found: list[tuple[Condition | None, str]] = [
        (trigger.condition, trigger.event),
        (trigger.key, trigger.event),
        *((stop.condition, stop.event) for stop in journey.stops),
    ]
    for step in journey.steps.values():
        if isinstance(step, WaitFor):
            found.append((step.condition, step.event))
        elif isinstance(step, Branch):
            found += [(arm.condition, trigger.event) for arm in step.arms]
        elif isinstance(step, Update):
            values = [value for _, value in step.changes]
            found += [(value, trigger.event) for value in values if isinstance(value, Condition)]
    return ((condition, event) for condition, event in found if condition is not None)


def _check_condition(context: Context, journey: Journey, condition: Condition, event: str) -> None:
    for holder, name in sorted(names_used(condition)):
        source = {"event": event, "trigger": journey.trigger.event}.get(holder, "")
        fields = FIELDS.get(source)
        if fields is not None and name and name not in fields:
            message = f"'{source}' carries no '{short(name)}' in Segment's specification"
            hint = did_you_mean(name, fields, otherwise="make sure that your shop sends it")
            context.report.add("J052", _place(context, condition, holder, name), message, hint)
        if holder == "key" and journey.trigger.key is None:
            message = "'key' is always empty here, for the trigger gives none"
            hint = "add 'key: event.product_id' to the trigger"
            context.report.add("J055", _place(context, condition, "key", ""), message, hint)
    for name, _ in condition.history:
        _check_name(context, name, _place(context, condition, "", name))


def _place(context: Context, condition: Condition, holder: str, name: str) -> Place:
    """Where in the file a condition speaks of ``holder.name``."""
    text = context.texts[condition.path]
    start = max(text.text.rfind(condition.source), 0)
    pattern = rf"\b{holder}\b" if holder else ""
    if name:
        pattern += (r"\s*(?:\.\s*|\[\s*['\"])" if holder else "['\"]") + re.escape(name)
    found = re.compile(pattern).search(text.text, start)
    return text.at(found.start()) if found else text.place


def _check_events(context: Context, journey: Journey) -> None:
    if "trigger/event" in context.places:  # else the event's name is ours
        _check_name(context, journey.trigger.event, context.places["trigger/event"])
    for stop in journey.stops:
        _check_name(context, stop.event, context.places[f"{stop.path}/event"])
    for step in journey.steps.values():
        if isinstance(step, WaitFor):
            _check_name(context, step.event, context.places[f"{step.path}/event"])


def _check_name(context: Context, name: str, place: Place) -> None:
    if name in NAMES:
        return
    small = {known.casefold(): known for known in NAMES}
    near = get_close_matches(name.casefold(), small, n=1, cutoff=0.88)
    if near:
        message = f"no standard event is called '{short(name)}'"
        context.report.add("J053", place, message, f"did you mean '{small[near[0]]}'?")


def _check_offer(context: Context, journey: Journey, step: Send) -> None:
    """Warn if a later message makes the same offer when it cannot be valid any more."""
    try:
        valid = parse_duration(str(step.offer["valid"]))
    except (KeyError, DurationError):  # without an end, or reported when it was read
        return
    for path, passed in _soonest(journey, step).items():
        later = journey.steps.get(path)
        if isinstance(later, Send) and later.offer == step.offer and passed > valid:
            message = f"this offer ended {show_duration(passed - valid)} before this message"
            line = context.places[step.path].line
            hint = f"it is made in line {line} and valid for {show_duration(valid)}"
            context.report.add("J054", context.places[f"{path}/offer"], message, hint)


def _soonest(journey: Journey, origin: Send) -> dict[str, timedelta]:
    """The least time from ``origin`` to each step that can follow it."""
    found: dict[str, timedelta] = {}
    work = [(origin.next, timedelta(0))]
    while work:
        path, passed = work.pop()
        if path is None or (path in found and found[path] <= passed):
            continue
        found[path] = passed
        match journey.steps.get(path):
            case Wait(next=following, duration=duration):
                work.append((following, passed + duration))
            case WaitFor(then=then, otherwise=otherwise, at_most=at_most):
                work += [(then, passed), (otherwise, passed + at_most)]
            case Branch(arms=arms, next=following):
                work += [(arm.goto, passed) for arm in arms]
                if not arms or arms[-1].condition is not None:
                    work.append((following, passed))
            case Split(arms=arms):
                work += [(arm.goto, passed) for arm in arms]
            case Send(next=following) | Update(next=following):
                work.append((following, passed))
            case _ as step:
                following = getattr(step, "next", None)
                work.append((following, passed))
    return found
