"""The segments that are shipped mean what their titles say: for each somebody who is in, and
somebody who nearly is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.core.segments import Subject, judge
from engine.core.shopper import Past, ShopperHistory
from engine.language import load_segments
from engine.model.event import Event
from engine.model.profile import Consent, Profile
from engine.model.segment import Scale
from tests.unit.core.build import T0, event

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = load_segments(ROOT / "config" / "segments").segments
SCALE = Scale(
    tuple(timedelta(days=n) for n in (30, 60, 120, 240)),
    tuple(map(Decimal, (1, 2, 3, 4))),
    tuple(map(Decimal, (50, 100, 200, 400))),
)


def ago(name: str, days: float, **properties: Any) -> Event:
    return event(name, T0 - timedelta(days=days), **properties)


def order(days: float, revenue: str = "10") -> Event:
    return ago("Order Completed", days, revenue=Decimal(revenue))


def is_in(name: str, *events: Event, no_ads: bool = False, **profile: Any) -> bool:
    history = ShopperHistory()
    for one in events:
        history.add(one.name, Past(one.time, one.id, one.properties))
    subject = Subject(Profile(1, **profile), history)
    if no_ads:
        subject.consents = {("ads", "*"): Consent("ads", "*", False, T0)}
    segment = SHIPPED[name]
    return judge(segment.rule, subject, T0, segment.setting, SCALE).member


SPENT = {"orders": 5, "lifetime_value": {"USD": Decimal(401)}}
MAILS = [ago("Email Delivered", n) for n in range(5)]
CASES: list[tuple[str, bool, tuple[Event, ...], dict[str, Any]]] = [
    ("recent-spenders", True, (order(89, "300"), order(1, "201")), {}),
    ("recent-spenders", False, (order(89, "300"), order(1, "200")), {}),
    ("recent-spenders", False, (order(91, "300"), order(1, "201")), {}),
    ("recent-spenders", False, (order(1, "900"), ago("Order Refunded", 2)), {}),
    ("big-spenders", True, (), {"lifetime_value": {"USD": Decimal(1000)}}),
    ("big-spenders", False, (), {"lifetime_value": {"USD": Decimal(999), "EUR": Decimal(9000)}}),
    ("at-risk", True, (order(200), order(61)), {}),
    ("at-risk", True, (order(180), order(180)), {}),
    ("at-risk", False, (order(61),), {}),
    ("at-risk", False, (order(61), order(59)), {}),
    ("at-risk", False, (order(200), order(181)), {}),
    ("lapsed", True, (order(181),), {}),
    ("lapsed", False, (order(181), order(179)), {}),
    ("lapsed", False, (), {}),
    ("looked-not-bought", True, (ago("Product Viewed", 7), order(8)), {}),
    ("looked-not-bought", False, (ago("Product Viewed", 6), order(1)), {}),
    ("looked-not-bought", False, (ago("Product Viewed", 7.1),), {}),
    ("recent-buyers", True, (order(30),), {}),
    ("recent-buyers", False, (order(30.1),), {}),
    ("new-customers", True, (order(30), order(1)), {}),
    ("new-customers", False, (order(31), order(1)), {}),
    ("sleeping-readers", True, tuple(MAILS), {}),
    ("sleeping-readers", False, tuple(MAILS[1:]), {}),
    ("sleeping-readers", False, (*MAILS, ago("Email Opened", 80)), {}),
    ("sleeping-readers", False, (*MAILS, ago("Email Clicked", 80)), {}),
    ("top-customers", True, (), {**SPENT, "last_order_at": T0 - timedelta(days=120)}),
    ("top-customers", False, (), {**SPENT, "last_order_at": T0 - timedelta(days=121)}),
    ("top-customers", False, (), {**SPENT, "last_order_at": T0, "no_ads": True}),
    (
        "top-customers",
        False,
        (),
        {"orders": 9, "lifetime_value": {"USD": Decimal(400)}, "last_order_at": T0},
    ),
]


@pytest.mark.parametrize(("name", "expected", "events", "more"), CASES)
def test_who_is_in_and_who_is_not(
    name: str, expected: bool, events: tuple[Event, ...], more: dict[str, Any]
) -> None:
    assert is_in(name, *events, **more) == expected


def test_none_is_left_out() -> None:
    assert {(name, True) for name in SHIPPED} <= {(name, inside) for name, inside, *_ in CASES}
    assert {(name, False) for name in SHIPPED} <= {(name, inside) for name, inside, *_ in CASES}
