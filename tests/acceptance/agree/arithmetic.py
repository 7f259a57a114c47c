"""The three journeys worked out without Winback: nothing here imports it.

A moment is (time, id of the event); a timer's moment sorts after all events of its time, for an
event at the very end of a wait is in time. What happens to a run is looked up in the whole life of
its shopper, from its beginning on, and cut off at the first stop.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ORDER, REFUND, VIEW = "Order Completed", "Order Refunded", "Product Viewed"
Moment = tuple[datetime, str]


class Event(NamedTuple):
    time: datetime
    id: str
    name: str
    said: dict[str, Any]

    @property
    def moment(self) -> Moment:
        return self.time, self.id

    @property
    def products(self) -> list[str]:
        listed = [p["product_id"] for p in self.said.get("products", ())]
        return listed or [self.said["product_id"]] if "product_id" in self.said else listed


class Sent(NamedTuple):
    shopper: str
    key: str
    name: str
    at: datetime


class Run(NamedTuple):
    shopper: str
    key: str
    began: datetime
    ended: datetime | None
    how: str


class Found(NamedTuple):
    messages: list[Sent]
    runs: list[Run]


#: What a run does if nothing stops it: a name with the moment that the message goes, then "" with
#: the moment that the run is over.
Story = Iterator[tuple[str, Moment]]


class Life(NamedTuple):
    """All that one shopper ever did, in order."""

    events: list[Event]

    def past(self, name: str, now: Moment, within: timedelta | None = None) -> list[Event]:
        since = None if within is None else now[0] - within
        return [
            e
            for e in self.events
            if e.name == name and e.moment <= now and (since is None or e.time >= since)
        ]

    def first(
        self, name: str, after: Moment, until: Moment, fits: Callable[[Event], bool]
    ) -> Event | None:
        for e in self.events:
            within = e.name == name and after < e.moment <= until
            if within and fits(e):
                return e
        return None


def later(moment: Moment, by: timedelta) -> Moment:
    """The moment of a timer."""
    return moment[0] + by, "\uffff"


class Reorder:
    again: timedelta | None = 45 * DAY

    def key(self, life: Life, e: Event) -> str | None:
        if e.name != ORDER or e.said["revenue"] < 100 or not e.products:
            return None
        return e.products[0]

    def stop(self, life: Life, began: Event, key: str, e: Event) -> str:
        if key not in e.products:
            return ""
        return {ORDER: "goal", REFUND: "stopped"}[e.name]

    def story(self, life: Life, began: Event, key: str) -> Story:
        now = later(began.moment, 20 * DAY)
        if len(life.past(ORDER, now)) >= 6:
            yield "regular", now
        elif life.past(ORDER, now, 10 * DAY):
            yield "", now
            return
        until = later(now, 25 * DAY)
        more = life.first(ORDER, now, until, lambda e: e.said["revenue"] > began.said["revenue"])
        now = until if more is None else more.moment
        if more is not None:
            yield "thanks", now
        elif len(life.past(ORDER, now, 90 * DAY)) >= 2:
            yield "again", now
        else:
            yield "missed", now
        now = later(now, 7 * DAY)
        same = [e for e in life.past(ORDER, now, 40 * DAY) if key in e.products]
        if not same and not life.past(REFUND, now, 52 * DAY):
            yield "last", now
        yield "", now


class OrderCare:
    again = None  # never

    def key(self, life: Life, e: Event) -> str | None:
        if e.name != ORDER or len(life.past(ORDER, e.moment, 120 * DAY)) > 3:
            return None
        return str(e.said["order_id"])

    def stop(self, life: Life, began: Event, key: str, e: Event) -> str:
        refunded = e.name == REFUND and e.said["revenue"] >= began.said["revenue"]
        return "stopped" if refunded else ""

    def story(self, life: Life, began: Event, key: str) -> Story:
        until = later(began.moment, 10 * DAY)
        refund = life.first(REFUND, began.moment, until, lambda e: True)
        if refund is not None:
            yield "sorry", refund.moment
            now = later(refund.moment, 3 * DAY)
        else:
            now = until
            lately = life.past(ORDER, now, 9 * DAY)
            if began.products and any(began.products[0] in e.products for e in lately):
                yield "liked it", now
            elif self.spent(life, now) >= 1000:
                yield "good customer", now
            else:
                yield "review", now
        until = later(now, 30 * DAY)
        large = life.first(ORDER, now, until, lambda e: e.said["revenue"] >= 200)
        if large is not None:
            yield "", large.moment
            return
        now = until
        if len(life.past(ORDER, now)) == 1:
            yield "second order", now
            now = later(now, 14 * DAY)
            if not life.past(ORDER, now, 14 * DAY):
                yield "last word", now
        elif not life.past(REFUND, now):
            yield "regular", now
        yield "", now

    def spent(self, life: Life, now: Moment) -> Decimal:
        orders, refunds = life.past(ORDER, now), life.past(REFUND, now)
        return sum((e.said["revenue"] for e in orders), Decimal(0)) - sum(
            (e.said["revenue"] for e in refunds), Decimal(0)
        )


class Undecided:
    again: timedelta | None = 5 * DAY

    def key(self, life: Life, e: Event) -> str | None:
        if e.name != VIEW or len(life.past(VIEW, e.moment, DAY)) > 12:
            return None
        return str(e.said["product_id"])

    def stop(self, life: Life, began: Event, key: str, e: Event) -> str:
        many = e.said["product_id"] != key and len(life.past(VIEW, e.moment, HOUR)) >= 6
        return "goal" if many else ""

    def story(self, life: Life, began: Event, key: str) -> Story:
        until = later(began.moment, 6 * HOUR)
        second = life.first(VIEW, began.moment, until, lambda e: e.said["product_id"] == key)
        now = until if second is None else second.moment
        if second is not None:
            yield "second look", now
        elif len(life.past(VIEW, now, 6 * HOUR)) >= 3:
            until = later(now, 2 * DAY)
            look = life.first(VIEW, now, until, lambda e: True)
            if look is None:
                yield "", until
                return
            now = look.moment
            yield "still looking", now
        elif len(life.past(VIEW, now, 6 * HOUR)) == 2:
            yield "elsewhere", now
        now = later(now, DAY)
        looks = len(life.past(VIEW, now))
        if looks >= 4 and not life.past(VIEW, now, DAY):
            yield "come back", now
        elif looks <= 3:
            yield "few looks", now
        yield "", now


JOURNEYS: dict[str, Reorder | OrderCare | Undecided] = {
    "reorder": Reorder(),
    "order-care": OrderCare(),
    "undecided": Undecided(),
}


def worked_out(
    journey: str, recording: Path, beyond: timedelta, chosen: Callable[[str], bool]
) -> Found:
    """All messages and runs of the ``chosen`` shoppers, up to a clock that goes ``beyond`` their
    last event."""
    lives = {shopper: life for shopper, life in _lives(recording).items() if chosen(shopper)}
    end = later(max(life.events[-1].moment for life in lives.values()), beyond)
    found = Found([], [])
    for shopper, life in lives.items():
        _work_out(JOURNEYS[journey], shopper, life, end, found)
    return found


def _work_out(
    rules: Reorder | OrderCare | Undecided, shopper: str, life: Life, end: Moment, found: Found
) -> None:
    last: dict[str, tuple[datetime, Moment]] = {}
    for number, began in enumerate(life.events):
        key = rules.key(life, began)
        if key is None:
            continue
        if key in last:
            started, over = last[key]
            if over > began.moment or rules.again is None or began.time - started <= rules.again:
                continue
        stopped, how = None, ""
        for e in life.events[number + 1 :]:
            if how := rules.stop(life, began, key, e):
                stopped = e.moment
                break
        cut = end if stopped is None else stopped
        over = cut if stopped is not None else later(end, DAY)
        for name, moment in rules.story(life, began, key):
            # The event that stops is seen as a stop before it is seen as what was waited for.
            if moment > cut or moment == stopped:
                break
            if name:
                found.messages.append(Sent(shopper, key, name, moment[0]))
            else:
                over, how = moment, "finished"
        last[key] = began.time, over
        how = how or "active"
        found.runs.append(Run(shopper, key, began.time, None if how == "active" else over[0], how))


def _lives(recording: Path) -> dict[str, Life]:
    found: dict[str, Life] = defaultdict(lambda: Life([]))
    with gzip.open(recording, "rt", encoding="utf-8") as lines:
        for line in lines:
            e = json.loads(line, parse_float=Decimal)
            event = Event(
                datetime.fromisoformat(e["timestamp"]), e["messageId"], e["event"], e["properties"]
            )
            found[e.get("userId") or e["anonymousId"]].events.append(event)
    for life in found.values():
        life.events.sort()
    return dict(found)
