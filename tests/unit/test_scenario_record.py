"""A recorded scenario passes when it is run, and says of nobody who they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.decision import Outcome
from engine.core.gate import Verdict
from engine.core.shopper import Shopper
from engine.language.report import Report
from engine.model.enrollment import Enrollment
from engine.model.event import Event, EventKind
from engine.model.journey import Journey
from engine.model.message import Message
from engine.model.profile import Consent, Profile
from engine.runtime.simulate import Observer, Simulation
from engine.testing.scenario.neutral import Neutral
from engine.testing.scenario.parse import parse_scenarios
from engine.testing.scenario.record import scenario_text
from engine.testing.scenario.run import run
from tests.scenario_kit import POLICY, VIEWED, journey

START = datetime(2026, 3, 2, 4, 30, 7, 123456, tzinfo=UTC)
SECRETS = (
    *("Asha", "Rao", "asha.rao@mail.example", "9876543210", "U-4711", "A-77", "10.1.2.3"),
    *("12 Lake Road", "O-9001", "1990-05-17", "call me at noon"),
)
PLAN = """\
journey: plan
trigger: {event: Product Viewed, if: event.plan == 'gold' and profile.city == 'Pune'}
stop: {event: Order Completed, goal: true}
holdout: 50%
steps:
  - split: {50% a: [{send: email, template: a}], 50% b: [{send: email, template: b}]}
  - wait: 2 days
  - send: sms
    template: plan
"""


class Live(Observer):
    """Stands for the store: what it would hold of a shopper in the end."""

    def __init__(self) -> None:
        self.runs: dict[str, Enrollment] = {}
        self.messages: dict[str, Message] = {}
        self.consents: list[Consent] = []
        self.profile = Profile(0)

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.runs.update(outcome.enrollments)
        self.consents += outcome.consents

    def about(self, shopper: Shopper) -> None:
        self.profile = shopper.profile

    def judged(self, message: Message, verdict: Verdict) -> None:
        status = {"send": "sent", "skip": "skipped", "wait": "due"}[verdict.action]
        self.messages[message.id] = msgspec.structs.replace(
            message, status=status, reason=verdict.reason
        )


def event(what: str, hours: float, kind: EventKind = "track", /, **said: Any) -> Event:
    at = START + timedelta(hours=hours)
    return Event(
        f"{what} {hours}",
        kind,
        what,
        at,
        at,
        ("user:U-4711", "email:asha.rao@mail.example", "phone:+919876543210", "anonymous:A-77"),
        said,
        {"ip": "10.1.2.3", "timezone": "Asia/Kolkata"},
    )


def lived(*events: Event, by: str = VIEWED, hours: float = 200) -> tuple[str, Journey]:
    """The scenario that is recorded of a shopper who did this."""
    known = journey(by)
    live = Live()
    simulation = Simulation([known], POLICY, observer=live)
    for each in events:
        simulation.feed(each)
    until = START + timedelta(hours=hours)
    simulation.advance(until)
    text = scenario_text(
        live.profile,
        events,
        list(live.messages.values()),
        list(live.runs.values()),
        until=until,
        consents=live.consents,
        journeys=[known],
    )
    return text, known


def run_again(text: str, known: Journey) -> None:
    report = Report("recorded.yaml")
    (scenario,) = parse_scenarios(text, report, POLICY, {known.name: known})
    assert not report.diagnostics()
    result, _ = run(scenario, {known.name: known}, POLICY)
    assert result.ok, (text, result.failures)


def identify(hours: float = -1) -> Event:
    return event(
        *("Identify", hours, "identify"),
        first_name="Asha",
        last_name="Rao",
        email="asha.rao@mail.example",
        street="12 Lake Road",
        birthday="1990-05-17",
        city="Pune",
        note="call me at noon",
        consent={"email": True, "sms": {"offers": True}},
    )


VIEW = event("Product Viewed", 0, product_id="p1", price=Decimal("40.5"), name="Red shoes")
ORDER = event(
    *("Order Completed", 30),
    order_id="O-9001",
    revenue=40,
    currency="USD",
    email="asha.rao@mail.example",
    products=[{"product_id": "p1", "name": "Red shoes"}],
)


@pytest.mark.parametrize(
    "events",
    [
        (identify(), VIEW),
        (identify(), VIEW, event("Email Clicked", 3, message_id="m1")),
        (identify(), VIEW, ORDER),
        (VIEW, ORDER),
        (identify(),),
    ],
    ids=["to the end", "clicked", "bought", "without consent", "no run"],
)
def test_what_was_recorded_passes_and_names_nobody(events: tuple[Event, ...]) -> None:
    text, known = lived(*events)
    run_again(text, known)
    for secret in SECRETS:
        assert secret not in text
    if VIEW in events:
        assert "Red shoes" in text and "price: 40.5" in text


def test_the_clock_stops_when_it_was_recorded() -> None:
    text, known = lived(identify(), VIEW, hours=1)
    assert "until: 2026-03-02 11:00:07" in text
    text, known = lived(identify(), VIEW, hours=3)
    run_again(text, known)
    assert "send: email" in text and "send: sms" not in text


def test_what_conditions_compare_is_kept_and_chance_is_written_down() -> None:
    view = event("Product Viewed", 0, plan="gold", basket="call me at noon")
    seen = set()
    for number in range(12):  # the scenario's own shopper must take the same way as each of them
        who = (f"user:{number}", "email:asha.rao@mail.example", "phone:+919876543210")
        told = [msgspec.structs.replace(each, identifiers=who) for each in (identify(), view)]
        text, known = lived(*told, by=PLAN)
        assert "plan: gold" in text and "city: Pune" in text
        assert "call me at noon" not in text
        run_again(text, known)
        held, arm = "holdout: on" in text, text.split("arms: {plan/steps/0: ")[1][0]
        assert held is ("send: email" not in text)
        assert held or f"template: {arm}" in text
        seen.add((held, arm))
    assert seen == {(True, "a"), (True, "b"), (False, "a"), (False, "b")}


EFFECTS = """\
journey: effects
trigger: {date: profile.birthday, yearly: true, at: "09:00", again: always}
steps:
  - emit: {event: Reminder Shown}
  - webhook: {url: "https://shop.example/hook"}
  - wait for: {event: Reminder Shown, at most: 1 day}
    then: [{exit: heard itself}]
