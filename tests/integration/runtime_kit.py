"""A shop's pipeline on a real PostgreSQL, with a clock that is told and providers that are ours."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from engine.clock import ManualClock
from engine.core.book import open_book
from engine.errors import DeliveryError, OutcomeUnknown
from engine.intake.lanes import LANES, lane_of
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.message import Receipt, Rendered
from engine.model.policy import Policy, Topic
from engine.runtime.deliver import Delivered, Deliverer
from engine.runtime.drain import Drained, drain
from engine.runtime.shell import SHARDS, Shell
from engine.runtime.wake import Woken, wake
from engine.store import inbox
from engine.store.database import Database
from engine.testing.renderer import PlainRenderer
from tests.unit.core.build import T0, event, journey, overdue, send, stop, wait

#: Makes a pipeline: the fixture ``make``.
Make = Callable[..., "Pipeline"]

LEFT = journey(
    wait(hours=2),
    send(template="left"),
    key="event.product_id",
    stops=[stop(goal=True)],
)
NOW = journey(
    send(template="now"),
    key="event.product_id",
    stops=[stop(if_="key in event.product_ids", goal=True)],
)
HOLD = journey(send(template="once", overdue=overdue()), stops=[stop()])
RETRY = journey(send(template="again", on_unknown="retry", overdue=overdue()), stops=[stop()])

WHO = ("user:1", "email:a@b.de", "phone:+4930123456")

TOPICS = {"offers": Topic("offers", consent="opt-out"), "orders": Topic("orders", consent="none")}


@contextmanager
def module_database(server: str, template: str) -> Iterator[Database]:
    """A migrated database for all tests of a module: to make one for each test would cost more
    than the test. ``emptied`` goes between them."""
    name = f"runtime_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        try:
            socket = conninfo_to_dict(server)["host"]
            with Database(f"postgresql://postgres:@/{name}?host={socket}") as database:
                yield database
        finally:
            connection.execute(f"drop database {name} with (force)".encode())


def emptied(database: Database) -> Database:
    """The database without a row of anybody's."""
    with database.connection() as connection:
        tables = connection.execute(
            "select string_agg(quote_ident(tablename), ',') from pg_tables"
            " where schemaname = 'public' and tablename <> 'lane' and tablename !~ 'yoyo'"
        ).fetchone()
        assert tables is not None
        connection.execute(f"truncate {tables[0]}".encode())
    return database


@contextmanager
def pipelines(database: Database) -> Iterator[Callable[..., Pipeline]]:
    """Makes pipelines on an emptied database; when the test is over their tables are checked."""
    made: list[Pipeline] = []
    emptied(database)

    def make(*journeys: Journey, **more: Any) -> Pipeline:
        made.append(Pipeline(database, journeys, **more))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()
        pipeline.check()


#: What a provider answers: a reference, or an error to raise.
Answer = Callable[[Rendered], str | Exception]


def accepts(_: Rendered) -> str:
    return "taken"


def refuses(_: Rendered) -> Exception:
    return DeliveryError("no such mailbox", permanent=True, suppress=True)


def busy(_: Rendered) -> Exception:
    return DeliveryError("try later", permanent=False, retry_after=timedelta(minutes=5))


def silent(_: Rendered) -> Exception:
    return OutcomeUnknown("no answer")


ANSWERS: list[Answer] = [accepts, refuses, busy, silent]


def identify(*who: str, time: datetime = T0, **traits: Any) -> Event:
    return event("Identify", time, kind="identify", who=who, **traits)


class Provider:
    """Remembers what it was handed, and answers as it is told."""

    name = "provider"

    def __init__(self, answer: Answer = accepts) -> None:
        self.answer = answer
        self.handed: list[Rendered] = []
        self._lock = threading.Lock()

    def send(self, rendered: Rendered) -> Receipt:
        with self._lock:
            self.handed.append(rendered)
        answer = self.answer(rendered)
        if isinstance(answer, Exception):
            raise answer
        return Receipt(self.name, answer)

    @property
    def ids(self) -> list[str]:
        return [rendered.message_id for rendered in self.handed]


