"""The collector for tests: the real app on a real database, and what it wrote there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import psycopg
from flask import Blueprint, Flask
from werkzeug.serving import make_server

from engine.clock import Clock, ManualClock
from engine.model.event import Event
from engine.model.policy import Policy, Shop
from engine.settings import Settings
from engine.store.database import Database
from engine.web.app import Dependencies, close, create_app

KEY = "shop-key"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

_decoder = msgspec.json.Decoder(Event, float_hook=Decimal)


@contextmanager
def collector(
    url: str,
    *,
    clock: Clock | None = None,
    hint: Callable[[set[int]], None] = lambda lanes: None,
    pages: tuple[Blueprint, ...] = (),
    country: str = "GB",
) -> Iterator[Flask]:
    """The app on the database at ``url``, closed at the end."""
    with Database(url) as database:
        app = create_app(
            Dependencies(
                settings=Settings(project_dir=Path(), home=Path(), write_key=KEY),
                clock=clock or ManualClock(NOW),
                database=database,
                hint=hint,
                policy=Policy(shop=Shop(country=country)),
                pages=pages,
            )
        )
        try:
            yield app
        finally:
            close(app)


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The app on a free port, a thread for each request. Gives its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def accepted(url: str) -> list[Event]:
    """The events in the inbox, in order of arrival, as the drain will read them."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("select body from inbox order by seq").fetchall()
    return [_decoder.decode(row[0]) for row in rows]


def rejected(url: str) -> list[tuple[str, str]]:
    """(reason, body) of what was kept aside."""
    with psycopg.connect(url) as connection:
        return connection.execute("select reason, body from rejected order by id").fetchall()


def counted(url: str) -> int:
    """What the ledger says was accepted."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("select writer, n from ledger where fact = 'accepted'").fetchall()
    assert all(writer.startswith("web:") for writer, _ in rows)
    return sum(n for _, n in rows)
