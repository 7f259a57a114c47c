"""What a backtest counts, and that looking at it changes nothing."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from engine.core.decision import Mark
from engine.language import load_journey
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Cap, Policy, QuietHours, Shop, Topic
from engine.runtime.backtest import Backtest, Side, balance
from engine.runtime.looks import looks_of
from engine.runtime.observer import Reused
from engine.runtime.simulate import Simulation

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
POLICY = Policy(
    shop=Shop(timezone="Asia/Kolkata", currency="EUR"),
    topics={"offers": Topic("offers", consent="opt-out")},
)


def journey(text: str) -> Journey:
    found, findings = load_journey(text)
    assert found is not None, findings
    return found


LEFT = """
journey: left
trigger: {event: Product Viewed, key: event.product_id, again: after 30 days}
steps:
  - wait: 2 hours
  - send: email
    template: t
    offer: {coupon: BACK, percent: 10, valid: 3 days}
"""
STOPPED = LEFT.replace("steps:", "stop: {event: Order Completed, goal: true}\nsteps:")


def event(hours: float, name: str, who: str = "1", **properties: Any) -> Event:
    at = START + timedelta(hours=hours)
    ids = (f"user:{who}", f"email:{who}@example.org")
    kind = "identify" if name == "Identify" else "track"
    return Event(f"{name}-{hours}-{who}", kind, name, at, at, ids, properties)


def order(hours: float, product: str, revenue: str, currency: str = "EUR") -> Event:
    products = [{"product_id": product}]
    money = {"revenue": Decimal(revenue), "currency": currency}
    return event(hours, "Order Completed", products=products, **money)


def run(journeys: list[str], events: list[Event], policy: Policy = POLICY, **more: Any) -> Side:
    backtest = Backtest(map(journey, journeys), policy, watch=True, **more)
    return backtest.run(events, timedelta(days=10))[0]


def view(hours: float, product: str = "p", who: str = "1") -> Event:
    return event(hours, "Product Viewed", who, product_id=product, price=Decimal(80))


def test_a_coupon_is_used_once_on_the_first_order_while_it_is_valid() -> None:
    events = [view(0), order(5, "x", "50"), order(6, "x", "900")]
    account = run([LEFT], events).accounts["left"]
    assert (account.offered, account.used, account.cost) == (1, 1, Decimal("5.0"))


def test_a_coupon_that_has_ended_or_was_not_sent_yet_costs_nothing() -> None:
    events = [view(0), order(1, "x", "50"), order(2 + 72.5, "x", "50")]
    account = run([LEFT], events).accounts["left"]
    assert (account.offered, account.used, account.cost) == (1, 0, Decimal(0))


def test_an_order_in_other_money_costs_by_the_price_of_the_product() -> None:
    account = run([LEFT], [view(0), order(5, "x", "5000", "INR")]).accounts["left"]
    assert account.cost == Decimal(8)


def test_of_two_coupons_the_better_one_is_used_first() -> None:
    better = LEFT.replace("journey: left", "journey: better").replace("10,", "20,")
    side = run([LEFT, better], [view(0), order(5, "x", "100"), order(6, "x", "100")])
    assert side.accounts["better"].cost == Decimal(20)
    assert side.accounts["left"].cost == Decimal(10)


def test_a_message_about_what_was_bought_is_one_too_many() -> None:
    events = [view(0), order(1, "p", "80")]
    assert run([LEFT], events).accounts["left"].too_late == 1
    assert run([LEFT], [view(0), order(1, "q", "80")]).accounts["left"].too_late == 0
    stopped = run([STOPPED], events).accounts["left"]
    assert (stopped.too_late, sum(stopped.messages.values())) == (0, 0)


def test_a_purchase_long_ago_or_afterwards_does_not_make_it_so() -> None:
    events = [order(0, "p", "80"), view(24 * 31)]
    assert run([LEFT], events).accounts["left"].too_late == 0
    longer = run([LEFT], events, bought_within=timedelta(days=60))
    assert longer.accounts["left"].too_late == 1
    assert run([LEFT], [view(0), order(3, "p", "80")]).accounts["left"].too_late == 0


def test_a_journey_after_the_order_speaks_of_what_was_bought_on_purpose() -> None:
    thanks = (
        "journey: thanks\ntrigger: {event: Order Completed}\nsteps: [{send: email, template: t}]"
    )
    account = run([thanks], [order(0, "p", "80")]).accounts["thanks"]
    assert (account.messages["email"], account.too_late) == (1, 0)


def test_days_and_hours_are_by_the_clock_of_the_shop() -> None:
    account = run([LEFT], [view(8)]).accounts["left"]  # sent at 19:00 UTC
    assert account.by_day == {date(2026, 3, 3): 1}
    assert account.by_hour == {0: 1}


def test_caps_quiet_hours_consent_and_addresses_are_counted_apart() -> None:
    policy = Policy(
        topics={"offers": Topic("offers", consent="opt-out")},
        quiet_hours={"email": QuietHours(time(20), time(6))},
        caps=(Cap(1, timedelta(days=1)),),
    )
    nobody = Event(
        "n", "track", "Product Viewed", START, START, ("anonymous:x",), {"product_id": 1}
    )
    events = [
        nobody,
        view(0.1, "a", "capped"),
        view(0.2, "b", "capped"),
        event(0.3, "Consent Withdrawn", "no", channel="email"),
        view(0.4, "a", "no"),
        view(10, "a", "night"),
    ]
    account = run([LEFT], events, policy).accounts["left"]
    assert account.skipped == {"frequency cap": 1, "consent withdrawn": 1, "no address": 1}
    assert account.waited == {"quiet hours": 1}
    assert account.messages == {"email": 2}


def test_runs_are_counted_per_arm_and_exit() -> None:
    text = """
