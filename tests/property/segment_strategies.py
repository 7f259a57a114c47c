"""Random rules, as a marketer writes them, and random lives of shoppers."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from engine.language.segments import compile_segment
from engine.model.event import Event
from engine.model.segment import Scale, Segment
from tests.property.segment_naive import World
from tests.unit.core.build import T0, event

#: Everything happens on this grid, so that windows end at the very moment of other events.
GRID = timedelta(hours=6)
OTHER = {"did": "Product Viewed", "within": "1 day"}
LIMITS = ((12, 24, 48, 96), (1, 2, 3, 4), (10, 20, 40, 80))
SCALE = Scale(
    tuple(timedelta(hours=n) for n in LIMITS[0]),
    tuple(map(Decimal, LIMITS[1])),
    tuple(map(Decimal, LIMITS[2])),
)
WHO = ("user:1",)

_NAMES = ("Product Viewed", "Order Completed", "Order Refunded")
_durations = st.sampled_from(["6 hours", "12 hours", "1 day", "2 days", "3 days 6 hours"])
_ints = st.integers(0, 4)
_spans = st.one_of(
    st.builds("{} {}".format, st.sampled_from(["at least", "more than", "at most", "less than"]),
              _ints),
    _ints,
    st.tuples(_ints, _ints).map(lambda pair: f"{min(pair)} to {max(pair)}"),
)  # fmt: skip
_money = st.builds(
    "{} {}".format,
    st.sampled_from(["at least", "more than", "at most", "less than", "exactly"]),
    st.sampled_from([0, 10, 15, 20, 40]),
)
_scores = st.sampled_from(["at least 4", 5, "at most 2", "2 to 3"])

#: Of an event: its text and its meaning.
EVENT_TESTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "event.revenue >= 15": lambda p: p.get("revenue") is not None and p["revenue"] >= 15,
    'event.product_id == "p1"': lambda p: p.get("product_id") == "p1",
}


def _count(world: World, at: datetime, name: str, hours: float) -> int:
    since = at - timedelta(hours=hours)
    return sum(since <= time for time, *_ in world.named(name, at))


#: Of the shopper.
TESTS: dict[str, Callable[[World, datetime], bool]] = {
    "profile.orders >= 2": lambda w, at: len(w.orders) >= 2,
    "profile.lifetime_value > 20": lambda w, at: w.spent > 20,
    'profile.tier == "gold"': lambda w, at: w.traits.get("tier") == "gold",
    'count("Product Viewed", within="1 day") >= 2': lambda w, at: _count(
        w, at, "Product Viewed", 24
    ) >= 2,
    'did("Product Viewed", within="12 hours") or did("Order Completed", within="2 days")': (
        lambda w, at: _count(w, at, "Product Viewed", 12) > 0
        or _count(w, at, "Order Completed", 48) > 0
    ),
    'did("Product Viewed", within="12 hours") and not did("Product Viewed", within="6 hours")': (
        lambda w, at: _count(w, at, "Product Viewed", 12) > 0
        and _count(w, at, "Product Viewed", 6) == 0
    ),
}  # fmt: skip
MEANINGS: dict[str, Callable[..., bool]] = {**EVENT_TESTS, **TESTS}


@st.composite
def _windows(draw: st.DrawFn) -> dict[str, str]:
    window: dict[str, str] = {}
    kind = draw(st.integers(0, 5))
    if kind in (1, 2, 3):
        window["within"] = draw(_durations)
    if kind == 4:
        window["longer ago than"] = draw(_durations)
    if kind == 5:
        window |= {
            "within": "3 days",
            "longer ago than": draw(st.sampled_from(["6 hours", "1 day"])),
        }
    if draw(st.integers(0, 6)) == 0:
        window["since"] = "2026-03-03"
    if draw(st.integers(0, 6)) == 0:
        window["before"] = "2026-03-05"
    return window


@st.composite
def _did(draw: st.DrawFn) -> dict[str, Any]:
    rule: dict[str, Any] = {"did": draw(st.sampled_from(_NAMES)), **draw(_windows())}
    match draw(st.integers(0, 6)):
        case 0 | 1 | 2:
            rule["times"] = draw(_spans)
        case 3 | 4:
            rule["sum of"] = "event.revenue"
            rule["is"] = draw(_money)
        case 5:
            rule[draw(st.sampled_from(["average of", "smallest", "largest"]))] = "event.revenue"
            rule["is"] = draw(_money)
    return rule | draw(_event_test())


def _event_test() -> st.SearchStrategy[dict[str, str]]:
    return st.one_of(st.just({}), st.sampled_from([{"if": text} for text in EVENT_TESTS]))


def _within() -> st.SearchStrategy[dict[str, str]]:
    return st.one_of(st.just({}), st.builds(dict, within=_durations))


def _put(**keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({name.replace("_", " "): value for name, value in keys.items()})


def _joined(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda some: {k: v for one in some for k, v in one.items()})


_leaves = st.one_of(
    _did(),
    _did(),
    _joined(_put(did_not=st.sampled_from(_NAMES)), _windows(), _event_test()),
    _joined(_put(first=st.sampled_from(_NAMES)), _windows(), _event_test()),
    _joined(_put(last=st.sampled_from(_NAMES)), _windows(), _event_test()),
    st.sampled_from([{"if": text} for text in TESTS]),
    _joined(_put(date=st.just("profile.ends")), _put(in_the_next=_durations)),
    _joined(_put(date=st.just("profile.ends")), _put(in_the_last=_durations)),
    _put(in_journey=st.just("win-back")),
    _joined(_put(was_in_journey=st.just("win-back")), _within()),
    _joined(_put(reached_goal_of=st.just("win-back")), _within()),
    _joined(
        _put(message=st.just("email")),
        _put(was=st.sampled_from(["opened", "clicked"]), times=_spans),
        _windows(),
    ),
    _joined(_put(message=st.just("email"), was_not=st.just("opened")), _within()),
    _joined(
        _put(consent=st.sampled_from(["email", "sms"])),
        _put(topic=st.sampled_from(["offers", "*"])),
        _put(says=st.sampled_from(["yes", "no", "nothing"])),
    ),
    _put(lives_in=_put(country=st.just(["GB", "IE"]))),
    _put(in_segment=st.just("other")),
    _put(rfm=_joined(_put(recency=_scores), st.one_of(st.just({}), _put(monetary=_scores)))),
    _put(rfm=_put(frequency=_scores)),
    _put(on_list=st.sampled_from(["vip", "blocked"])),
    _put(random=st.sampled_from(["50%", "25 to 75%", "100%"])),
)

rules: st.SearchStrategy[Any] = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"all": some}),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: {"any": some}),
        inner.map(lambda one: {"not": one}),
    ),
    max_leaves=5,
)


def compiled(rule: Any, name: str = "it") -> Segment:
    """The segment of a rule. JSON is YAML."""
    texts = {name: {"segment": name, "who": rule}, "other": {"segment": "other", "who": OTHER}}
    setting = {"currency": "USD", "timezone": "UTC", "double": []}
    source = {
        "segment": name,
        "texts": {key: json.dumps(value) for key, value in texts.items()},
        "lists": {},
        "setting": setting,
    }
    return compile_segment(json.dumps(source))


_moments = st.integers(0, 24).map(lambda n: T0 + n * GRID)
_prices = st.sampled_from([Decimal(5), Decimal(10), Decimal("15.5"), Decimal(40)])


@st.composite
def _events(draw: st.DrawFn) -> Event:
    time = draw(_moments)
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2:
            product = draw(st.sampled_from(["p1", "p2"]))
            return event("Product Viewed", time, product_id=product)
        case 3 | 4 | 5:
            name = draw(st.sampled_from(["Order Completed", "Order Completed", "Order Refunded"]))
            return event(name, time, revenue=draw(_prices), currency="USD")
        case 6:
            name = draw(st.sampled_from(["Email Opened", "Email Clicked"]))
            return event(name, time)
        case 7:
            name = draw(st.sampled_from(["Consent Given", "Consent Withdrawn"]))
            topic = draw(st.sampled_from(["*", "offers"]))
            return event(name, time, channel=draw(st.sampled_from(["email", "sms"])), topic=topic)
    traits = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "tier": st.sampled_from(["gold", "silver"]),
                "ends": st.sampled_from(["2026-03-04", "2026-03-05T12:00:00+00:00", "2026-03-07"]),
                "country": st.sampled_from(["GB", "FR"]),
            },
        )
    )
    return event("Identify", time, kind="identify", **traits)


#: In the order in which they arrive, which need not be that of their own time.
lives = st.lists(_events(), min_size=1, max_size=12)
runs = st.lists(
    st.tuples(st.just("win-back"), _moments, st.integers(0, 8), st.booleans()).map(
        lambda run: (run[0], run[1], None if run[2] > 6 else run[1] + run[2] * GRID, run[3])
    ),
    max_size=2,
)
lists = st.frozensets(st.sampled_from(["vip", "blocked"]))


def note(world: World, one: Event) -> None:
    """The world after the event."""
    world.events.append((one.time, one.id, one.name, dict(one.properties)))
    if one.kind == "identify":
        world.traits.update(one.properties)
    if one.name.startswith("Consent "):
        given = one.name == "Consent Given"
        words = (one.properties["channel"], one.properties["topic"], given, one.time)
        world.words.append(words)
