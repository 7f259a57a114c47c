"""What the world knows of a shop: a model to hold the runtime against, blind to how it works."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from engine.model.event import Event
from engine.model.journey import Again
from tests.unit.core.build import (
    CLICK,
    ORDER,
    audience,
    journey,
    overdue,
    send,
    stop,
    wait,
    wait_for,
)

JOURNEYS = [
    journey(
        wait(hours=1),
        send(template="left", overdue=overdue()),
        wait_for(CLICK, hours=2),
        send(template="left again", overdue=overdue(), on_unknown="retry"),
        audience("add"),
        name="left",
        key="event.product_id",
        again=Again("after", timedelta(hours=6)),
        stops=[stop(if_="key in event.product_ids", goal=True), stop("Unsubscribed")],
    ),
    journey(
        send(template="now", overdue=overdue()),
        name="now",
        again=Again("always"),
        stops=[stop()],
    ),
    journey(
        {**send(template="thanks", on_unknown="retry", overdue=overdue()), "topic": "orders"},
        name="thanks",
        trigger=ORDER,
        again=Again("always"),
    ),
]

#: Templates whose step says ``on_unknown: retry``.
RETRIED = ("left again", "thanks")
PEOPLE = 4
NAMES = [
    (f"user:{n}", f"email:{n}@x.de", f"anonymous:{n}", f"anonymous:{n}b") for n in range(PEOPLE)
]


@dataclass
class Model:
    """What the world knows: the events that were accepted, and what providers were handed."""

    accepted: dict[str, Event] = field(default_factory=dict)
    #: message id -> how each hand-over ended, as far as a worker that lives on can know
    handed: dict[str, list[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def people(self) -> dict[str, str]:
        """Name -> a representative of everyone it is known to be one with."""
        leader: dict[str, str] = {}

        def find(name: str) -> str:
            while leader.setdefault(name, name) != name:
                name = leader[name]
            return name

        for one in self.accepted.values():
            for name in one.identifiers[1:]:
                leader[find(name)] = find(one.identifiers[0])
        return {name: find(name) for one in self.accepted.values() for name in one.identifiers}

    def history(self, of: Event) -> list[Event]:
        people = self.people()
        me = people[of.identifiers[0]]
        return [e for e in self.accepted.values() if people[e.identifiers[0]] == me]

    def judge(self, id: str, template: str, name: str, key: str, trigger: str) -> None:
        """A provider is handed message ``id``, of the run of journey ``name`` about ``key`` that
        the event ``trigger`` began."""
        cause = self.accepted[trigger]
        history = self.history(cause)
        for one in history:
            if one.order_key <= cause.order_key:
                continue
            bought = [p["product_id"] for p in one.properties.get("products", ())]
            ends = {
                "left": key in bought or one.name == "Unsubscribed",
                "now": one.name == ORDER,
                "thanks": False,
            }[name]
            if ends:
                self.wrong.append(f"P3: {name} about {trigger} went after {one.name} {one.id}")
        words = [
            (e.time, e.name == "Consent Withdrawn")
            for e in history
            if e.name.startswith("Consent") and e.properties["topic"] in ("*", "offers")
        ]
        if name != "thanks" and words and max(words)[1]:
            self.wrong.append(f"P5: {name} about {trigger} went after a no at {max(words)[0]}")
        before = self.handed.setdefault(id, [])
        fair = {"put off"} | ({"unknown"} if template in RETRIED else set())
        if not set(before) <= fair:
            self.wrong.append(f"P4: {name} about {trigger} went again after {before}")
