"""The forms of the language, each compiled to what the core runs."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.core.conditions import holds
from engine.language import load_journey
from engine.model.journey import (
    CALENDAR_REACHED,
    Again,
    AnyStep,
    Calendar,
    Change,
    Condition,
    Emit,
    Exit,
    Journey,
    Jump,
    OfferStep,
    Overdue,
    Send,
    Trigger,
    Wait,
    WaitFor,
    WaitUntil,
    Webhook,
)
from engine.model.policy import Policy, Shop


def compiled(text: str, policy: Policy | None = None) -> Journey:
    journey, found = load_journey(text, policy=policy)
    assert journey is not None, [str(finding) for finding in found]
    return journey


def trigger(text: str) -> Trigger:
    return compiled(f"journey: a\ntrigger: {{{text}}}\nsteps: [{{wait: 1 day}}]").trigger


def head(text: str, policy: Policy | None = None) -> Journey:
    return compiled(f"journey: a\n{text}\ntrigger: {{event: X}}\nsteps: [{{wait: 1 day}}]", policy)


def step(text: str) -> AnyStep:
    return compiled(f"journey: a\ntrigger: {{event: X}}\nsteps:\n  - {text}\n").steps["steps/0"]


def value_of(condition: Condition | None, **facts: Any) -> Any:
    assert condition is not None
    return condition.test(facts)


# What starts a run


def test_a_date_from_the_data() -> None:
    found = trigger(
        "date: profile.birthday, yearly: true, shift: -3 days, at: '08:30', if: profile.vip, "
        "again: always"
    )
    assert (found.event, found.again, found.key) == (CALENDAR_REACHED, Again("always"), None)
    assert found.condition is not None and found.condition.source == "profile.vip"
    calendar = found.calendar
    assert calendar is not None and calendar.date is not None
    assert value_of(calendar.date, profile={"birthday": "1990-05-01"}) == "1990-05-01"
    assert (calendar.yearly, calendar.shift) == (True, timedelta(days=-3))
    assert (calendar.at, calendar.every) == (time(8, 30), ())


def test_a_date_by_default_comes_once_at_nine() -> None:
    calendar = trigger("date: profile.subscription_ends").calendar
    assert calendar is not None
    assert (calendar.yearly, calendar.shift, calendar.at) == (False, timedelta(0), time(9))


@pytest.mark.parametrize(
    "written, days",
    [
        ("monday", ("monday",)),
        ("[thursday, monday]", ("monday", "thursday")),
        ("weekend", ("saturday", "sunday")),
        ("[weekend, friday]", ("friday", "saturday", "sunday")),
        ("weekdays", ("monday", "tuesday", "wednesday", "thursday", "friday")),
        ("day", ("day",)),
        ("month", ("month",)),
    ],
)
def test_a_schedule(written: str, days: tuple[str, ...]) -> None:
    found = trigger(f"every: {written}, at: '7:05', again: always")
    assert found.calendar == Calendar(every=days, at=time(7, 5))
    assert (found.event, found.condition) == (CALENDAR_REACHED, None)


@pytest.mark.parametrize("name", ["big-spenders", "it's \\ नए", "new in 2026"])
def test_a_segment_is_its_event_with_a_condition(name: str) -> None:
    text = name.replace("\\", "\\\\")
    found = trigger(f'segment: {{entered: "{text}"}}')
    assert found.event == "Segment Entered" and found.condition is not None
    assert holds(found.condition, {"event": {"segment": name}}) == (True, "")
    assert holds(found.condition, {"event": {"segment": "other"}})[0] is False
    assert found.condition.path == "trigger/if"


def test_a_segment_with_a_condition_of_its_own() -> None:
    found = trigger("segment: {left: vip}, if: 'profile.orders > 3 or profile.vip'")
    assert found.event == "Segment Left" and found.condition is not None
    truth = {
        (segment, orders): holds(
            found.condition, {"event": {"segment": segment}, "profile": {"orders": orders}}
        )[0]
        for segment in ("vip", "new")
        for orders in (0, 9)
    }
    assert truth == {("vip", 0): False, ("vip", 9): True, ("new", 0): False, ("new", 9): False}


INACTION = """
journey: a
trigger:
  event: Product Viewed
  key: event.product_id
  without: {event: Order Completed, if: key in event.product_ids, within: 2 hours}
