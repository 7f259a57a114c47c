"""A scenario out of what really happened to a shopper, without saying who it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from engine.core.book import step_conditions
from engine.core.conditions import names_used
from engine.core.consent import consents_of
from engine.core.emitted import ours
from engine.core.ids import percentile
from engine.core.profiles import ORDER, money
from engine.model.enrollment import Enrollment
from engine.model.event import Event
from engine.model.journey import CALENDAR_REACHED, Emit, Journey, Split
from engine.model.message import Message
from engine.model.profile import Consent, Profile
from engine.testing.scenario.neutral import Neutral
from engine.testing.scenario.write import flow, moment, text

#: A message in one of these states has left; of ``unknown`` and ``failed`` the attempt did.
_LEFT = ("claimed", "sent", "unknown", "failed")


def scenario_text(
    profile: Profile,
    events: Sequence[Event],
    messages: Sequence[Message],
    runs: Sequence[Enrollment],
    *,
    until: datetime,
    consents: Iterable[Consent] = (),
    journeys: Iterable[Journey] = (),
    timezone: str = "UTC",
    title: str = "Recorded from a real shopper",
) -> str:
    """The YAML of a scenario that tells this shopper's story, ready for ``winback test``.

    ``profile``, ``consents``  as they are now; what the events teach is left to the events.
    ``events``    all of the shopper's, in any order; those that the journeys themselves bring
                  about, by calendar or an emit step, are left to them.
    ``messages``  with their status; those still due are left out.
    ``runs``      only their journeys will run.
    ``until``     when it was recorded: the scenario's clock stops there.
    ``journeys``  the versions that ran: they tell which texts conditions compare (kept as they
                  are) and which arm of a split the shopper took.
    ``timezone``  the shop's, for a shopper of whom none is known.

    Names, addresses, numbers and ids are replaced by neutral ones of the same kind, the context
    of events (IP, browser) is left out. Only text that a condition compares is kept.
    """
    journeys = list(journeys)
    names = sorted({run.journey for run in runs})
    own = {j.name: j for j in journeys if j.name in names}
    events = sorted(
        (event for event in events if not _comes_by_itself(event, own)),
        key=lambda event: event.order_key,
    )
    neutral = Neutral(_compared(journeys))
    zone = ZoneInfo(str(profile.traits.get("timezone") or timezone))
    lines = [f"- scenario: {text(title)}"]
    if names:
        lines.append(f"  journey: {names[0] if len(names) == 1 else flow(names)}")
    lines.append(f"  timezone: {zone.key}")
    lines.append(f"  profile: {flow(_profile(profile, events, consents, neutral))}")
    if any(run.held_out for run in runs):
        lines.append("  holdout: on")
    if arms := _arms(runs, journeys):
        lines.append(f"  arms: {flow(arms)}")
    lines.append("  events:" if events else "  events: []")
    for event in events:
        lines.append(f"    - at: {moment(event.time, zone)}")
        lines.append(f"      event: {text(event.name)}")
        said = _said(event, neutral)
        if said:
            lines.append(f"      properties: {flow(said)}")
    lines.append(f"  until: {moment(until, zone)}")
    outcome = sorted(_outcome(messages, runs, several=len(names) > 1), key=lambda found: found[0])
    lines.append("  expect:" if outcome else "  expect: nothing")
    for at, what in outcome:
        lines.append(f"    - {{at: {moment(at, zone)}, {flow(what)[1:]}")
    return "\n".join(lines) + "\n"


def _compared(journeys: Iterable[Journey]) -> frozenset[str]:
    """The properties and traits that some condition looks at."""
    found: set[str] = set()
    for journey in journeys:
        conditions = [*step_conditions(journey), *(s.condition for s in journey.stops)]
        conditions += [journey.trigger.condition, journey.trigger.key]
        found |= {name for each in conditions if each for _, name in names_used(each)}
    return frozenset(found - {""})


def _comes_by_itself(event: Event, journeys: Mapping[str, Journey]) -> bool:
    """Whether the scenario's journeys will bring this event about: a calendar, an emit step."""
    if not ours(event.context):
        return False
    if event.name == CALENDAR_REACHED:
        return event.properties.get("journey") in journeys
    steps = (step for journey in journeys.values() for step in journey.steps.values())
    return any(isinstance(step, Emit) and step.event == event.name for step in steps)


def _profile(
    profile: Profile, events: Sequence[Event], consents: Iterable[Consent], neutral: Neutral
) -> dict[str, Any]:
    """What was known before the first of the events."""
    traits = {name: value for name, value in profile.traits.items() if name != "consent"}
    known: dict[str, Any] = neutral.traits(traits)
    orders = profile.orders - sum(event.name == ORDER for event in events)
    if orders > 0:
        known["orders"] = orders
    spent = dict(profile.lifetime_value)
    for event in events:
        found = money(event.properties) if event.name == ORDER else None
        if found is not None:
            spent[found[1]] = spent.get(found[1], Decimal(0)) - found[0]
    before = {currency: amount for currency, amount in spent.items() if amount > 0}
    if before:
        known["lifetime_value"] = before
    taught = {(c.channel, c.topic, c.at) for event in events for c in consents_of(event)}
    consent: dict[str, Any] = {}
    for each in consents:
        if (each.channel, each.topic, each.at) not in taught:
            consent.setdefault(each.channel, {})[each.topic] = each.granted
    if consent:
        known["consent"] = {
            channel: topics["*"] if list(topics) == ["*"] else topics
            for channel, topics in consent.items()
        }
    return known


def _said(event: Event, neutral: Neutral) -> dict[str, Any]:
    if event.kind != "identify":
        return neutral.properties(event.name, event.properties)
    traits = {name: value for name, value in event.properties.items() if name != "consent"}
    consent = event.properties.get("consent")
    return {**neutral.traits(traits), **({"consent": consent} if consent else {})}


def _arms(runs: Sequence[Enrollment], journeys: Iterable[Journey]) -> dict[str, str]:
    """The arms of the splits that these runs may have come to."""
    versions = {(journey.name, journey.version): journey for journey in journeys}
    arms: dict[str, str] = {}
    for run in runs:
        journey = versions.get((run.journey, run.version))
        for step in journey.steps.values() if journey else ():
            if isinstance(step, Split):
                place, share = percentile(run.journey, step.path, run.bucket), 0.0
                for arm in step.arms:
                    share += arm.weight
                    if place < share:
                        arms[f"{run.journey}/{step.path}"] = arm.name or f"{arm.weight}%"
                        break
    return arms


def _outcome(
    messages: Sequence[Message], runs: Sequence[Enrollment], *, several: bool
) -> Iterable[tuple[datetime, Mapping[str, str]]]:
    for message in messages:
        whose = {"journey": message.journey} if several else {}
        if message.status in _LEFT and message.channel == "webhook":
            yield message.due_at, {"webhook": message.template, **whose}
        elif message.status in _LEFT:
            what = {"send": message.channel, "template": message.template, **whose}
            yield message.due_at, what
        elif message.status == "skipped":
            yield message.due_at, {"skip": message.channel, "reason": message.reason, **whose}
    for run in runs:
        whose = {"journey": run.journey} if several else {}
        if run.ended_at is not None and run.status in ("stopped", "finished"):
            end = "goal" if run.goal else "stopped"
            yield run.ended_at, {"exit": run.reason if run.status == "finished" else end, **whose}