journey: arms
trigger: {event: Product Viewed, key: event.product_id}
steps:
  - branch:
      - if: event.price > 50
        steps: [{exit: dear}]
      - else: [{split: {50% a: [{wait: 1 hour}], 50% b: [{exit: cheap}]}}]
"""
    cheap = [event(n, "Product Viewed", str(n), product_id=n, price=5) for n in range(40)]
    places = run([text], [*cheap, view(50)]).accounts["arms"].places
    assert places["steps/0/branch/0", "branches", "event.price > 50"] == 1 or (
        places["steps/0/0", "branches", "event.price > 50"] == 1
    )
    exits = {which: n for (_, what, which), n in places.items() if what == "exits"}
    arms = {which: n for (_, what, which), n in places.items() if what == "splits"}
    assert exits["dear"] == 1
    assert sum(arms.values()) == 40 and exits["cheap"] == arms["b"] > 0


def test_two_sides_see_the_same_events_and_do_not_touch_each_other() -> None:
    events = [view(0), order(1, "p", "80"), view(2, "q"), view(30, "z")]
    both = Backtest([journey(LEFT)], POLICY, against=[journey(STOPPED)])
    after, before = both.run(events, timedelta(days=10))
    assert asdict(after.tallies["left"]) == asdict(run([LEFT], events).tallies["left"])
    assert asdict(before.tallies["left"]) == asdict(run([STOPPED], events).tallies["left"])
    assert both.events == 4
    found = balance(before.shoppers, after.shoppers)
    assert (found.more, found.less, found.same) == (1, 0, 0)
    [(shopper, then, now)] = found.largest
    assert (then, now) == (2, 3)
    assert both.called(shopper) == "user:1"


def test_watching_changes_nothing() -> None:
    events = [view(n / 3, str(n % 7), str(n % 5)) for n in range(200)]
    plain = Simulation([journey(STOPPED)], POLICY).run(events, timedelta(days=3))
    watched = Backtest([journey(STOPPED)], POLICY, watch=True).run(events, timedelta(days=3))
    assert watched[0].tallies == plain


def test_what_was_before_is_known_and_starts_nothing() -> None:
    only = LEFT.replace("key:", "if: not bought(event.product_id), key:")
    events = [view(0), order(1, "p", "80"), view(100), view(101, "q")]
    side = run([only], events, since=START + timedelta(hours=50))
    assert side.tallies["left"].enrolled == 1
    assert run([only], events[2:]).tallies["left"].enrolled == 2


def test_two_identities_that_become_one_are_one_shopper() -> None:
    def as_(who: tuple[str, ...], hours: float, product: str) -> Event:
        at = START + timedelta(hours=hours)
        return Event(f"{hours}", "track", "Product Viewed", at, at, who, {"product_id": product})

    events = [
        as_(("anonymous:c", "email:a@example.org"), 0, "p"),
        as_(("user:7",), 1, "q"),
        as_(("user:7", "email:a@example.org"), 90, "r"),
    ]
    backtest = Backtest([journey(LEFT)], POLICY, watch=True, bare=True)
    [side] = backtest.run(events, timedelta(days=1))
    [(shopper, count)] = side.shoppers.items()
    assert count == 3
    assert backtest.called(shopper) == "user:7"


def test_names_are_never_addresses() -> None:
    at = START
    only = Event(
        "1", "track", "Product Viewed", at, at, ("email:a@example.org",), {"product_id": 1}
    )
    backtest = Backtest([journey(LEFT)], POLICY, watch=True, bare=True)
    [side] = backtest.run([only], timedelta(days=1))
    [shopper] = side.shoppers
    assert backtest.called(shopper) == f"profile:{shopper}"


def test_a_reused_outcome_forgets_all_that_an_outcome_can_hold() -> None:
    outcome = Reused()
    # ``chained`` names an event and a moment: it cannot be taken for another's.
    parts = [part for part in fields(outcome) if part.name != "chained"]
    for part in parts:
        held = getattr(outcome, part.name)
        if isinstance(held, dict):
            held["x"] = Mark("p", "v", "w", START)
        elif isinstance(held, set):
            held.add("x")
        else:
            held.append("x")
    outcome.forget()
    assert not any(getattr(outcome, part.name) for part in parts)


def test_looks_finds_every_expression_and_gives_up_on_what_is_whole() -> None:
    text = """
journey: seeks
trigger: {event: Product Viewed, if: event.price > 3, key: event.sku}
stop: {event: Order Completed, if: "trigger.colour == event.colour"}
steps:
  - wait for: {event: Product Added, if: event.size == 4, at most: 1 day}
  - branch:
      - if: profile.tier == 'gold'
        steps: [{update: {last: "= event.brand"}}]
"""
    looks = looks_of([journey(text)])
    assert looks.properties == {"price", "sku", "colour", "size", "brand"}
    assert looks.traits == {"tier"}
    whole = looks_of([journey(text.replace("event.size == 4", "event | length > 3"))])
    assert whole.properties is None and whole.traits == {"tier"}
