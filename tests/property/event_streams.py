"""What a few shoppers do, drawn by chance, as recorded lines in Segment form.

They go by several names, which events tie together, sometimes wrongly; things happen at the same
moment, are told late, twice and out of order.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from engine.intake.segment import read_recorded
from engine.model.event import Event

START = datetime(2026, 3, 1, tzinfo=UTC)
#: Nothing happens later.
END = START + timedelta(days=14)
#: Names by kind, as in a Segment message; one of each for every shopper.
KINDS = ("userId", "email", "phone", "cart_id", "anonymousId")


class Told(NamedTuple):
    """A line, and when it was received: never before it happened."""

    received_at: datetime
    line: bytes

    @property
    def event(self) -> Event:
        read = read_recorded(self.line, END, "GB")
        return msgspec.structs.replace(read, received_at=self.received_at)


_money = st.sampled_from((20, 49.99, 50, 60.5, 120, 200, "35", None))
_product = st.sampled_from("ppqr")
_hours = st.sampled_from((4, 4, 4, 13)).flatmap(lambda days: st.integers(0, days * 24))
_minutes = st.sampled_from((0, 0, 0, 0, 1, 30))


def _some(**kinds: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=kinds)


_looks = st.fixed_dictionaries(
    {"product_id": _product},
    optional={"price": _money, "category": st.sampled_from(("Hats", "tea")), "coupon": st.just(1)},
)
_orders = st.fixed_dictionaries(
    {
        "products": st.lists(st.fixed_dictionaries({"product_id": _product}), max_size=2),
        "revenue": _money,
        "currency": st.sampled_from(("USD", "USD", "EUR")),
    },
    optional={"order_id": st.sampled_from(("o1", "o2"))},
)
_said = st.sampled_from((True, True, False))
_traits = _some(
    birthday=st.sampled_from(("1990-03-05", "1980-03-11", "2000-02-29")),
    subscription_ends=st.sampled_from(("2026-03-08", "2026-03-06T10:00:00Z", "never")),
    timezone=st.sampled_from(("America/New_York", "Asia/Kolkata", "nowhere")),
    tier=st.sampled_from(("gold", "silver")),
    seen=st.integers(0, 2),
    consent=_some(email=_said, sms=st.fixed_dictionaries({"offers": _said})),
)
_consents = st.fixed_dictionaries({"channel": st.sampled_from(("email", "sms"))})
_segments = st.just({"segment": "vip"})
_WHAT: tuple[tuple[str, SearchStrategy[dict[str, Any]]], ...] = (
    *(("Product Viewed", _looks),) * 8,
    *(("Product Added", _looks),) * 4,
    *(("Order Completed", _orders),) * 7,
    ("Order Refunded", _orders),
    *(("Identify", _traits),) * 2,
    *(("Email Clicked", st.just({})),) * 2,
    ("Segment Entered", _segments),
    ("Segment Left", _segments),
    ("Consent Given", _consents),
    ("Consent Withdrawn", _consents),
    ("Page", st.just({})),
)


#: By how many names, and which, an event knows its shopper: mostly by what it is known well by.
_well_known = st.sampled_from((["anonymousId"], ["userId"], ["userId", "anonymousId"]))
_any_names = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True)
_kinds = st.sampled_from((_well_known, _well_known, _any_names)).flatmap(lambda kinds: kinds)


@st.composite
def _message(
    draw: DrawFn, number: int, people: int, mixed: bool
) -> tuple[datetime, dict[str, Any]]:
    name, properties = draw(st.sampled_from(_WHAT))
    person = draw(st.integers(1, people))
    kinds = draw(_kinds)
    names = {kind: _name(kind, person) for kind in kinds}
    if mixed and draw(st.integers(0, 9)) == 9:
        names[kinds[-1]] = _name(kinds[-1], person % people + 1)
    at = START + timedelta(hours=draw(_hours), minutes=draw(_minutes))
    return at, _line(number, name, at, names, dict(draw(properties)))


@st.composite
def _introduction(draw: DrawFn, number: int, person: int) -> tuple[datetime, dict[str, Any]]:
    """Who they are, told before anything else: without an address nothing is sent."""
    kinds = draw(st.sampled_from((KINDS, KINDS, KINDS, KINDS[:3], ("phone", "anonymousId"))))
    names = {kind: _name(kind, person) for kind in kinds}
    return START, _line(number, "Identify", START, names, dict(draw(_traits)))


def _line(
    number: int, name: str, at: datetime, names: dict[str, str], said: dict[str, Any]
) -> dict[str, Any]:
    message: dict[str, Any] = {
        "type": {"Identify": "identify", "Page": "page"}.get(name, "track"),
        "messageId": f"e{number:03}",
        "timestamp": at.isoformat(),
        ("traits" if name == "Identify" else "properties"): said,
    }
    if message["type"] == "track":
        message["event"] = name
    for kind, value in names.items():
        if kind in ("userId", "anonymousId"):
            message[kind] = value
        elif kind == "cart_id" and name == "Identify":
            message["context"] = {kind: value}
        else:
            said[kind] = value
    return message


def _name(kind: str, who: int) -> str:
    return {
        "userId": f"u{who}",
        "email": f"Shopper{who}@example.com",
        "phone": f"+44207946012{who}",
        "cart_id": f"c{who}",
        "anonymousId": f"a{who}",
    }[kind]


@st.composite
def streams(draw: DrawFn, most: int = 25, *, mixed: bool = True, late: bool = True) -> list[Told]:
    """Lines in the order in which they were received. ``mixed``: names of one shopper are said of
    another; ``late``: some are told late and some twice."""
    people = draw(st.sampled_from((1, 2, 2, 3, 4)))
    happened = [
        draw(_introduction(900 + person, person))
        for person in range(1, people + 1)
        if draw(st.sampled_from((False, True, True, True, True)))
    ]
    count = draw(st.sampled_from((1, most // 4 + 1, most // 2, most, most)))
    happened += [draw(_message(number, people, mixed)) for number in range(count)]
    told: list[Told] = []
    for at, message in happened:
        line = json.dumps(message).encode()
        for _ in range(draw(st.sampled_from((1, 1, 1, 1, 2))) if late else 1):
            delay = draw(st.sampled_from((0, 0, 0, 1, 5, 30, 100))) if late else 0
            told.append(Told(min(at + timedelta(hours=delay), END), line))
    return sorted(told, key=lambda one: one.received_at)
