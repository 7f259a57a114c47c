"""Journeys drawn by chance, as marketers would write them: YAML text, valid but senseless.

All of the language, in few words, so that what one step does another sees: three products, round
hours, conditions about what the drawn events carry (``event_streams``) and often do not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from ruamel.yaml import YAML

Drawn = dict[str, Any]

#: What begins a run, is waited for, and ends it, the likeliest first.
BEGIN = (
    *(("Product Viewed",) * 5 + ("Product Added",) * 2 + ("Order Completed",) * 2),
    *("Identify", "Reminder Shown", "Order Refunded"),
)
COME = (
    *(("Product Viewed",) * 3 + ("Product Added",) * 3 + ("Order Completed",) * 2),
    *("Email Clicked", "Reminder Shown", "Order Refunded", "Consent Given", "Page"),
)
END = (
    *(("Order Completed",) * 4 + ("Product Added",)),
    *("Product Viewed", "Order Refunded", "Segment Entered", "Calendar Reached"),
)
#: Folders of the shop's own templates.
TEMPLATES = ("product-left-behind", "win-back-offer", "cart-left-behind")


def _often(*kinds: tuple[int, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """One of them, each so often as its number says; ``one_of`` takes the like for the same."""
    all_ = [kind for number, kind in kinds for _ in range(number)]
    return st.sampled_from(all_).flatmap(lambda kind: kind)


@st.composite
def _maybe(draw: DrawFn, /, **kinds: SearchStrategy[Any]) -> Drawn:
    """Each of these keys in one of three."""
    wanted = [name for name in kinds if draw(st.sampled_from((False, False, True)))]
    return {name.replace("_", " "): draw(kinds[name]) for name in wanted}


@st.composite
def _with(draw: DrawFn, given: SearchStrategy[Drawn], /, **kinds: SearchStrategy[Any]) -> Drawn:
    return draw(given) | draw(_maybe(**kinds))


def _in(name: str, *kinds: SearchStrategy[Any]) -> SearchStrategy[Drawn]:
    return st.fixed_dictionaries({name: st.one_of(*kinds)})


_short = st.sampled_from(("1 minute", "30 minutes", "1 hour", "2 hours", "6 hours"))
_long = st.sampled_from(("6 hours", "12 hours", "1 day", "1 day 12 hours", "2 days", "3 days"))
durations = _short | _long
_within = st.sampled_from(("0 hours", "1 hour", "6 hours", "1 day", "2 days", "5 days"))
_clocks = st.sampled_from(("00:00", "03:00", "09:00", "10:30", "18:00", "23:59"))
_shifts = st.sampled_from(("-3 days", "-1 day", "1 day", "-6 hours", "+ 90 minutes"))
_weekdays = st.sampled_from(
    (*("monday", "tuesday", "thursday", "sunday", "weekdays", "weekend"), ["monday", "thursday"])
)
_dates = st.sampled_from(("profile.birthday", "profile.subscription_ends"))

_LIKELY = (
    *("event.price >= 20", "count('Product Viewed') >= 2", "not bought(within='1 day')"),
    *("profile.email", "profile.orders < 3", "event.product_id != 'r'", "not key", "key"),
)
_ABOUT_EVENT = (
    *("event.price >= 50", "event.price < 120", "event.revenue > 100", "event.price"),
    *("event.product_id == 'p'", "event.product_id == key", "key in event.product_ids"),
    *("event.price >= trigger.price", "event.product_id == trigger.product_id"),
    *("event.coupon is defined", "event.category | lower == 'hats'", "event.total | default(0)"),
    *("event.product_ids | length > 1", "'q' in event.product_ids", "event.cart_id", "key"),
    *("trigger.price < 100", "trigger.revenue", "event.segment == 'vip'", "event.date < now"),
    *("event.product_ids | first == key", "(event.price or 0) * 2 > 100", "trigger is defined"),
)
_ABOUT_PROFILE = (
    *("profile.orders >= 2", "profile.orders == 0", "profile.lifetime_value > 150"),
    *("profile.tier == 'gold'", "profile.seen", "profile.seen > 1", "profile.email"),
    *("profile.last_order_at < now", "profile.first_seen < now", "not profile.phone"),
    *("profile.last_seen >= '2026-03-05'", "profile.timezone == 'America/New_York'"),
    *("profile.noted < now", "profile.cost > 60", "'p' in profile.bag", "now > '2026-03-06'"),
    *("profile.birthday", "profile.nothing.at.all", "profile.last_order_at is none"),
)
_ABOUT_PAST = (
    *("bought()", "bought('p')", "bought(key)", "bought(trigger.product_id)"),
    *("did('Email Clicked')", "did('Calendar Reached')", "count('Identify') > 1"),
    *("count('Product Viewed') >= 3", "count('Reminder Shown') % 2 == 1"),
)
_PAST_WITHIN = (
    *("bought(within='{0}')", "bought('q', within='{0}')", "bought(event.product_id, '{0}')"),
    *("did('Product Added', within='{0}')", "did('Reminder Shown', within='{0}')"),
    *("count('Product Viewed', within='{0}') >= 2", "count('Order Completed', '{0}') == 1"),
    *("not did('Order Refunded', within='{0}')",),
)
_atoms = _often(
    (4, st.sampled_from(_LIKELY)),
    (2, st.sampled_from(_ABOUT_EVENT)),
    (2, st.sampled_from(_ABOUT_PROFILE)),
    (1, st.sampled_from(_ABOUT_PAST)),
    (2, st.builds(str.format, st.sampled_from(_PAST_WITHIN), _within)),
)
conditions = st.recursive(
    _atoms,
    lambda inner: (
        st.builds("{} and {}".format, inner, inner)
        | st.builds("({} or {})".format, inner, inner)
        | st.builds("not ({})".format, inner)
    ),
    max_leaves=3,
)
_keys = st.sampled_from(
    (
        *("event.product_id", "event.product_id", "event.product_ids | first"),
        *("event.cart_id or 'cart'", "event.order_id", "event.price", "event.event_name"),
    )
)
_computed = st.sampled_from(
    (
        *("= key", "= trigger.price", "= event.product_id", "= profile.seen + 1", "= now"),
        *("= count('Product Viewed')", "= profile.last_order_at", "= profile.lifetime_value / 3"),
        *("= event.product_ids", "= event.price * 2", "= 'gold' if profile.orders > 1 else none"),
        *("gold", 7, True, "2026-03-09", ["p", "= key"], {"deep": "= event.price"}),
    )
)


_overdue = (
    st.just("send")
    | st.builds("skip after {}".format, durations)
    | st.builds("next window after {}".format, durations)
)
_terms = _with(
    st.sampled_from(({"coupon": "generate WB"}, {"coupon": "WINTER10"}, {"gift": "tea"})),
    percent=st.sampled_from((5, "10%")),
    valid=durations,
)
_sends = _with(
    st.fixed_dictionaries(
        {
            "send": st.sampled_from(("email", "email", "sms")),
            "template": st.sampled_from(TEMPLATES),
        }
    ),
    topic=st.sampled_from(("offers", "orders")),
    if_overdue=_overdue,
    on_unknown=st.sampled_from(("hold", "retry")),
    when_quiet=st.sampled_from(("wait", "skip")),
    when_capped=st.sampled_from(("wait", "skip")),
    offer=_with(st.just({"coupon": "TEN"}), valid=durations),
)
_until_date = _with(
    st.fixed_dictionaries({"until": _dates | st.sampled_from(("2026-03-08", "trigger.until"))}),
    at=_clocks,
    shift=_shifts,
)
_waits = _in(
    "wait",
    _often(
        (4, durations),
        (2, _with(_in("until", _clocks), on=_weekdays)),
        (1, _until_date),
        (1, st.just({"until": "2026-03-07 12:00"})),
    ),
)
_updates = _in(
    "update",
    st.dictionaries(
        st.sampled_from(("tier", "seen", "noted", "cost", "bag", "subscription_ends")),
        _computed,
        min_size=1,
        max_size=2,
    ),
)
_zones = _in("update", st.sampled_from(({"timezone": "Asia/Kolkata"}, {"timezone": "nowhere"})))
_emits = _in(
    "emit",
    _with(
        _in("event", st.sampled_from(("Reminder Shown", "Product Viewed", "Product Added"))),
        properties=st.dictionaries(
            st.sampled_from(("product_id", "price", "category", "until")), _computed, max_size=3
        ),
    ),
)
_audiences = _in("audience", st.sampled_from(({"add": "google/left"}, {"remove": "google/left"})))
_webhooks = _with(
    _in(
        "webhook",
        _with(
            st.just({"url": "https://shop.example/hook"}),
            body=st.dictionaries(st.sampled_from(("who", "what")), _computed, max_size=2),
        ),
    ),
    if_overdue=_overdue,
)
#: Steps that hold no others, and after which it goes on.
_flat: SearchStrategy[Drawn] = _often(
    (6, _sends),
    (4, _waits),
    (2, _updates),
    (2, _emits),
    (1, _zones),
    (1, _audiences),
    (1, _webhooks),
    (1, _in("offer", _terms)),
)


class _Written:
    """Draws the steps of one journey; ``others`` are the journeys that it may jump to."""

    def __init__(self, draw: DrawFn, others: tuple[str, ...], emits: bool) -> None:
        self._draw = draw
        self._others = others
        #: so often it may emit: two in a circle make hundreds of one, which takes its time
        self._emits = int(emits)
        self._named = 0

    def steps(self, depth: int, least: int = 0) -> tuple[list[Drawn], bool]:
        """Some steps, and whether they can be walked to their end."""
        found: list[Drawn] = []
        goes_on = True
        for _ in range(self._draw(st.integers(least, 4))):
            step, goes_on = self._step(depth)
            if self._draw(st.integers(0, 7)) == 0:
                self._named += 1
                step = {**step, "name": f"step {self._named}"}
            found.append(step)
            if not goes_on:
                break
        return found, goes_on

    def _step(self, depth: int) -> tuple[Drawn, bool]:
        # The first is what a failing example shrinks to.
        kinds: tuple[Callable[[int], tuple[Drawn, bool]], ...] = (
            *(self._one, self._one, self._one, self._one, self._one, self._one),
            *(self._wait_for, self._wait_for, self._branch, self._branch, self._split, self._end),
        )
        return self._draw(st.sampled_from(kinds if depth else (*kinds[:6], self._end)))(depth - 1)

    def _one(self, depth: int) -> tuple[Drawn, bool]:
        step = self._draw(_flat)
        if "emit" in step:
            self._emits -= 1
            if self._emits < 0:
                return {"wait": "1 hour"}, True
        return step, True

    def _end(self, depth: int) -> tuple[Drawn, bool]:
        ways: list[Drawn] = [{"exit": "has seen enough"}, {"exit": "so be it"}]
        ways += [{"jump": name} for name in self._others]
        return self._draw(st.sampled_from(ways)), False

    def _wait_for(self, depth: int) -> tuple[Drawn, bool]:
        what = {"event": self._draw(st.sampled_from(COME)), "at most": self._draw(durations)}
        what |= self._draw(_maybe(**{"if": conditions}))
        step: Drawn = {"wait for": what}
        goes_on = False
        for name in ("then", "else"):
            if self._draw(st.sampled_from((False, True, True))):
                step[name], way = self.steps(depth)
            else:
                way = True
            goes_on = goes_on or way
        return step, goes_on

    def _branch(self, depth: int) -> tuple[Drawn, bool]:
        arms: list[Drawn] = []
        goes_on = False
        for _ in range(self._draw(st.integers(1, 2))):
            inner, way = self.steps(depth)
            arms.append({"if": self._draw(conditions), "steps": inner})
            goes_on = goes_on or way
        if self._draw(st.booleans()):
            inner, way = self.steps(depth)
            arms.append({"else": inner})
        else:
            way = True
        return {"branch": arms}, goes_on or way

    def _split(self, depth: int) -> tuple[Drawn, bool]:
        shares = self._draw(st.sampled_from(((50, 50), (1, 99), (30, 30, 40), (100,))))
        ways = [self.steps(depth) for _ in shares]
        goes_on = any(way for _, way in ways)
        if self._draw(st.booleans()):
            named = {
                f"{share}% {name}": steps
                for share, name, (steps, _) in zip(shares, "abc", ways, strict=False)
            }
            return {"split": named}, goes_on
        arms = [
            {"percent": share, "steps": steps}
            for share, (steps, _) in zip(shares, ways, strict=True)
        ]
        return {"split": arms}, goes_on


_without = _with(
    st.fixed_dictionaries({"event": st.sampled_from(COME), "within": durations}),
    **{"if": conditions},
)
_again = st.sampled_from(
    ("always", "always", "after 1 hour", "after 1 day", "after 3 days", "never")
)
_by_event = _with(
    _in("event", st.sampled_from(BEGIN)),
    key=_keys,
    without=_without,
    again=_again,
    **{"if": conditions},
)


def _by_segment(*names: str) -> SearchStrategy[Drawn]:
    ways = [{word: name} for name in names for word in ("entered", "left")]
    return _with(
        _in("segment", st.sampled_from(ways)),
        again=_again,
        without=_without,
        **{"if": conditions},
    )


_by_date = _with(
    _in("date", _dates),
    yearly=st.booleans(),
    shift=_shifts,
    at=_clocks,
    again=_again,
    **{"if": conditions},
)
_by_calendar = _with(
    _in("every", _often((2, st.just("day")), (1, st.just("month")), (2, _weekdays))),
    at=_clocks,
    again=_again,
    **{"if": conditions},
)
_triggers = _often((9, _by_event), (1, _by_segment("vip")), (1, _by_date), (1, _by_calendar))
_stop = _with(_in("event", st.sampled_from(END)), goal=st.just(True), **{"if": conditions})
_heads = _maybe(
    title=st.sampled_from(("A title: with a colon", "no", "देखा और चले गए", "# not a comment")),
    owner=st.just("asha@shop.example"),
    priority=st.integers(-2, 2),
    starts=st.sampled_from(("2026-02-02", "2026-03-01", "2026-03-02 12:00")),
    ends=st.sampled_from(("2026-04-12", "2026-03-09T18:00+05:30")),
    timezone=st.sampled_from(("Asia/Kolkata", "America/New_York")),
    on_change=st.sampled_from(("finish", "move", "leave")),
    holdout=st.sampled_from(("5%", "10%", "10%", "50%", 100)),
)
_stops = st.one_of(_stop, st.lists(_stop, min_size=1, max_size=3))


@st.composite
def journey(
    draw: DrawFn,
    name: str,
    others: tuple[str, ...] = (),
    *,
    emits: bool = True,
    segments: tuple[str, ...] = (),
) -> Drawn:
    """One journey as keys and values. Of ``segments`` one starts it mostly."""
    steps, _ = _Written(draw, others, emits).steps(2, least=1)
    stops = {"stop": draw(_stops)} if draw(st.booleans()) else {}
    triggers = _often((1, _triggers), (3, _by_segment(*segments))) if segments else _triggers
    return {"journey": name, **draw(_heads), "trigger": draw(triggers), **stops, "steps": steps}


@st.composite
def journeys(draw: DrawFn, most: int = 3, *, segments: tuple[str, ...] = ()) -> dict[str, str]:
    """Journeys that live in one shop and may jump to each other: name -> YAML."""
    names = ("one", "two", "three", "four")[: draw(st.integers(1, most))]
    return {
        name: written(
            draw(journey(name, tuple(n for n in names if n != name), segments=segments)),
            draw(st.booleans()),
        )
        for name in names
    }


def written(journey: Drawn, in_lines: bool) -> str:
    """As a person writes it, in lines; or as a program does, as JSON, which is YAML too."""
    if not in_lines:
        return json.dumps(journey, ensure_ascii=False)
    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.allow_unicode = True
    yaml.width = 10_000  # ruamel.yaml would break lines within a key too
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    # What is drawn twice is one object: the journey language knows no anchors.
    yaml.representer.ignore_aliases = lambda _: True
    yaml.dump(journey, text)
    return text.getvalue()