stop: {event: Order Completed}
steps:
  - wait: 1 hour
    name: "पहला"
"""


def test_inaction_is_a_hidden_wait_before_the_first_step() -> None:
    journey = compiled(INACTION)
    assert journey.start == "trigger/without"
    assert list(journey.steps) == ["trigger/without", "trigger/without/then", "steps/0"]
    waiting = journey.steps["trigger/without"]
    assert isinstance(waiting, WaitFor)
    assert (waiting.event, waiting.at_most) == ("Order Completed", timedelta(hours=2))
    assert (waiting.then, waiting.otherwise) == ("trigger/without/then", "steps/0")
    assert waiting.condition is not None and waiting.condition.path == "trigger/without/if"
    out = journey.steps["trigger/without/then"]
    assert isinstance(out, Exit) and out.reason == "did it after all"
    assert journey.trigger.event == "Product Viewed" and journey.trigger.condition is None


# What is said of a journey as a whole


def test_the_keys_of_a_journey() -> None:
    journey = head(
        "owner: asha@shop\npriority: -10\nstarts: 2026-11-01\nends: 2026-12-31T10:00+02:00\n"
        "timezone: Asia/Kolkata\non change: move"
    )
    assert (journey.owner, journey.priority, journey.timezone) == (
        "asha@shop",
        -10,
        "Asia/Kolkata",
    )
    assert journey.starts == datetime(2026, 10, 31, 18, 30, tzinfo=UTC)
    assert journey.ends == datetime(2026, 12, 31, 8, 0, tzinfo=UTC)
    assert journey.change == Change("move")


def test_without_them() -> None:
    journey = head("title: A")
    assert (journey.owner, journey.priority, journey.timezone) == ("", 0, "")
    assert (journey.starts, journey.ends) == (None, None)
    assert (journey.change, journey.names) == (Change("finish"), {})


def test_dates_are_by_the_shop_s_clock_where_the_journey_has_none() -> None:
    shop = Policy(shop=Shop(timezone="America/New_York"))
    assert head("starts: 2026-07-01", shop).starts == datetime(2026, 7, 1, 4, tzinfo=UTC)
    assert head("starts: 2026-07-01 09:15").starts == datetime(2026, 7, 1, 9, 15, tzinfo=UTC)


def test_names_of_steps() -> None:
    journey = compiled(
        """
journey: a
trigger: {event: X}
steps:
  - wait: 1 day
    name: rest
  - branch:
      - if: profile.vip
        steps: [{exit: done, name: "last step"}]
  - split: {50% a: [{wait: 1 hour, name: "inner"}], 50% b: []}
    name: coin
