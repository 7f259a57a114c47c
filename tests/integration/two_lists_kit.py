"""A shop with a list at Google and one at Meta, and its workers by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.store import inbox
from engine.testing.google import GoogleSimulator
from engine.testing.meta import MetaSimulator
from tests.integration.ad_kit import GOOGLE, META
from tests.integration.bench_kit import bench_of, work
from workers import jobs

JOURNEY = """
journey: left-behind
trigger: {event: Product Viewed, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
  - audience: {add: google/left-behind}
  - audience: {add: meta/left-behind}
  - wait: 30 days
"""
LISTS = """
audiences:
  google/left-behind: {list: "7700", account: "1234567890"%(segment)s}
  meta/left-behind: {list: "238500"}
"""
MAIL = "shopper@shop.example.org"
WHO = ("user:1", f"email:{MAIL}")
IDS = count()


@dataclass
class World:
    bench: jobs.Bench
    google: GoogleSimulator
    meta: MetaSimulator
    project: Path

    def happens(self, name: str, who: tuple[str, ...] = WHO, **properties: Any) -> None:
        """One event, and all that workers do without a clock."""
        self.bench.queue.drain(self.accepted(name, who, **properties))
        work(self.bench)

    def accepted(self, name: str, who: tuple[str, ...] = WHO, **properties: Any) -> int:
        now = datetime.now(UTC)
        kind: Any = "identify" if name == "Identify" else "track"
        said = {"product_id": "p1", **properties} if kind == "track" else properties
        return self.accept(Event(f"e{next(IDS)}", kind, name, now, now, who, said))

    def accept(self, event: Event) -> int:
        """Commit the event to the inbox and count it, as the collector does; gives its lane."""
        lane = lane_of(event.sender)
        with self.bench.shell.database.connection() as connection:
            inbox.write(connection, [inbox.event_line(event, lane)], writer="web:test")
        return lane

    def look(self) -> None:
        """What the clock has done every five seconds."""
        self.bench.queue.push()
        work(self.bench)

    @property
    def lists(self) -> tuple[set[str], set[str]]:
        return self.google.lists.on(GOOGLE.list), self.meta.lists.on(META.list)

    def sql(self, statement: str) -> list[Any]:
        with self.bench.shell.database.connection() as connection:
            return connection.execute(statement.encode()).fetchall()

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return self.sql("select audience, off_reason from audience_listing order by audience, id")


@contextmanager
def two_lists(project: Path, database_url: str, redis_url: str) -> Iterator[World]:
    files = {
        "journeys/left-behind.yaml": JOURNEY,
        "config/winback.yaml": LISTS % {"segment": ""},
    }
    with GoogleSimulator() as google, MetaSimulator() as meta:
        with bench_of(
            project,
            files,
            database_url,
            redis_url,
            GOOGLE_DATAMANAGER_BASE_URL=google.url,
            GOOGLE_DATAMANAGER_TOKEN=google.token,
            META_BASE_URL=meta.url,
            META_ACCESS_TOKEN=meta.token,
            META_APP_SECRET=meta.secret,
        ) as bench:
            yield World(bench, google, meta, project)
        assert not google.wrong and not meta.wrong
