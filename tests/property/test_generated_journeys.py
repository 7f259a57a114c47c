"""Whatever journeys a shop writes and whatever its shoppers do: the simulation and the real store
agree run for run, message for message and mark for mark; and any shopper, replayed from the event
log, decides the same again (P8).

``EXAMPLES_TIMES=20`` looks at twenty times as many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings

from engine.core.decision import Mark, Outcome
from engine.core.gate import Verdict
from engine.core.segments import Standing
from engine.core.shopper import Shopper
from engine.intake.excerpt import Excerpt
from engine.intake.recordings import Ordered
from engine.language import load_journey
from engine.model.enrollment import Enrollment
from engine.model.journey import Journey
from engine.model.message import Message, Receipt, Rendered
from engine.model.policy import Cap, Policy, QuietHours, Topic
from engine.model.segment import Segment
from engine.runtime import calendar
from engine.runtime import shelf as shelf_module
from engine.runtime.deliver import Deliverer
from engine.runtime.drain import drain
from engine.runtime.explain import explain
from engine.runtime.in_force import Past
from engine.runtime.looks import looks_of
from engine.runtime.replay import Replay
from engine.runtime.retrace import differences
from engine.runtime.segments.look import look
from engine.runtime.shell import SHARDS
from engine.runtime.simulate import Observer, Simulation
from engine.runtime.simulate_segments import Segments, SegmentSimulation, simulation_of
from engine.runtime.wake import wake
from engine.store import lanes as lanes_store
from engine.store.database import Database
from engine.testing.renderer import PlainRenderer
from tests.integration.runtime_kit import emptied, module_database
from tests.integration.versions_kit import HOUR, World, new_project
from tests.property.event_streams import END, START, Told, streams
from tests.property.journey_texts import journeys
from tests.property.segment_shops import (
    LISTS,
    NAMES,
    Unscored,
    files,
    put,
    segments,
    stored_crossings,
    stored_standings,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

UNTIL = timedelta(days=20)
TICK = timedelta(microseconds=1)
#: How late workers are, in turn.
LATE = [timedelta(seconds=seconds) for seconds in (0, 1, 0, 30, 61, 0, 3 * 3600, 0)]
POLICY = Policy(
    topics={
        "offers": Topic("offers", consent="opt-out"),
        "orders": Topic("orders", consent="none"),
    },
    quiet_hours={"sms": QuietHours(time(20), time(9)), "email": QuietHours(time(2), time(4))},
    caps=(Cap(3, timedelta(days=2)), Cap(1, timedelta(hours=12), "sms")),
)


def looked_at(examples: int) -> settings:
    return settings(
        max_examples=examples * int(os.environ.get("EXAMPLES_TIMES", "1")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as made:
        yield made


@looked_at(40)
@given(texts=journeys(), told=streams())
def test_simulation_and_store_agree(
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    texts: dict[str, str],
    told: list[Told],
) -> None:
    show(texts, told)
    written = loaded(texts)
    once = {one.event.id: one.event for one in told}
    in_order = sorted(once.values(), key=lambda event: event.order_key)
    kept = Kept()
    simulated = Simulation(written, POLICY, observer=kept).run(in_order, UNTIL)

    replay = Replay(emptied(database), written, POLICY)
    assert replay.run([one.event for one in told], UNTIL) == simulated
    assert replay.refused == 0
    runs, traces, merged = stored_runs(database)
    # Where two identities had the same run, the simulation forgets the later one.
    assert runs == {id: shown(run) for id, run in kept.runs.items() if id not in merged}
    assert traces == {id: kept.traces.get(id, []) for id in runs}
    assert stored_messages(database, merged) == {
        id: judged for id, judged in kept.judged_last.items() if kept.of_run[id] not in merged
    }

    # As a recording, read for what the journeys look at, it says the same.
    folder = tmp_path_factory.mktemp("recording", numbered=True)
    (folder / "events.jsonl").write_bytes(b"\n".join(one.line for one in told))
    ordered = Ordered(folder, END)
    ordered.add(folder / "events.jsonl")
    read = ordered.events(Excerpt(looks_of(written), END, "GB"))
    assert Simulation(written, POLICY).run(read, UNTIL) == simulated
    assert ordered.bad == []


@looked_at(40)
@given(texts=journeys(segments=NAMES), kept=segments(), told=streams())
def test_they_agree_on_who_is_in_which_segment_and_what_that_starts(
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    texts: dict[str, str],
    kept: dict[str, Segment],
    told: list[Told],
) -> None:
    show(texts, told)
    for segment in kept.values():
        note(segment.source)
    written = loaded(texts)
    once = {one.event.id: one.event for one in told}
    in_order = sorted(once.values(), key=lambda event: event.order_key)
    seen = Kept()
    shop = Segments(kept, LISTS)
    simulation = simulation_of(written, POLICY, shop, observer=seen)
    simulated = simulation.run(in_order, UNTIL)

    replay = Unscored(emptied(database), written, POLICY, segments=files(kept))
    assert replay.run([one.event for one in told], UNTIL) == simulated
    assert replay.refused == 0
    runs, traces, merged = stored_runs(database)
    assert runs == {id: shown(run) for id, run in seen.runs.items() if id not in merged}
    assert traces == {id: seen.traces.get(id, []) for id in runs}
    assert stored_messages(database, merged) == {
        id: judged for id, judged in seen.judged_last.items() if seen.of_run[id] not in merged
    }

    if not isinstance(simulation, SegmentSimulation):  # they hear of none
        return
    crossings = {name: (c.entered, c.left) for name, c in simulation.crossings.items()}
    stored = stored_crossings(database)
    assert {name: stored.get(name, (0, 0)) for name in crossings} == crossings
    standings = {
        (id, name): standing
        for id, name, standing in simulation.standings()
        if standing != Standing()
    }
    there = stored_standings(database)
    assert {place: one for place, one in there.items() if place[1] in crossings} == standings
    assert simulation.members.faults == []

    # As a recording, read for what journeys and segments look at, it says the same.
    folder = tmp_path_factory.mktemp("recording", numbered=True)
    (folder / "events.jsonl").write_bytes(b"\n".join(one.line for one in told))
    ordered = Ordered(folder, END)
    ordered.add(folder / "events.jsonl")
    read = ordered.events(Excerpt(looks_of([*written, *kept.values()]), END, "GB"))
    assert simulation_of(written, POLICY, shop).run(read, UNTIL) == simulated


def show(texts: dict[str, str], told: Sequence[Told]) -> None:
    """For whoever must find out why."""
    for text in texts.values():
        note(text)
    for one in told:
        note(f"{one.received_at:%d %H:%M} {one.line.decode()}")


def loaded(texts: dict[str, str]) -> list[Journey]:
    found = []
    for name, text in texts.items():
        journey, diagnostics = load_journey(text, name)
        assert journey is not None, diagnostics
        found.append(journey)
    return found


class Kept(Observer):
    """The last that a simulation said of each run and message, and every mark."""

    def __init__(self) -> None:
        self.runs: dict[str, Enrollment] = {}
        self.traces: dict[str, list[Mark]] = {}
        #: message -> what became of it, why, when
        self.judged_last: dict[str, tuple[str, str, datetime]] = {}
        self.of_run: dict[str, str] = {}

    def decided(self, shopper: Shopper, outcome: Outcome) -> None:
        self.runs.update(outcome.enrollments)
        for id, marks in outcome.traces.items():
            self.traces.setdefault(id, []).extend(marks)

    def judged(self, message: Message, verdict: Verdict) -> None:
        self.of_run[message.id] = message.enrollment_id
        if verdict.action == "wait":
            self.judged_last.pop(message.id, None)
        else:
            self.judged_last[message.id] = (verdict.action, verdict.reason, message.due_at)


Shown = tuple[Any, ...]


def shown(run: Enrollment) -> Shown:
    return (
        *(run.journey, run.key, run.bucket, run.event_id, run.entered_at, run.status, run.reason),
        *(run.at, run.wake_at, run.waiting_for, run.visits, run.held_out, run.goal),
        *(run.stopped_by, run.ended_at, run.offer),
    )


def stored_runs(database: Database) -> tuple[dict[str, Shown], dict[str, list[Mark]], set[str]]:
    """Runs and traces by id, but for those that a merge ended, which are named apart."""
    with database.connection() as connection:
        rows = connection.execute(
            "select id::text, trace, status, journey, key, bucket, event_id, entered_at, status,"
            " reason, at, wake_at, waiting_for, visits, held_out, goal, stopped_by, ended_at, offer"
            " from enrollment"
        ).fetchall()
    merged = {row[0] for row in rows if row[2] == "merged"}
    kept = [row for row in rows if row[0] not in merged]
    return (
        {row[0]: tuple(row[3:]) for row in kept},
        {row[0]: [mark(*one) for one in row[1]] for row in kept},
        merged,
    )


def mark(path: str, verdict: str, why: str, at: str) -> Mark:
    return Mark(path, verdict, why, datetime.fromisoformat(at))


def stored_messages(database: Database, merged: set[str]) -> dict[str, tuple[str, str, datetime]]:
    with database.connection() as connection:
        rows = connection.execute(
            "select id::text, enrollment_id::text, status,"
            " regexp_replace(reason, '^no address for .*', 'no address'), claimed_at, due_at"
            " from message"
            " where status in ('sent', 'skipped', 'failed')"
        ).fetchall()
    return {
        id: ("send", "", claimed) if status == "sent" else ("skip", reason, due)
        for id, run, status, reason, claimed, due in rows
        if run not in merged
    }


def test_any_shopper_replayed_decides_the_same(
    database: Database, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "EVERY", 0.0)

    @looked_at(25)
    @given(texts=journeys(segments=NAMES), kept=segments(), told=streams())
    def whatever_happens(texts: dict[str, str], kept: dict[str, Segment], told: list[Told]) -> None:
        show(texts, told)
        project = new_project(tmp_path_factory.mktemp("shop", numbered=True), **texts)
        (project / "config/winback.yaml").write_text(RULES)
        with living(emptied(database), project) as shop:
            put(shop.world.shell, kept)
            for at, some in groupby(told, key=lambda one: one.received_at):
                shop.live_until(at)
                shop.world.accept(*(one.event for one in some))
            shop.live_until(END + timedelta(days=6))
            for profile in shop.profiles():
                assert replayed(shop.world, profile) == []

    whatever_happens()


RULES = """
topics:
  offers: {consent: opt-out}
  orders: {consent: none}