"""
    )
    assert journey.names == {
        "rest": "steps/0",
        "last step": "steps/1/branch/0/steps/0",
        "inner": "steps/2/split/0/steps/0",
        "coin": "steps/2",
    }


# Steps


@pytest.mark.parametrize(
    "written, expected",
    [
        ("{until: '18:00'}", WaitUntil("steps/0", None, time(18))),
        ("{until: 9:05}", WaitUntil("steps/0", None, time(9, 5))),
        (
            "{until: '10:00', on: [thursday, tuesday]}",
            WaitUntil("steps/0", None, time(10), (1, 3)),
        ),
        ("{until: '10:00', on: weekend}", WaitUntil("steps/0", None, time(10), (5, 6))),
        ("36 hours", Wait("steps/0", None, timedelta(hours=36))),
    ],
)
def test_waits(written: str, expected: AnyStep) -> None:
    assert step(f"wait: {written}") == expected


def test_a_wait_until_a_date_in_the_data() -> None:
    found = step("wait: {until: profile.subscription_ends, at: '09:00', shift: -1 week 1 day}")
    assert isinstance(found, WaitUntil)
    assert (found.at, found.weekdays, found.shift) == (time(9), (), timedelta(days=-8))
    assert value_of(found.date, profile={"subscription_ends": "2027-01-01"}) == "2027-01-01"


@pytest.mark.parametrize(
    "written, date, at",
    [
        ("2026-11-27", "2026-11-27", None),
        ("2026-11-27 08:00", "2026-11-27", time(8)),
        ("2026-11-27T08:00+05:30", "2026-11-27T08:00+05:30", None),
    ],
)
def test_a_wait_until_one_day_for_all(written: str, date: str, at: time | None) -> None:
    found = step(f"wait: {{until: {written}}}")
    assert isinstance(found, WaitUntil)
    assert (value_of(found.date), found.at) == (date, at)


@pytest.mark.parametrize(
    "written, shift",
    [("3 days", 3), ("+3 days", 3), ("-3 days", -3), ("- 3 days", -3), ("0 days", 0)],
)
def test_shifts(written: str, shift: int) -> None:
    found = step(f"wait: {{until: profile.birthday, shift: '{written}'}}")
    assert isinstance(found, WaitUntil) and found.shift == timedelta(days=shift)


def test_what_a_send_does_in_quiet_hours_at_the_cap_and_late() -> None:
    found = step(
        "{send: sms, template: t, when quiet: skip, when_capped: wait, "
        "if overdue: next window after 2 hours}"
    )
    assert isinstance(found, Send)
    assert (found.when_quiet, found.when_capped) == ("skip", "wait")
    assert found.overdue == Overdue("next window", timedelta(hours=2))
    plain = step("{send: sms, template: t}")
    assert isinstance(plain, Send)
    assert (plain.when_quiet, plain.when_capped) == ("wait", "skip")


def test_an_event_made_by_a_step() -> None:
    found = step("emit: {event: Reminder Shown, properties: {product: = key, n: 3, deep: [= now]}}")
    assert isinstance(found, Emit) and found.event == "Reminder Shown"
    (_, product), number, (_, deep) = found.properties
    assert isinstance(product, Condition) and product.path == "steps/0/emit/properties/product"
    assert value_of(product, key="shoes") == "shoes"
    assert number == ("n", 3) and isinstance(deep, list)
    assert [value_of(inner, now=7) for inner in deep] == [7]
    bare = step("emit: {event: Reminder Shown}")
    assert isinstance(bare, Emit) and bare.properties == ()


def test_a_webhook() -> None:
    found = step(
        "{webhook: {url: 'https://example.com:8443/x', body: {shopper: {mail: = profile.email}, "
        "price: 19.90}}, if overdue: skip after 1 hour}"
    )
    assert isinstance(found, Webhook)
    assert (found.url, found.overdue) == (
        "https://example.com:8443/x",
        Overdue("skip", timedelta(hours=1)),
    )
    (_, shopper), price = found.body
    assert isinstance(shopper, dict)
    assert value_of(shopper["mail"], profile={"email": "a@b"}) == "a@b"
    assert price == ("price", Decimal("19.90"))
    local = step("webhook: {url: 'http://localhost:9000/'}")
    assert isinstance(local, Webhook) and local.overdue == Overdue()


@pytest.mark.parametrize(
    "written, expected",
    [
        (
            "{coupon: generate WB, percent: 10, valid: 3 days}",
            OfferStep("steps/0", None, {"percent": 10, "valid": "3 days"}, "WB", timedelta(days=3)),
        ),
        (
            "{coupon: WINTER10, text: free shipping}",
            OfferStep("steps/0", None, {"coupon": "WINTER10", "text": "free shipping"}),
        ),
    ],
)
def test_offers(written: str, expected: AnyStep) -> None:
    assert step(f"offer: {written}") == expected


def test_an_offer_beside_a_send_is_the_message_s() -> None:
    found = step("{offer: {coupon: W, valid: 1 day}, send: email, template: t}")
    assert isinstance(found, Send) and found.offer == {"coupon": "W", "valid": "1 day"}


def test_a_jump() -> None:
    assert step("jump: other-journey") == Jump("steps/0", None, "other-journey")
