"""From a segment's file over clock, queue and worker to its members, without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.clock import ManualClock
from engine.intake.lanes import lane_of
from engine.runtime.segments.files import SegmentFiles
from engine.store import inbox, segment_desk
from tests.integration.bench_kit import bench_of, work
from tests.unit.core.build import event
from workers import jobs
from workers.clock import Ticker

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
JOURNEY = """
journey: welcome
trigger: {segment: {entered: lookers}}
steps: [{exit: hello}]
"""
LOOKERS = "segment: lookers\nwho: {did: Product Viewed, within: 7 days}\n"


@pytest.fixture
def bench(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[jobs.Bench]:
    files = {
        "journeys/welcome.yaml": JOURNEY,
        "config/winback.yaml": "topics:\n  offers: {consent: opt-out}\n",
        "config/segments/lookers.yaml": LOOKERS,
    }
    with bench_of(tmp_path, files, database_url, redis_url) as made:
        made.shell.clock = ManualClock(NOW)
        yield made


class Running:
    """Clock and worker, each when they are told to."""

    def __init__(self, bench: jobs.Bench) -> None:
        self.bench = bench
        shell = bench.shell
        project = bench.settings.project_dir
        files = SegmentFiles(shell.database, shell.clock, shell.policy, project)
        self.ticker = Ticker(shell, bench.queue, files)

    def turn(self, hours: float = 0, *, files: bool = True) -> None:
        clock = self.bench.shell.clock
        assert isinstance(clock, ManualClock)
        if hours:
            clock.move_to(clock.now() + timedelta(hours=hours))
        assert self.ticker.tick()
        if files:
            self.ticker.segments()
        work(self.bench)

    def accept(self, name: str, *who: str) -> None:
        now = self.bench.shell.clock.now()
        events = [event(name, now, who=[each], product_id="p1") for each in who]
        with self.bench.shell.database.connection() as connection:
            lines = [inbox.event_line(one, lane_of(one.sender)) for one in events]
            inbox.write(connection, lines, writer="web:test")

    def members(self, name: str) -> int:
        with self.bench.shell.database.connection() as connection:
            return len(segment_desk.members(connection, name))

    def runs(self) -> int:
        with self.bench.shell.database.connection() as connection:
            row = connection.execute("select count(*) from enrollment").fetchone()
            assert row is not None
            return int(row[0])

    def write(self, name: str, text: str) -> None:
        folder = self.bench.settings.project_dir / "config" / "segments"
        (folder / f"{name}.yaml").write_text(text)


def test_from_the_file_to_the_members_and_back(bench: jobs.Bench) -> None:
    shop = Running(bench)
    shop.accept("Product Viewed", "user:1", "user:2")
    shop.turn(files=False)  # the events come before the segment is known
    shop.turn()
    shop.turn()
    assert (shop.members("lookers"), shop.runs()) == (2, 0), "found, but nobody entered"
    shop.accept("Product Viewed", "user:3")
    shop.turn()
    assert (shop.members("lookers"), shop.runs()) == (3, 1), "entering is what starts a journey"

    shop.write("buyers", "segment: buyers\nwho: {did: Order Completed}\n")
    shop.write("lookers", LOOKERS.replace("7 days", "1 hour"))
    shop.accept("Order Completed", "user:1")
    shop.turn()
    shop.turn()
    assert (shop.members("lookers"), shop.members("buyers")) == (3, 1)
    shop.turn(hours=1.5)
    assert shop.members("lookers") == 0
    shop.turn(hours=24)
    assert bench.queue.queue.job_ids == [], "nobody is looked at for nothing"


def test_a_mistake_leaves_a_segment_as_it_was(bench: jobs.Bench) -> None:
    shop = Running(bench)
    shop.accept("Product Viewed", "user:1")
    shop.turn()
    shop.turn()
    shop.write("lookers", LOOKERS.replace("within", "whithin"))
    shop.turn()
    shop.accept("Product Viewed", "user:2")
    shop.turn()
    assert shop.members("lookers") == 2
    shop.write("lookers", "segment: lookers\nwho: {did: Product Added}\n")
    shop.turn()
    shop.turn()
    assert shop.members("lookers") == 0
    (bench.settings.project_dir / "config" / "segments" / "lookers.yaml").unlink()
    shop.turn()
    shop.turn()
    with bench.shell.database.connection() as connection:
        assert segment_desk.known(connection) == []


def test_a_clock_that_does_not_lead_reads_no_files(bench: jobs.Bench) -> None:
    first, second = Running(bench), Running(bench)
    assert first.ticker.tick() and not second.ticker.tick()
    second.ticker.segments()
    with bench.shell.database.connection() as connection:
        assert segment_desk.known(connection) == []
    first.ticker.segments()
    with bench.shell.database.connection() as connection:
        assert [known.name for known in segment_desk.known(connection)] == ["lookers"]
