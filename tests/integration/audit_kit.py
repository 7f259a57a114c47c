"""Pipelines to audit: healthy ones, and ones whose rows are then broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from engine.core.book import open_book
from engine.model.event import Event
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.runtime.audit import AuditReport, audit
from engine.store.database import Database
from tests.integration.runtime_kit import Pipeline, emptied, pipelines
from tests.unit.core.build import ORDER, at, event, journey, send, stop, view, wait

LEFT = journey(
    wait(hours=2),
    send(template="left"),
    key="event.product_id",
    stops=[stop(ORDER, "key in event.product_ids", goal=True, path="stop/0")],
    name="left-behind",
)
Make = Callable[..., Pipeline]


@contextmanager
def breakable(database: Database) -> Iterator[Make]:
    """Makes pipelines whose tables are then broken on purpose, so nobody checks them."""
    made: list[Pipeline] = []
    emptied(database)

    def make(*journeys: Journey, **more: Any) -> Pipeline:
        made.append(Pipeline(database, journeys or (LEFT,), **more))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


@contextmanager
def healthy(database: Database) -> Iterator[Make]:
    """Makes pipelines whose tables are checked when the test is over."""
    with pipelines(database) as make:
        yield lambda *journeys, **more: make(*(journeys or (LEFT,)), **more)


def known(who: str = "user:1", **more: Any) -> Event:
    return event(
        "Identify",
        at(days=-1),
        who=(who, f"email:{who[5:]}@example.org"),
        kind="identify",
        email=f"{who[5:]}@example.org",
        **more,
    )


def judged(shop: Pipeline, policy: Policy | None = None, **more: Any) -> AuditReport:
    return audit(shop.database, open_book(shop.journeys), policy or shop.policy, **more)


def mailed(make: Make, *journeys: Any, **more: Any) -> Pipeline:
    """A shopper viewed a product, and got the mail about it two hours later."""
    shop = make(*journeys, **more)
    shop.drain(known(), view(product="p1"))
    shop.at(at(hours=2)).wake()
    assert shop.deliver().sent == 1
    return shop


def found(report: AuditReport) -> dict[str, list[str]]:
    """promise -> what was found to break it"""
    kinds: dict[str, list[str]] = {}
    for finding in report.findings:
        kinds.setdefault(finding.promise, []).append(finding.words)
    assert {p: n for p, n in report.promises.items() if n}.keys() == kinds.keys()
    return kinds
