"""The whole runtime against a model that knows nothing of it.

Hypothesis accepts events (under any name of a shopper, doubled, late), drains lanes, lets time
pass, wakes, delivers to a provider that takes, refuses, puts off or stays silent, and kills the
worker before or after any commit. The provider holds each message it is handed against the
events accepted by then; nothing here asks Winback what it thinks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engine.errors import DeliveryError
from engine.intake.lanes import LANES
from engine.model.event import Event, EventKind
from engine.model.message import Email, Message, Rendered
from engine.runtime.attempt import RETRY_UNKNOWN, TRIES
from engine.runtime.drain import drain
from engine.store import outcomes as outcomes_store
from engine.store.database import Database
from engine.testing.renderer import PlainRenderer
from tests.integration.runtime_kit import (
    Answer,
    Pipeline,
    accepts,
    busy,
    emptied,
    module_database,
    silent,
)
from tests.property.mortal import Killed, Moment, MortalDatabase
from tests.property.runtime_model import JOURNEYS, NAMES, PEOPLE, Model
from tests.unit.core.build import (
    CLICK,
    ORDER,
    VIEW,
    event,
)


class Interrupting(PlainRenderer):
    """Lets something be accepted between the look at what is due and the gate."""

    def __init__(self, accept: Callable[[Event], None]) -> None:
        self.accept = accept
        self.pending: Event | None = None

    def render(self, message: Message, *rest: Any, **more: Any) -> Rendered:
        if self.pending is not None:
            one, self.pending = self.pending, None
            self.accept(one)
        return super().render(message, *rest, **more)


def rejects(_: Rendered) -> Exception:
    return DeliveryError("refused", permanent=True)


ANSWERS: dict[str, tuple[Answer, str]] = {
    "taken": (accepts, "taken"),
    "put off": (busy, "put off"),
    "unknown": (silent, "unknown"),
    "refused": (rejects, "refused"),
}


class Said(NamedTuple):
    """What one shopper does, under some of their names, ``minutes`` before it is received."""

    name: str
    person: int
    who: list[int]
    minutes: int
    product: str
    topic: str


REST = ["Alias", CLICK, "Unsubscribed", "Consent Given", *["Consent Withdrawn"] * 2]
#: Mostly one name at a time: what ties two of them together is then news.
names = st.one_of(
    st.sampled_from([[1], [1], [0], [2], [3], [0, 1]]),
    st.lists(st.integers(0, 3), min_size=2, max_size=3, unique=True).map(sorted),
)
sayings = st.builds(
    Said,
    st.sampled_from([VIEW] * 4 + [ORDER] * 3 + ["Page"] * 2 + REST),
    st.integers(0, PEOPLE - 1),
    names,
    st.sampled_from([0, 0, 0, 1, 20, 70, 200]),
    st.sampled_from(["p1", "p1", "p2"]),
    st.sampled_from(["*", "offers", "news"]),
)
orders = sayings.map(lambda said: said._replace(name=ORDER, minutes=0))
refusals = sayings.map(lambda said: said._replace(name="Consent Withdrawn", minutes=0))
ties = sayings.map(lambda said: said._replace(name="Page", who=[0, 1, 2, 3], minutes=0))
dooms = st.one_of(
    st.none(), st.none(), st.tuples(st.integers(0, 9), st.sampled_from(["before", "after"]))
)
waits = st.sampled_from([0, 0, 1, 10, 60, 61, 125, 400])


class Machine(RuleBasedStateMachine):
    database: MortalDatabase
    witness: Database

    def __init__(self) -> None:
        super().__init__()
        self.database.doom = None
        emptied(self.witness)
        self.model = Model()
        # One call at a time: a message is claimed when the one before it has been answered.
        self.shop = Pipeline(self.database, JOURNEYS, threads=1)
        self.watcher = Pipeline(self.witness, JOURNEYS, clock=self.shop.clock)
        self.renderer = Interrupting(self.accept)
        self.shop.shell.renderer = self.renderer
        self.answer = "taken"
        self.meanwhile: Event | None = None
        self.numbers = iter(range(10_000))
        self.session: list[tuple[str, int]] = []
        self.lock = threading.Lock()
        self.shop.email.answer = self.take

    # -- the world

    def accept(self, one: Event, lane: int | None = None) -> None:
        self.watcher.accept(one, lane=lane)
        self.model.accepted[one.id] = one

    def take(self, rendered: Rendered) -> str | Exception:
        """The provider."""
        assert isinstance(rendered, Email)
        id, template = rendered.message_id, rendered.subject
        ((name, key, trigger),) = self.watcher.rows(
            "select m.journey, e.key, m.event_id from message m"
            " join enrollment e on e.id = m.enrollment_id where m.id = %s",
            id,
        )
        answer, outcome = ANSWERS[self.answer]
        with self.lock:
            self.model.judge(id, template, name, key, trigger)
            outcomes = self.model.handed[id]
            self.session.append((id, len(outcomes)))
            outcomes.append(outcome)
            if self.meanwhile is not None:
                one, self.meanwhile = self.meanwhile, None
                self.accept(one)
                self.watcher.drain()
        return answer(rendered)

    def make(self, said: Said) -> Event:
        now: datetime = self.shop.clock.now()
        kind: EventKind = "alias" if said.name == "Alias" else "track"
        more: dict[str, Any] = {"product_id": said.product}
        if said.name == ORDER:
            more = {"products": [{"product_id": said.product}]}
        elif said.name.startswith("Consent"):
            more = {"channel": "email", "topic": said.topic}
        return event(
            said.name,
            now - timedelta(minutes=said.minutes),
            id=f"m{next(self.numbers):04d}",
            who=tuple(NAMES[said.person][n] for n in said.who),
            kind=kind,
            received=now,
            **more,
        )

    @contextmanager
    def mortal(self, doom: tuple[int, Moment] | None) -> Iterator[None]:
        """What is done within may be killed. What the provider said last may be lost then, and so
        be unknown to whoever comes after; that it was put off is true for all that."""
        self.session = []
        self.database.doom = doom
        try:
            yield
        except Killed:
            for id, number in self.session[-1:]:
                if self.model.handed[id][number] != "put off":
                    self.model.handed[id][number] = "unknown"
        finally:
            self.database.doom = None
            self.renderer.pending = self.meanwhile = None

    # -- what happens

    @rule(said=st.lists(sayings, min_size=1, max_size=4), drained=st.booleans())
    def shoppers_do(self, said: list[Said], drained: bool) -> None:
        for each in said:
            self.accept(self.make(each))
        if drained:
            self.watcher.drain()

    @rule(
        seen=sayings,
        other=st.one_of(sayings, orders, refusals),
        drained=st.lists(st.sampled_from([True] * 4 + [False]), min_size=3, max_size=3),
        delivered=st.sampled_from([True, True, False]),
    )
    def one_turns_out_to_be_the_other(
        self, seen: Said, other: Said, drained: list[bool], delivered: bool
    ) -> None:
        """A view under one name, something under another, and then both names at once."""
        seen = seen._replace(name=VIEW)
        both = sorted({*seen.who, *other.who})
        tie = other._replace(name="Page", person=seen.person, who=both, minutes=0)
        for said, now in zip((seen, other._replace(person=seen.person), tie), drained, strict=True):
            self.accept(self.make(said))
            if now:
                self.watcher.drain()
        if delivered:
            self.answer = "taken"
            self.shop.deliver()

    @precondition(lambda self: self.model.accepted)
    @rule(data=st.data(), lane=st.one_of(st.none(), st.integers(0, LANES - 1)))
    def it_comes_twice(self, data: st.DataObject, lane: int | None) -> None:
        known = sorted(self.model.accepted)
        self.accept(self.model.accepted[data.draw(st.sampled_from(known))], lane=lane)

    # -- what Winback does

    @precondition(lambda self: self.model.accepted)
    @rule(data=st.data(), limit=st.sampled_from([1, 3, 1000]), doom=dooms)
    def drains(self, data: st.DataObject, limit: int, doom: tuple[int, Moment] | None) -> None:
        lanes = [lane for (lane,) in self.watcher.rows("select distinct lane from inbox")]
        for lane in data.draw(st.permutations(sorted(lanes))):
            with self.mortal(doom):
                drain(self.shop.shell, lane, limit)

    @rule(minutes=waits, doom=dooms)
    def wakes(self, minutes: int, doom: tuple[int, Moment] | None) -> None:
        self.shop.at(self.shop.clock.now() + timedelta(minutes=minutes))
        with self.mortal(doom):
            self.shop.wake()

    @rule(
        minutes=waits,
        answer=st.sampled_from(["taken", "taken", "taken", "put off", "unknown", "refused"]),
        doom=dooms,
        interrupt=st.one_of(st.none(), orders),
        meanwhile=st.one_of(st.none(), orders, ties),
    )
    def delivers(
        self,
        minutes: int,
        answer: str,
        doom: tuple[int, Moment] | None,
        interrupt: Said | None,
        meanwhile: Said | None,
    ) -> None:
        self.answer = answer
        self.shop.at(self.shop.clock.now() + timedelta(minutes=minutes))
        with self.mortal(doom):
            self.renderer.pending = self.make(interrupt) if interrupt else None
            self.meanwhile = self.make(meanwhile) if meanwhile else None
            self.shop.deliver()

    @rule()
    def gives_up_on_the_dead(self) -> None:
        now = self.shop.clock.now()
        with self.witness.connection() as connection:
            outcomes_store.abandoned(
                connection, now - timedelta(minutes=5), now, tries=TRIES, pause=RETRY_UNKNOWN
            )

    # -- what must hold

    @invariant()
    def the_promises(self) -> None:
        assert self.model.wrong == []

    @invariant()
    def the_books(self) -> None:
        """P1 and P2: what was accepted is worked or waits, and counts once."""
        self.watcher.check()
        worked = {id for (id,) in self.watcher.rows("select id from event")}
        waiting = {id for (id,) in self.watcher.rows("select id from inbox")}
        assert worked | waiting == set(self.model.accepted)
        orders = {e.id for e in self.model.accepted.values() if e.name == ORDER}
        counted = self.watcher.one("select coalesce(sum(orders), 0)::int from profile")
        assert counted == len(orders & worked)
        views = {e.id for e in self.model.accepted.values() if e.name == VIEW}
        assert sorted(
            self.watcher.rows("select event_id from enrollment where journey = 'now'")
        ) == sorted((id,) for id in views & worked)

    def teardown(self) -> None:
        """Left in peace, it comes to rest: everything worked, nothing due, nothing on the wire."""
        try:
            if self.model.wrong:
                return
            self.answer = "taken"
            self.database.doom = None
            for _ in range(6):
                self.shop.drain()
                while self.shop.wake().woken:
                    pass
                self.shop.deliver()
                self.shop.at(self.shop.clock.now() + timedelta(hours=4))
                self.gives_up_on_the_dead()
            self.the_promises()
            self.the_books()
            assert self.watcher.one("select count(*) from inbox") == 0
            assert (
                self.watcher.rows("select 1 from message where status in ('due', 'claimed')") == []
            )
            assert self.watcher.rows("select 1 from enrollment where wake_at is not null") == []
            self.one_shopper_each()
            self.nobody_was_forgotten()
        finally:
            self.shop.close()
            self.watcher.close()

    def one_shopper_each(self) -> None:
        known = self.model.people()
        where = dict(self.watcher.rows("select identifier, profile_id from identity"))
        assert set(where) == set(known)
        assert {frozenset(n for n in known if known[n] == p) for p in known.values()} == {
            frozenset(n for n in where if where[n] == p) for p in where.values()
        }

    def nobody_was_forgotten(self) -> None:
        """A mail that nothing speaks against has gone."""
        for trigger, status in self.watcher.rows(
            "select m.event_id, m.status from message m where m.journey = 'now'"
        ):
            cause = self.model.accepted[trigger]
            history = self.model.history(cause)
            if any(e.name == ORDER or e.name.startswith("Consent") for e in history):
                continue
            # Without an address at the time it fails; a provider may refuse, or leave us alone.
            assert status in ("sent", "failed", "unknown"), (trigger, status)


@pytest.fixture(scope="module")
def databases(postgres_url: str, _template: str) -> Iterator[tuple[MortalDatabase, Database]]:
    with module_database(postgres_url, _template) as witness:
        mortal = MortalDatabase(witness.url, connections=8)
        yield mortal, witness
        mortal.close()


@pytest.mark.timeout(300)
def test_the_promises_hold(databases: tuple[MortalDatabase, Database]) -> None:
    class Here(Machine):
        database, witness = databases

    run_state_machine_as_test(
        Here,
        settings=settings(
            deadline=None,
            max_examples=60,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
        ),
    )
