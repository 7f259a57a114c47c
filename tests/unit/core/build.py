"""Builds journeys, events and shoppers for tests of the core, without YAML and without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from engine.core.book import JourneyBook, open_book
from engine.core.conditions import compile_condition
from engine.core.react import on_event, on_timers
from engine.core.shopper import Shopper
from engine.model.enrollment import Enrollment
from engine.model.event import Event, EventKind
from engine.model.journey import (
    Again,
    AnyStep,
    Arm,
    AudienceStep,
    Branch,
    Condition,
    Exit,
    Journey,
    Overdue,
    Send,
    Split,
    Stop,
    Trigger,
    Update,
    Wait,
    WaitFor,
)
from engine.model.message import Message
from engine.model.profile import Profile

T0 = datetime(2026, 3, 2, 9, tzinfo=UTC)
VIEW, ORDER, CLICK = "Product Viewed", "Order Completed", "Email Clicked"

_numbers = count(1)


def at(**delta: float) -> datetime:
    """``T0`` plus a duration: ``at(hours=2)``."""
    return T0 + timedelta(**delta)


def event(
    name: str,
    time: datetime = T0,
    *,
    id: str | None = None,
    who: Sequence[str] = ("user:1",),
    kind: EventKind = "track",
    context: dict[str, Any] | None = None,
    received: datetime | None = None,
    **properties: Any,
) -> Event:
    return Event(
        id or f"e{next(_numbers):06d}",
        kind,
        name,
        time,
        received or time,
        tuple(who),
        properties,
        context or {},
    )


def view(time: datetime = T0, product: str = "p1", **more: Any) -> Event:
    return event(VIEW, time, product_id=product, **more)


def order(time: datetime = T0, *products: str, **more: Any) -> Event:
    return event(ORDER, time, products=[{"product_id": p} for p in products], **more)


def condition(source: str | None, path: str = "") -> Condition | None:
    return None if source is None else compile_condition(source, path)


Spec = dict[str, Any]
Steps = Sequence[Spec]


def wait(**delta: float) -> Spec:
    return {"kind": Wait, "duration": timedelta(**delta)}


def wait_for(
    name: str, *, then: Steps | None = None, otherwise: Steps | None = None, **more: Any
) -> Spec:
    """``if_`` is its condition; what is left of ``more`` is the longest wait."""
    source = more.pop("if_", None)
    return {
        "kind": WaitFor,
        "event": name,
        "at_most": timedelta(**more),
        "condition": condition(source),
        "arms": {"then": then, "otherwise": otherwise},
    }


def send(channel: str = "email", template: str = "hello", **more: Any) -> Spec:
    return {"kind": Send, "channel": channel, "template": template, "topic": "offers", **more}


def overdue(**delta: float) -> Overdue:
    return Overdue("skip", timedelta(**delta)) if delta else Overdue("send")


def branch(*arms: tuple[str | None, Steps]) -> Spec:
    return {"kind": Branch, "arms": arms}


def split(*arms: tuple[int, str, Steps]) -> Spec:
    return {"kind": Split, "arms": arms}


def update(**changes: Any) -> Spec:
    """Values that begin with ``= `` are computed, as in YAML."""
    made = [
        (name, compile_condition(value[2:], name) if _computed(value) else value)
        for name, value in changes.items()
    ]
    return {"kind": Update, "changes": tuple(made)}


def audience(action: str, name: str = "google/left-behind") -> Spec:
    return {"kind": AudienceStep, "action": action, "audience": name}


def leave(reason: str) -> Spec:
    return {"kind": Exit, "reason": reason}


def _computed(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("= ")


def stop(name: str = ORDER, if_: str | None = None, *, goal: bool = False, path: str = "") -> Stop:
    return Stop(name, condition(if_), goal, path or f"stop/{name}")


def journey(
    *steps: Spec,
    name: str = "left-behind",
    version: str = "v1",
    trigger: str = VIEW,
    if_: str | None = None,
    key: str | None = None,
    again: Again | None = None,
    stops: Sequence[Stop] = (),
    holdout: int = 0,
) -> Journey:
    flat: dict[str, AnyStep] = {}
    start = _flatten(steps, "steps", None, flat)
    return Journey(
        name,
        version,
        name,
        Trigger(trigger, condition(if_), condition(key), again or Again()),
        tuple(stops),
        holdout,
        start,
        flat,
    )


def _flatten(
    steps: Steps | None, path: str, after: str | None, flat: dict[str, AnyStep]
) -> str | None:
    """Add ``steps`` to ``flat``; gives the path of the first, ``after`` where there is none."""
    if not steps:
        return after
    for number, spec in enumerate(steps):
        here = f"{path}/{number}"
        following = f"{path}/{number + 1}" if number + 1 < len(steps) else after
        fields = {name: value for name, value in spec.items() if name not in ("kind", "arms")}
        kind = spec["kind"]
        if kind is WaitFor:
            for arm, inner in spec["arms"].items():
                if inner is not None:
                    fields[arm] = _flatten(inner, f"{here}/{arm}", following, flat)
        elif kind is Branch:
            fields["arms"] = tuple(
                Arm(
                    _flatten(inner, f"{here}/branch/{n}/steps", following, flat),
                    condition(source, f"{here}/branch/{n}/if"),
                )
                for n, (source, inner) in enumerate(spec["arms"])
            )
        elif kind is Split:
            fields["arms"] = tuple(
                Arm(
                    _flatten(inner, f"{here}/split/{n}", following, flat),
                    weight=weight,
                    name=arm_name,
                )
                for n, (weight, arm_name, inner) in enumerate(spec["arms"])
            )
        flat[here] = kind(path=here, next=following, **fields)
    return f"{path}/0"


@dataclass
class Play:
    """One shopper under some journeys: works events and timers, keeps what came of it."""

    book: JourneyBook
    shopper: Shopper = field(default_factory=lambda: Shopper(Profile(1)))

    def batch(self, *events: Event, now: datetime | None = None) -> Play:
        """Work ``events`` as one batch, as the drain does. ``now``: the time of the last."""
        ordered = sorted(events, key=lambda e: e.order_key)
        for one in ordered:
            on_event(self.book, self.shopper, one, now or ordered[-1].time)
        return self

    def each(self, events: Iterable[Event], now: datetime) -> Play:
        """Work ``events`` one batch each, in the order given."""
        for one in events:
            self.batch(one, now=now)
        return self

    def wake(self, now: datetime) -> Play:
        on_timers(self.book, self.shopper, now + timedelta(microseconds=1), now)
        return self

    @property
    def runs(self) -> list[Enrollment]:
        return list(self.shopper.outcome.enrollments.values())

    @property
    def run(self) -> Enrollment:
        (only,) = self.runs
        return only

    @property
    def written(self) -> list[Message]:
        """Every message that was decided on."""
        return self.shopper.outcome.messages

    @property
    def messages(self) -> list[Message]:
        """Those that no stop has cancelled."""
        return [m for m in self.written if m.enrollment_id not in self.shopper.outcome.stopped]

    @property
    def templates(self) -> list[str]:
        return [m.template for m in self.messages]

    def trace(self, run: Enrollment | None = None) -> list[tuple[str, str, str]]:
        marks = self.shopper.outcome.traces[(run or self.run).id]
        return [(m.path, m.verdict, m.why) for m in marks]


def play(*journeys: Journey, profile: int = 1, traits: dict[str, Any] | None = None) -> Play:
    return Play(open_book(journeys), Shopper(Profile(profile, traits or {})))
