"""The jobs, the queue and the clock, on a real Redis and a real PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rq.job import Job
from rq.serializers import JSONSerializer

from engine.channels.file import read_mailbox
from engine.model.event import Event
from tests.integration.bench_kit import accept, bench_of, work
from workers import jobs
from workers.clock import Ticker
from workers.queues import NAME, WorkQueue, connect

JOURNEY = """
journey: hello
trigger: {event: Product Viewed, key: event.product_id}
stop: {event: Order Completed, goal: true}
steps:
  - send: email
    template: hello
  - wait: 1 hour
  - send: email
    template: hello
"""
RULES = "topics:\n  offers: {consent: opt-out}\n"


@pytest.fixture
def bench(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[jobs.Bench]:
    files = {
        "journeys/hello.yaml": JOURNEY,
        "config/winback.yaml": RULES,
        "templates/hello/email.en.html": "---\nsubject: Hello\n---\n<p>{{ event.name }}</p>"
        '<a href="{{ unsubscribe_url }}">Unsubscribe</a>',
    }
    with bench_of(tmp_path, files, database_url, redis_url) as made:
        yield made


def viewed(number: int = 1, at: datetime | None = None) -> Event:
    now = at or datetime.now(UTC)
    return Event(
        f"view-{number}",
        "track",
        "Product Viewed",
        now,
        now,
        (f"email:shopper{number}@shop.example.org",),
        {"product_id": "p1", "name": "Lamp"},
    )


def names(queue: WorkQueue) -> list[str]:
    return sorted(queue.queue.job_ids)


def mailbox(bench: jobs.Bench) -> int:
    return len(read_mailbox(bench.settings.home, 100))


def test_a_hint_becomes_a_mail_in_one_hop(bench: jobs.Bench) -> None:
    bench.queue.drain(accept(bench, viewed()))
    work(bench)
    assert mailbox(bench) == 1
    assert names(bench.queue) == []


def test_the_clock_finds_what_no_hint_told_and_what_redis_forgot(bench: jobs.Bench) -> None:
    accept(bench, viewed())
    bench.queue.redis.flushall()
    ticker = Ticker(bench.shell, bench.queue)
    assert ticker.tick()
    work(bench)
    assert mailbox(bench) == 1


def test_the_clock_wakes_timers(bench: jobs.Bench) -> None:
    lane = accept(bench, viewed(at=datetime.now(UTC) - timedelta(hours=2)))
    bench.queue.drain(lane)
    work(bench)
    assert mailbox(bench) == 1
    ticker = Ticker(bench.shell, bench.queue)
    ticker.tick()
    assert "wake" in names(bench.queue)
    work(bench)
    assert mailbox(bench) == 2


def test_only_the_clock_with_the_lease_ticks(bench: jobs.Bench) -> None:
    one, other = Ticker(bench.shell, bench.queue), Ticker(bench.shell, bench.queue)
    assert one.tick()
    assert not other.tick()
    assert one.tick()
    with bench.shell.database.connection() as connection:
        connection.execute("update lease set until = now() - interval '1 second'")
    assert other.tick()
    assert not one.tick()


def test_the_clock_has_old_things_forgotten(bench: jobs.Bench) -> None:
    one, other = Ticker(bench.shell, bench.queue), Ticker(bench.shell, bench.queue)
    assert one.tick()
    other.retention()
    assert names(bench.queue) == []
    with bench.shell.database.connection() as connection:
        connection.execute(
            "insert into rejected (received_at, source, reason, body)"
            " select now() - n * interval '60 days', 'collector', 'r', '{}'"
            " from generate_series(0, 2) n"
        )
    one.retention()
    assert names(bench.queue) == ["forget"]
    work(bench)
    with bench.shell.database.connection() as connection:
        assert connection.execute("select count(*) from rejected").fetchone() == (2,)


def test_a_job_is_there_at_most_once(bench: jobs.Bench) -> None:
    for _ in range(3):
        bench.queue.drain(5)
        bench.queue.deliver(1)
        bench.queue.wake()
    assert names(bench.queue) == ["deliver-1", "drain-5", "wake"]


def test_a_failed_job_does_not_block_its_name(bench: jobs.Bench) -> None:
    bench.queue.queue.enqueue_call("workers.jobs.nothing_of_that_name", job_id="drain-3")
    work(bench)
    failed = Job.fetch("drain-3", connection=bench.queue.redis, serializer=JSONSerializer)
    assert failed.is_failed
    bench.queue.drain(3)
    assert names(bench.queue) == ["drain-3"]


def test_the_job_of_a_killed_worker_does_not_block_its_name(bench: jobs.Bench) -> None:
    bench.queue.drain(4)
    job = Job.fetch("drain-4", connection=bench.queue.redis, serializer=JSONSerializer)
    bench.queue.redis.lrem(bench.queue.queue.key, 0, "drain-4")
    # Just taken by a worker: left alone. Taken long ago and never finished: put anew.
    job.started_at = datetime.now(UTC)
    job.set_status("started")
    job.save()
    bench.queue.drain(4)
    assert names(bench.queue) == []
    job.started_at = datetime.now(UTC) - timedelta(seconds=60)
    job.save()
    bench.queue.drain(4)
    assert names(bench.queue) == ["drain-4"]


def test_work_that_came_while_the_job_ended_gets_a_new_job(bench: jobs.Bench) -> None:
    """The hint is refused while the name is taken; the worker looks once more after it let go."""
    lane = accept(bench, viewed(1))
    jobs.look_again(f"drain-{lane}")
    assert names(bench.queue) == [f"drain-{lane}"]


def test_an_unreachable_redis_is_the_clocks_to_survive(bench: jobs.Bench) -> None:
    accept(bench, viewed())
    away = WorkQueue(connect("redis://127.0.0.1:1/0"))
    ticker = Ticker(bench.shell, away)
    started = time.monotonic()
    assert not ticker.tick()
    assert time.monotonic() - started < 10
    assert Ticker(bench.shell, bench.queue).holder != ticker.holder


def test_jobs_hold_ids_only_and_travel_as_json(bench: jobs.Bench) -> None:
    bench.queue.drain(7)
    raw = bench.queue.redis.hget("rq:job:drain-7", "data")
    assert raw is not None
    assert b"workers.jobs.drain" in _inflated(raw)
    assert bench.queue.queue.name == NAME


def _inflated(raw: bytes) -> bytes:
    import zlib

    return zlib.decompress(raw)
