"""What the tests stand on: one PostgreSQL and one Redis per test process, a fresh database each.

``DATABASE_URL`` and ``REDIS_URL`` of the caller are never touched: the tests start their own.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import psycopg
import pytest
import redis as redis_client
from psycopg.conninfo import conninfo_to_dict

from engine.embedded.postgres import temporary_postgres
from engine.embedded.redis import temporary_redis

_numbers = itertools.count(1)


@pytest.fixture(autouse=True, scope="session")
def _own_environment() -> None:
    """No setting of whoever runs the tests decides how they end."""
    for name in list(os.environ):
        if name.startswith(("WINBACK_", "SENDGRID_", "TWILIO_")) or name in (
            "DATABASE_URL",
            "REDIS_URL",
        ):
            del os.environ[name]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server; for a database to write into take ``database_url``."""
    with temporary_postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def _template(postgres_url: str) -> str:
    from engine.store.database import migrate

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("create database template_winback")
    migrate(_url_of(postgres_url, "template_winback"))
    return "template_winback"


@pytest.fixture
def database_url(postgres_url: str, _template: str) -> Iterator[str]:
    """A fresh, migrated database of this test alone, dropped after it."""
    name = f"winback_{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {_template}")
        try:
            yield _url_of(postgres_url, name)
        finally:
            connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    with temporary_redis() as server:
        yield server.url


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """An empty Redis."""
    with redis_client.Redis.from_url(_redis_server) as client:
        client.flushall()
    return _redis_server


def _url_of(server: str, database: str) -> str:
    """The URL of another database on the same (socket) server."""
    socket = conninfo_to_dict(server)["host"]
    return f"postgresql://postgres:@/{database}?host={socket}"