quiet hours: {sms: "20:00-09:00", email: "02:00-04:00"}
caps: [{messages: 3, within: 2 days}, {messages: 1, within: 12 hours, channel: sms}]
"""


class Everything(PlainRenderer):
    """Stands for renderer and provider."""

    name = "everything"

    def send(self, rendered: Rendered) -> Receipt:
        return Receipt(self.name, rendered.message_id)


@dataclass
class Shop:
    """Workers that wake when something is due: at once, within a timer's grace, or hours late."""

    world: World
    deliverer: Deliverer
    turn: int = 0

    def live_until(self, until: datetime) -> None:
        while True:
            self._work()
            now = self.world.clock.now()
            if now >= until:
                return
            due = self._next_due() or until
            self.turn += 1
            late = LATE[self.turn % len(LATE)]
            if self.world.shell.book().calendars:
                due = min(due, now.replace(minute=0, second=0, microsecond=0) + 6 * HOUR)
            self.world.clock.move_to(min(max(due + late, now + TICK), until))

    def _next_due(self) -> datetime | None:
        """Of what falls due later than now, the first."""
        now = self.world.clock.now().isoformat()
        ((moment,),) = self.world.rows(
            f"select least((select min(wake_at) from enrollment where wake_at > '{now}'),"
            f" (select min(look_at) from segment_member where look_at > '{now}'),"
            f" (select min(due_at) from message where status = 'due' and due_at > '{now}'))"
        )
        assert moment is None or isinstance(moment, datetime)
        return moment

    def _work(self) -> None:
        shell = self.world.shell
        if calendar.to_do(shell):
            while not calendar.calendars_due(shell).done:
                pass
        while self._drained() or wake(shell).woken or look(shell).looked:
            pass
        for shard in range(SHARDS):
            self.deliverer.deliver(shard)

    def _drained(self) -> bool:
        with self.world.database.connection() as connection:
            lanes = lanes_store.with_work(connection)
        taken = 0
        for lane in lanes:
            # No two drains happen in the same microsecond.
            self.world.clock.move_to(self.world.clock.now() + TICK)
            taken += drain(self.world.shell, lane).taken
        return taken > 0

    def profiles(self) -> list[int]:
        return [row[0] for row in self.world.rows("select id from profile order by id")]


@contextmanager
def living(database: Database, project: Path) -> Iterator[Shop]:
    world = World(database, project, START - timedelta(minutes=1))
    world.apply()
    world.clock.move_to(START)
    everything = Everything()
    world.shell.renderer = everything
    world.shell.channels = dict.fromkeys(("email", "sms", "webhook"), everything)
    deliverer = Deliverer(world.shell, threads=2)
    try:
        yield Shop(world, deliverer)
    finally:
        deliverer.close()


def replayed(world: World, profile: int) -> list[str]:
    with world.database.connection() as connection:
        past = Past(connection, world.shelf.book().current)
        return differences(explain(connection, str(profile), "GB"), past, "USD", "UTC")
