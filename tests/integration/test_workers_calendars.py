"""The clock, the queue and a worker: from a calendar that is reached to the mail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.channels.file import read_mailbox
from engine.clock import ManualClock
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.store import inbox
from tests.integration.bench_kit import bench_of, work
from workers import jobs
from workers.clock import Ticker

NOW = datetime(2026, 3, 2, 8, 59, tzinfo=UTC)
JOURNEY = """
journey: birthday
trigger: {date: profile.birthday, yearly: true, again: always}
stop: {event: Order Completed, goal: true}
steps:
  - emit: {event: Birthday Greeted}
  - send: email
    template: hello
"""


@pytest.fixture
def bench(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[jobs.Bench]:
    """At one minute to nine."""
    files = {
        "journeys/birthday.yaml": JOURNEY,
        "config/winback.yaml": "topics:\n  offers: {consent: opt-out}\n",
        "templates/hello/email.en.html": "---\nsubject: Hello\n---\n<p>{{ event.date }}</p>"
        '<a href="{{ unsubscribe_url }}">Unsubscribe</a>',
    }
    with bench_of(tmp_path, files, database_url, redis_url) as made:
        made.shell.clock = ManualClock(NOW)
        yield made


def test_from_the_calendar_to_the_mail(bench: jobs.Bench) -> None:
    born = Event(
        "born",
        "identify",
        "Identify",
        NOW - timedelta(days=5),
        NOW,
        ("user:1", "email:a@shop.example"),
        {"birthday": "1990-03-02"},
    )
    with bench.shell.database.connection() as connection:
        line = inbox.event_line(born, lane_of(born.sender))
        inbox.write(connection, [line], writer="web:test")
    ticker = Ticker(bench.shell, bench.queue)
    ticker.calendars()
    assert bench.queue.queue.job_ids == []  # another clock may hold the lease: this one does not
    assert ticker.tick()
    ticker.calendars()
    work(bench)
    ticker.calendars()
    assert bench.queue.queue.job_ids == []  # nobody can have reached it yet

    assert isinstance(bench.shell.clock, ManualClock)
    bench.shell.clock.move_to(NOW + timedelta(minutes=1, seconds=2))
    ticker.calendars()
    assert bench.queue.queue.job_ids == ["calendars"]
    work(bench)  # the event, the run, what it emits, and only then the mail
    (letter,) = read_mailbox(bench.settings.home, 10)
    assert "2026-03-02" in letter.html
    with bench.shell.database.connection() as connection:
        rows = connection.execute("select name, time from event order by name").fetchall()
    nine = NOW + timedelta(minutes=1)
    assert rows == [
        ("Birthday Greeted", nine),
        ("Calendar Reached", nine),
        ("Identify", NOW - timedelta(days=5)),
    ]
