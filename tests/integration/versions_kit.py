"""A shop whose journeys are edited: its project directory, its database, its workers by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from engine.clock import ManualClock
from engine.intake.lanes import LANES, lane_of
from engine.language import load_journeys
from engine.model.event import Event
from engine.runtime.apply import apply
from engine.runtime.drain import drain
from engine.runtime.plan import Plan, Wanted, draw
from engine.runtime.shelf import Shelf
from engine.runtime.shell import Shell
from engine.runtime.wake import wake
from engine.store import inbox
from engine.store.database import Database

HOUR = timedelta(hours=1)


class World:
    """One shop: its project directory, its database, and what stands for its workers."""

    def __init__(self, database: Database, project: Path, now: datetime) -> None:
        self.database, self.project = database, project
        self.clock = ManualClock(now)
        self.shelf = Shelf(database, self.clock, project)
        self.shell = Shell(database, self.clock, self.shelf.book, self.shelf.policy)

    def write(self, name: str, text: str) -> None:
        (self.project / f"journeys/{name}.yaml").write_text(text)

    def wanted(self, **more: Any) -> Wanted:
        found = load_journeys(self.project / "journeys")
        assert not [d for d in found.diagnostics if d.severity == "error"]
        return Wanted(found.journeys, **more)

    def plan(self, wanted: Wanted | None = None) -> Plan:
        with self.database.connection() as connection:
            return draw(connection, wanted or self.wanted(), self.clock.now(), "USD")

    def apply(self, wanted: Wanted | None = None, **more: Any) -> Plan:
        chosen = wanted or self.wanted()
        return apply(self.database, chosen, self.clock.now, "asha", **more).plan

    def accept(self, *events: Event) -> None:
        lines = [inbox.event_line(event, lane_of(event.sender)) for event in events]
        with self.database.connection() as connection:
            inbox.write(connection, lines, writer="web:test")

    def work(self, until: datetime) -> None:
        """Let the workers go on until then, hour by hour."""
        while True:
            for lane in range(LANES):
                while drain(self.shell, lane).taken:
                    pass
            while wake(self.shell).woken:
                pass
            if self.clock.now() >= until:
                return
            self.clock.move_to(min(self.clock.now() + HOUR, until))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.database.connection() as connection:
            return connection.execute(query.encode()).fetchall()

    def runs(self, journey: str = "cart") -> dict[str, Run]:
        rows = self.rows(
            "select id::text, version, at, wake_at, status, reason, stopped_by, visits"
            f" from enrollment where journey = '{journey}'"
        )
        return {row[0]: Run(*row[1:]) for row in rows}


class Run(NamedTuple):
    version: str
    at: str | None
    wake_at: datetime | None
    status: str
    reason: str
    stopped_by: str
    visits: int


def event(name: str, user: int, time: datetime, **properties: Any) -> Event:
    id = f"{name}-{user}-{time:%d%H%M%S}"
    return Event(id, "track", name, time, time, (f"user:{user}",), properties)


def new_project(path: Path, **journeys: str) -> Path:
    for name in ("journeys", "config", "templates/hello"):
        (path / name).mkdir(parents=True)
    (path / "templates/hello/email.en.html").write_text("---\nsubject: x\n---\nx")
    for name, text in journeys.items():
        (path / f"journeys/{name}.yaml").write_text(text)
    return path