"""


def test_what_journeys_bring_about_is_left_to_them() -> None:
    born = msgspec.structs.replace(
        identify(), properties={"birthday": "1990-03-05", "timezone": "Asia/Kolkata"}
    )
    live, known = Live(), journey(EFFECTS)
    made: list[Event] = []
    live.happened = lambda shopper, event: made.append(event)  # type: ignore[method-assign]
    simulation = Simulation([known], POLICY, observer=live)
    simulation.feed(born)
    until = START + timedelta(days=10)
    simulation.advance(until)
    assert [each.name for each in made] == ["Identify", "Calendar Reached", "Reminder Shown"]
    text = scenario_text(
        live.profile,
        made,
        list(live.messages.values()),
        list(live.runs.values()),
        until=until,
        journeys=[known],
    )
    assert "event: Identify" in text and "Reached" not in text and "Shown" not in text
    assert '{at: 2026-03-05 09:00, webhook: "https://shop.example/hook"}' in text
    assert "{at: 2026-03-05 09:00, exit: heard itself}" in text
    assert "1990" not in text and "birthday: 1988-03-05" in text.replace('"', "")
    run_again(text, known)


def test_consents_and_counts_from_before_the_events_stand_in_the_profile() -> None:
    profile = Profile(
        1,
        {"email": "asha.rao@mail.example", "locale": "hi"},
        orders=3,
        lifetime_value={"USD": Decimal("140.50"), "EUR": Decimal(3)},
    )
    before = START - timedelta(days=90)
    consents = [Consent("email", "*", True, before), Consent("sms", "offers", False, before)]
    text = scenario_text(profile, [ORDER], [], [], until=START, consents=consents)
    assert (
        "profile: {email: shopper1@example.org, locale: hi, orders: 2, "
        "lifetime_value: {USD: 100.50, EUR: 3}, consent: {email: true, sms: {offers: false}}}"
    ) in text


AGAIN = VIEWED.replace("key: event.product_id", "key: event.product_id, again: after 1 day")
DOINGS: list[tuple[str, dict[str, Any]]] = [
    ("Product Viewed", {"product_id": "p1", "price": 40}),
    ("Product Viewed", {"product_id": "p2", "price": 30}),
    ("Product Viewed", {"product_id": "p3", "price": 3}),
    ("Email Clicked", {}),
    ("Order Completed", {"products": [{"product_id": "p1"}], "revenue": 40, "currency": "USD"}),
    ("Consent Given", {"channel": "sms"}),
    ("Consent Withdrawn", {"channel": "email", "topic": "offers"}),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 600), st.sampled_from(DOINGS)), max_size=12))
def test_whatever_a_shopper_does_the_scenario_of_it_passes(
    doings: list[tuple[int, tuple[str, dict[str, Any]]]],
) -> None:
    done = sorted(doings, key=lambda doing: doing[0])
    events = [
        msgspec.structs.replace(event(name, quarter / 4, **said), id=f"{number:03}")
        for number, (quarter, (name, said)) in enumerate(done)
    ]
    run_again(*lived(identify(), *events, by=AGAIN))


def test_the_same_value_becomes_the_same_and_keeps_its_kind() -> None:
    neutral = Neutral()
    traits = neutral.traits(
        {
            "email": "A@b.example",
            "phone": "+923001234567",
            "birthday": "1990-02-28",
            "zip": 411001,
            "points": 7,
            "vip": True,
            "customer_id": "c-99",
            "homepage": "https://asha.example/me",
            "tags": ["likes red", "likes red", "other"],
            "address": {"street": "12 Lake Road", "country": "IN"},
        }
    )
    assert traits == {
        "email": "shopper1@example.org",
        "phone": "+923012345678",
        "birthday": "1988-02-28",
        "zip": 1,
        "points": 7,
        "vip": True,
        "customer_id": "customer-1",
        "homepage": "https://example.org/1",
        "tags": ["text-1", "text-1", "text-2"],
        "address": {"street": "text-3", "country": "IN"},
    }
    assert neutral.properties("Custom", {"who": "a@B.example", "name": "Asha"}) == {
        "who": "shopper1@example.org",
        "name": "Sam Sample",
    }


def test_an_address_in_a_text_that_is_kept_is_replaced() -> None:
    neutral = Neutral(frozenset({"source", "code"}))
    said = neutral.properties(
        "Custom", {"source": "mail of a@b.example", "code": "+91 98765 43210"}
    )
    assert said == {"source": "mail of shopper1@example.org", "code": "+918123456789"}
