"""Marketing sense: a journey that can run, but hardly means what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.core.conditions import names_used
from engine.language.context import Context
from engine.language.events import FIELDS, OUR_OWN
from engine.language.fields import did_you_mean
from engine.language.report import Place
from engine.language.sense_names import check_name
from engine.language.sense_offers import check_offers
from engine.language.sense_times import check_times
from engine.language.tree import short
from engine.model.journey import (
    AnyStep,
    Branch,
    Condition,
    Emit,
    Journey,
    Send,
    Update,
    WaitFor,
    WaitUntil,
    Webhook,
)
from engine.model.policy import Policy

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
    check_offers(context, journey)
    check_times(context, journey)


def _check_promotion(context: Context, step: Send) -> None:
    policy = context.policy
    if policy is not None and step.channel == "sms" and "sms" not in policy.quiet_hours:
        place, message = context.places[step.path], "SMS, and no quiet hours for them"
        hint = "add 'quiet hours: {sms: 21:00-09:00}' to config/winback.yaml"
        context.report.add("J056", place, message, hint)
    if policy is not None and _needs_dlt(policy, step):
        place = context.places[step.path]
        message = f"a promotion to India, and no DLT id for the template '{short(step.template)}'"
        hint = f"add 'dlt: {{templates: {{{short(step.template)}: …}}}}' to config/winback.yaml"
        context.report.add("J030", place, message, hint)
    if step.overdue.rule == "send":
        place = context.places[f"{step.path}/if overdue"]
        context.report.add(
            "J057", place, "a promotion that is sent however late", "write 'skip after 12 hours'"
        )


def _needs_dlt(policy: Policy, step: Send) -> bool:
    """Whether a shop in a country that registers templates sends one that is not."""
    return any(
        rule.needs_dlt and step.channel in rule.channels and rule.country == policy.shop.country
        for rule in policy.rules
    ) and (policy.dlt is None or step.template not in policy.dlt.templates)


def _conditions(journey: Journey) -> Iterator[tuple[Condition, str]]:
    """Every condition with the name of what ``event`` is in it."""
    trigger = journey.trigger
    found: list[tuple[Condition | None, str]] = [
        (trigger.condition, trigger.event),
        (None if trigger.calendar else trigger.key, trigger.event),  # has a warning of its own
        *((stop.condition, stop.event) for stop in journey.stops),
    ]
    if trigger.calendar is not None:
        found.append((trigger.calendar.date, trigger.event))
    for step in journey.steps.values():
        if isinstance(step, WaitFor):
            found.append((step.condition, step.event))
        else:
            found += [(condition, trigger.event) for condition in _conditions_of(step)]
    return ((condition, event) for condition, event in found if condition is not None)


def _conditions_of(step: AnyStep) -> list[Condition | None]:
    match step:
        case Branch(arms=arms):
            return [arm.condition for arm in arms]
        case WaitUntil(date=date):
            return [date]
        case Update(changes=values) | Emit(properties=values) | Webhook(body=values):
            return list(_conditions_in([value for _, value in values]))
    return []


def _conditions_in(value: Any) -> Iterator[Condition]:
    if isinstance(value, Condition):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _conditions_in(inner)


def _check_condition(context: Context, journey: Journey, condition: Condition, event: str) -> None:
    for holder, name in sorted(names_used(condition)):
        source = {"event": event, "trigger": journey.trigger.event}.get(holder, "")
        fields = FIELDS.get(source)
        if fields is not None and name and name not in fields:
            by = "" if source in OUR_OWN else " in Segment's specification"
            message = f"'{source}' carries no '{short(name)}'{by}"
            hint = did_you_mean(name, fields, otherwise="make sure that your shop sends it")
            context.report.add("J052", _place(context, condition, holder, name), message, hint)
        if holder == "key" and journey.trigger.key is None:
            message = "'key' is always empty here, for the trigger gives none"
            hint = "add 'key: event.product_id' to the trigger"
            context.report.add("J055", _place(context, condition, "key", ""), message, hint)
    for name, _ in condition.history:
        check_name(context.report, name, _place(context, condition, "", name))


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
        check_name(context.report, journey.trigger.event, context.places["trigger/event"])
    for stop in journey.stops:
        check_name(context.report, stop.event, context.places[f"{stop.path}/event"])
    for step in journey.steps.values():
        if isinstance(step, WaitFor | Emit):
            check_name(context.report, step.event, context.places[f"{step.path}/event"])