@dataclass
class Pipeline:
    database: Database
    journeys: Sequence[Journey]
    policy: Policy = field(default_factory=lambda: Policy(topics=TOPICS))
    clock: ManualClock = field(default_factory=lambda: ManualClock(T0))
    email: Provider = field(default_factory=Provider)
    sms: Provider = field(default_factory=Provider)
    #: how many messages are claimed, and handed over, at once
    threads: int = 4

    def __post_init__(self) -> None:
        self.shell = Shell(
            self.database,
            self.clock,
            lambda needed=(): open_book(self.journeys),
            lambda: self.policy,
            PlainRenderer(),
            {"email": self.email, "sms": self.sms},
        )
        self.deliverer = Deliverer(self.shell, self.threads)

    def close(self) -> None:
        self.deliverer.close()

    def accept(self, *events: Event, lane: int | None = None) -> Pipeline:
        """Commit ``events`` to the inbox, as the collector does. They move the clock on to when
        the last of them was received."""
        lines = [inbox.event_line(e, lane_of(e.sender) if lane is None else lane) for e in events]
        with self.database.connection() as connection:
            inbox.write(connection, lines, writer="web:test")
        latest = max(event.received_at for event in events)
        if latest > self.clock.now():
            self.clock.move_to(latest)
        return self

    def drain(self, *events: Event, limit: int = 1000) -> Drained:
        """Accept ``events`` and drain every lane until it is dry; gives the sums."""
        if events:
            self.accept(*events)
        total = Drained()
        for lane in range(LANES):
            while (done := drain(self.shell, lane, limit)).taken:
                total.taken += done.taken
                total.duplicates += done.duplicates
                total.refused += done.refused
        return total

    def at(self, moment: datetime) -> Pipeline:
        self.clock.move_to(moment)
        return self

    def wake(self) -> Woken:
        return wake(self.shell)

    def deliver(self) -> Delivered:
        total = Delivered()
        for shard in range(SHARDS):
            done = self.deliverer.deliver(shard)
            for name in ("seen", "claimed", "sent", "failed", "retried", "unknown"):
                setattr(total, name, getattr(total, name) + getattr(done, name))
        return total

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with self.database.connection() as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def run_sql(self, statement: str, *parameters: Any) -> None:
        with self.database.connection() as connection:
            connection.execute(statement.encode(), parameters)

    def one(self, query: str, *parameters: Any) -> Any:
        ((value,),) = self.rows(query, *parameters)
        return value

    def profile(self, identifier: str) -> int:
        return int(self.one("select profile_id from identity where identifier = %s", identifier))

    def runs(self) -> list[tuple[str, str, str]]:
        """(journey, key, status) of every run."""
        return sorted(self.rows("select journey, key, status from enrollment"))

    def messages(self) -> list[tuple[str, str, str]]:
        """(template, status, reason) of every message."""
        return sorted(self.rows("select template, status, reason from message"))

    def ledger(self) -> dict[str, int]:
        return dict(self.rows("select fact, sum(n)::int from ledger group by fact"))

    def check(self) -> None:
        """What must hold of the tables at any moment between two transactions."""
        ledger = self.ledger()
        waiting = self.one("select count(*) from inbox")
        events = self.one("select count(*) from event")
        taken = ledger.get("taken", 0)
        assert ledger.get("accepted", 0) == taken + waiting
        gone = ("duplicate", "refused", "erased", "forgotten")
        assert taken == events + sum(ledger.get(fact, 0) for fact in gone)
        refused = self.one("select count(*) from rejected where source = 'drain'")
        assert refused == ledger.get("refused", 0)
        for table in ("identity", "event", "enrollment", "message", "delivery", "consent",
                      "audience_member"):  # fmt: skip
            orphans = self.one(
                f"select count(*) from {table} t where not exists"
                " (select 1 from profile p where p.id = t.profile_id)"
            )
            assert orphans == 0, f"{orphans} rows of {table} belong to nobody"
        stray = self.one(
            "select count(*) from message m where not exists (select 1 from enrollment e"
            " where e.profile_id = m.profile_id and e.id = m.enrollment_id)"
        )
        assert stray == 0
        late = self.one(
            "select count(*) from message m join enrollment e on e.id = m.enrollment_id"
            " and e.profile_id = m.profile_id"
            " where m.status = 'due' and e.status in ('stopped', 'merged')"
        )
        assert late == 0


def deliveries(shop: Pipeline) -> list[tuple[int, str | None]]:
    return shop.rows("select attempt, outcome from delivery order by message_id, attempt")
