"""``/healthz`` (this process answers), ``/readyz`` (it can accept), ``/metrics`` (Prometheus).

Redis is no part of being ready: events are accepted without it (P7).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from engine.intake.committer import BUCKETS, Committer
from engine.intake.door import backlog
from engine.web.errors import problem

if TYPE_CHECKING:
    from engine.web.app import Dependencies

logger = logging.getLogger(__name__)


def blueprint(deps: Dependencies, committer: Committer) -> Blueprint:
    """The three addresses."""
    pages = Blueprint("health", __name__)

    def count() -> int:
        with deps.database.connection() as connection:
            return backlog(connection)

    @pages.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @pages.get("/readyz")
    def readyz() -> Response | dict[str, str]:
        try:
            count()
        except Exception as error:
            logger.warning("not ready: %s", error)
            return problem(503, "not_ready", "PostgreSQL cannot be reached or is not migrated.")
        return {"status": "ready"}

    @pages.get("/metrics")
    def metrics() -> Response:
        waiting: int | None = None
        try:
            waiting = count()
        except Exception as error:
            logger.warning("metrics: the inbox cannot be counted: %s", error)
        text = "".join(f"{line}\n" for line in exposition(committer, waiting))
        return Response(text, content_type="text/plain; version=0.0.4; charset=utf-8")

    return pages


def exposition(committer: Committer, inbox: int | None) -> Iterator[str]:
    """Prometheus' text format, version 0.0.4. ``inbox`` None: it could not be counted."""
    counts = committer.counts
    for name, kind, help, value in (
        ("events_accepted_total", "counter", "Events committed to the inbox.", counts.accepted),
        ("events_refused_total", "counter", "Events refused and kept aside.", counts.refused),
        ("events_failed_total", "counter", "Events whose commit failed.", counts.failed),
        ("events_waiting", "gauge", "Events that wait for their commit.", committer.waiting),
        ("inbox_backlog", "gauge", "Accepted events that wait for their drain.", inbox),
    ):
        if value is not None:
            yield f"# HELP winback_{name} {help}"
            yield f"# TYPE winback_{name} {kind}"
            yield f"winback_{name} {value}"
    yield "# HELP winback_commit_seconds How long a group's transaction took."
    yield "# TYPE winback_commit_seconds histogram"
    total = 0
    for bound, count in zip(BUCKETS, counts.buckets, strict=True):
        total += count
        yield f'winback_commit_seconds_bucket{{le="{bound:g}"}} {total}'
    yield f'winback_commit_seconds_bucket{{le="+Inf"}} {counts.commits}'
    yield f"winback_commit_seconds_sum {counts.seconds:.6f}"
    yield f"winback_commit_seconds_count {counts.commits}"
