"""A worker's bench on a project of its own: real PostgreSQL and Redis, the settings of a process
that the Procfile starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from rq.serializers import JSONSerializer

from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.store.database import to_json
from workers import jobs
from workers.queues import connect
from workers.worker import BatchWorker


@contextmanager
def bench_of(
    project: Path,
    files: Mapping[str, str],
    database_url: str,
    redis_url: str,
    **environment: str,
) -> Iterator[jobs.Bench]:
    """The bench of the project that consists of ``files``, by path. ``environment``: more
    variables of the process."""
    for name in ("journeys", "config/segments", "templates"):
        (project / name).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "WINBACK_PROJECT_DIR": str(project),
            "WINBACK_HOME": str(project / "var"),
            **environment,
        }.items():
            patched.setenv(name, value)
        jobs.bench.cache_clear()
        made = jobs.bench()
        yield made
        made.deliverer.close()
        made.shell.database.close()
        made.queue.redis.close()
        jobs.bench.cache_clear()


def accept(bench: jobs.Bench, event: Event) -> int:
    """Put an event into the inbox as the collector does; gives its lane."""
    lane = lane_of(event.sender)
    with bench.shell.database.connection() as connection:
        connection.execute(
            """
            insert into inbox (lane, sender, links, name, identifiers, id, time, received_at, body)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                lane,
                event.sender,
                len(event.identifiers) > 1,
                event.name,
                list(event.identifiers),
                event.id,
                event.time,
                event.received_at,
                to_json(event),
            ],
        )
    return lane


def work(bench: jobs.Bench) -> None:
    """What a worker process does, until the queue is dry."""
    worker = BatchWorker(
        [bench.queue.queue],
        connection=connect(bench.settings.redis_url or ""),
        serializer=JSONSerializer,
    )
    worker.work(burst=True, logging_level="WARNING", with_scheduler=False)
    worker.connection.close()
