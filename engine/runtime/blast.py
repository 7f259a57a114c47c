"""The blast radius: how many messages more a change may send in its first day, at worst.

Counted is what would not have gone without the change: shoppers in flight who get on faster or to
more sends, and new shoppers of journeys that take more of them or send more to each. How many
come in a day is taken from the busiest day of the last week.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from engine.core.reach import Reach
from engine.model.journey import Condition, Journey
from engine.runtime.in_flight import Change, Decision
from engine.store import segment_plan as plan_store
from engine.store import versions as versions_store
from engine.store.database import Connection

FIRST_DAY = timedelta(days=1)
LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Part:
    """``people`` of ``journey`` may get ``messages`` more in the first day. ``who``: "in flight"
    or "new shoppers"."""

    journey: str
    who: str
    people: int
    messages: int


@dataclass(slots=True)
class InFlight:
    """Adds up what moved runs may send in the first day beyond what they would have sent."""

    others: Mapping[str, Journey]
    now: datetime
    people: dict[str, int] = field(default_factory=dict)
    messages: dict[str, int] = field(default_factory=dict)
    _reaches: dict[tuple[str, str], Reach] = field(default_factory=dict)

    def add(self, decision: Decision) -> None:
        run, fate, new = decision.waiting.run, decision.fate, decision.change.wanted
        moves = fate.action in ("keeps", "sooner", "goes on")
        if not moves or run.held_out or new is None or decision.old is None:
            return
        assert run.at and run.wake_at and fate.at and fate.wake_at
        after = self._reach(new).from_wait(fate.at, fate.wake_at - self.now, FIRST_DAY)
        if not after:
            return
        before = self._reach(decision.old).from_wait(run.at, run.wake_at - self.now, FIRST_DAY)
        if after > before:
            self.people[run.journey] = self.people.get(run.journey, 0) + 1
            self.messages[run.journey] = self.messages.get(run.journey, 0) + after - before

    def parts(self) -> list[Part]:
        return [
            Part(name, "in flight", self.people[name], messages)
            for name, messages in sorted(self.messages.items())
        ]

    def _reach(self, journey: Journey) -> Reach:
        place = (journey.name, journey.version)
        if place not in self._reaches:
            self._reaches[place] = Reach(journey, self.others)
        return self._reaches[place]


def new_shoppers(
    connection: Connection,
    changes: Iterable[Change],
    live: Mapping[str, Journey],
    wanted: Mapping[str, Journey],
    now: datetime,
) -> list[Part]:
    """What journeys may send in the first day to shoppers who come in, beyond what the live ones
    would have sent them."""
    each: dict[str, int] = {}
    for change in changes:
        new = change.wanted
        if new is None or change.kind == "unchanged":
            continue
        more = Reach(new, wanted).from_start(FIRST_DAY)
        if change.live is not None and _door(change.live) == _door(new):
            more -= Reach(change.live, live).from_start(FIRST_DAY)
        if more > 0:
            each[new.name] = more
    if not each:
        return []
    people = newcomers(connection, {name: wanted[name] for name in each}, now)
    return [
        Part(name, "new shoppers", people[name], people[name] * more)
        for name, more in sorted(each.items())
        if people[name]
    ]


def newcomers(
    connection: Connection, journeys: Mapping[str, Journey], now: datetime
) -> dict[str, int]:
    """How many runs of each journey may begin in a day, by the busiest of the last days."""
    names = sorted({journey.trigger.event for journey in journeys.values()})
    days = versions_store.busiest_day(connection, names, now, LOOK_BACK)
    telling = [journey.trigger.event for journey in journeys.values() if journey.trigger.segment]
    told = plan_store.busiest_day(connection, telling, now, LOOK_BACK) if telling else {}
    found = {}
    for name, journey in journeys.items():
        trigger = journey.trigger
        if trigger.calendar is not None:
            found[name] = versions_store.shoppers(connection)
        else:
            events, shoppers = days.get(trigger.event, (0, 0))
            if trigger.segment:
                events, shoppers = told.get((trigger.event, trigger.segment), (0, 0))
            once = trigger.key is None and (
                trigger.again.rule == "never" or trigger.again.after >= FIRST_DAY
            )
            found[name] = shoppers if once else events
    return found


def _door(journey: Journey) -> tuple[Any, ...]:
    """All that decides who comes in and gets something."""
    trigger = journey.trigger
    calendar = trigger.calendar
    return (
        trigger.event,
        _text(trigger.condition),
        _text(trigger.key),
        trigger.again,
        calendar
        and (_text(calendar.date), calendar.yearly, calendar.shift, calendar.every, calendar.at),
        journey.holdout,
        journey.starts,
        journey.ends,
        journey.timezone,
    )


def _text(condition: Condition | None) -> str:
    return condition.source if condition else ""
