"""Journeys and scenarios from text, for the tests of ``winback test``."""

from __future__ import annotations

from datetime import time, timedelta
from textwrap import dedent

from engine.language import load_journey
from engine.language.report import Report
from engine.model.journey import Journey
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic
from engine.testing.scenario.model import Result, Scenario
from engine.testing.scenario.observe import Recorder
from engine.testing.scenario.parse import parse_scenarios
from engine.testing.scenario.run import run

POLICY = Policy(
    shop=Shop(timezone="UTC", country="IN"),
    topics={"offers": Topic("offers"), "orders": Topic("orders", consent="none")},
    quiet_hours={"sms": QuietHours(time(21), time(10))},
    caps=(Cap(2, timedelta(days=7)),),
)
VIEWED = """\
journey: viewed
trigger: {event: Product Viewed, if: event.price >= 20, key: event.product_id}
stop:
  - {event: Order Completed, if: key in event.product_ids, goal: true}
  - {event: Order Completed}
steps:
  - wait: 2 hours
  - send: email
    name: reminder
    template: viewed
  - wait for: {event: Email Clicked, at most: 1 day}
    then: [{exit: came back}]
  - send: sms
    template: viewed
"""
ASHA = "{email: asha@example.org, phone: '+919876543210', consent: {email: true, sms: true}}"


def journey(text: str) -> Journey:
    found, diagnostics = load_journey(dedent(text))
    assert found is not None, diagnostics
    return found


def parsed(text: str, *journeys: str) -> tuple[list[Scenario], list[str]]:
    """The scenarios of a file, and its findings as ``line:column code message — hint``."""
    known = [journey(each) for each in journeys or (VIEWED,)]
    report = Report("a.yaml")
    found = parse_scenarios(dedent(text), report, POLICY, {each.name: each for each in known})
    told = [f"{d.line}:{d.column} {d.code} {d.message} — {d.hint}" for d in report.diagnostics()]
    return found, told


def played(text: str, *journeys: str) -> tuple[Result, Recorder]:
    """The one scenario in ``text``, run."""
    scenarios, told = parsed(text, *journeys)
    assert not told
    (scenario,) = scenarios
    known = [journey(each) for each in journeys or (VIEWED,)]
    return run(scenario, {each.name: each for each in known}, POLICY)


def story(
    *expect: str, price: int = 40, profile: str = ASHA, more: str = "", events: str = ""
) -> str:
    """Somebody looks at p1 at ten on a Monday, Indian time. Without ``expect``: nothing."""
    lines = [
        "- scenario: A story",
        f"  profile: {profile}",
        "  events:",
        "    - {at: 2026-03-02 10:00, event: Product Viewed, "
        f"properties: {{product_id: p1, price: {price}}}}}",
        *(f"    - {event}" for event in events.splitlines()),
        *(f"  {line}" for line in more.splitlines()),
        "  expect:" if expect else "  expect: nothing",
        *(f"    - {line}" for line in expect),
    ]
    return "\n".join(lines) + "\n"
