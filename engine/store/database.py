"""Connections and migrations."""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg
import psycopg_pool
from psycopg import errors as pg
from psycopg.types.json import set_json_dumps, set_json_loads
from yoyo import get_backend, read_migrations

MIGRATIONS = Path(__file__).parent / "migrations"

Connection = psycopg.Connection[tuple[Any, ...]]

#: The database is away, or was restarted: nothing is lost, come back later.
Unavailable = psycopg.OperationalError

#: Another worker was first; its work is committed, so a fresh start finds it.
START_AGAIN = (pg.UniqueViolation, pg.DeadlockDetected, pg.SerializationFailure)

#: psycopg announces every broken connection; the callers say what it meant.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

_encoder = msgspec.json.Encoder(decimal_format="number")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def to_json(value: Any) -> str:
    """JSON text of a value; Decimals as numbers, so that jsonb keeps them exact."""
    return _encoder.encode(value).decode()


def from_json(text: str | bytes) -> Any:
    """The value of a JSON text; numbers with a fraction as Decimal, never float."""
    return _decoder.decode(text)


set_json_dumps(to_json)
set_json_loads(from_json)


class Database:
    """A pool of connections to one shop's PostgreSQL.

    ``connection()`` gives one for a ``with`` block, commits at its end and rolls back on an
    exception. A connection that PostgreSQL dropped is replaced before it is handed out.
    """

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self.url = url
        self._pool = psycopg_pool.ConnectionPool(
            url,
            min_size=0,
            max_size=connections,
            open=False,
            check=_check,
            kwargs={"prepare_threshold": 2},
            timeout=5,
            reconnect_timeout=5,
            name="winback",
        )
        self._pool.open()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with self._pool.connection() as connection:
            yield connection

    @contextmanager
    def probing(self) -> Iterator[Connection]:
        """A connection for the hot path, whose statements touch a few rows each, of tables that
        are empty one second and full the next. A plan made while a table was empty reads the
        whole of it for ever after: measured, 8 to 160 ms for the gate's look into the inbox,
        against 0.2 ms by its indexes. So here tables are not scanned; it costs a round trip."""
        with self.connection() as connection:
            connection.execute("set local enable_seqscan = off")
            yield connection

    def close(self) -> None:
        self._pool.close(timeout=2)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _check(connection: Connection) -> None:
    """Whether PostgreSQL is still there. A server that dropped us has closed the socket, which
    then has something to read; only then is it asked, which costs a round trip."""
    if select.select([connection], [], [], 0)[0]:
        psycopg_pool.ConnectionPool.check_connection(connection)


def migrate(url: str) -> int:
    """Bring the schema up to date. Gives the number of migrations applied; safe to run from
    several processes at once (yoyo takes a lock in the database)."""
    backend = get_backend(_yoyo_url(url))
    try:
        migrations = read_migrations(str(MIGRATIONS))
        with backend.lock():
            todo = backend.to_apply(migrations)
            backend.apply_migrations(todo)
            return len(todo)
    finally:
        backend.connection.close()


def wait_until_ready(url: str, timeout: float = 30.0) -> None:
    """Block until PostgreSQL answers. Raises its error after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            psycopg.connect(url, connect_timeout=3).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _yoyo_url(url: str) -> str:
    """The same database in the form yoyo reads (its psycopg 3 driver; a socket folder as
    ``unix_socket``)."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError(f"DATABASE_URL must begin with postgresql://, not {parts.scheme}://")
    return parts._replace(scheme="postgresql+psycopg").geturl()


def ids(values: Iterable[int] | Iterable[str]) -> str:
    """Numbers or UUIDs as the text of a PostgreSQL array: for thousands of them psycopg's own
    lists cost ten times as much."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Iterable[str]) -> str:
    """Texts as the text of a PostgreSQL array."""
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    return '{"' + '","'.join(quoted) + '"}' if quoted else "{}"
