"""Where the bench plays: PostgreSQL and Redis of its own in a directory that goes with it.

They are started as ``winback up`` starts them, so a commit waits for the disk here too.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import redis as redis_client
import urllib3

from engine.bench.recipe import KEY
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.program import Program
from engine.embedded.redis import EmbeddedRedis
from engine.embedded.supervisor import Supervisor, web_command
from engine.errors import WinbackError
from engine.settings import Settings
from engine.store.database import Database, migrate

_TEMPLATE = "bench_template"
_READY_SECONDS = 30.0


class Stage:
    """A context manager. ``home`` is the directory, gone at the end."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="winback-bench-"))
        self.said: deque[str] = deque(maxlen=200)
        self._postgres = EmbeddedPostgres(self.home / "postgres")
        self._redis = EmbeddedRedis(self.home)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Stage:
        try:
            self._postgres.start()
            self._redis.start()
            with Database(self._postgres.url, connections=1) as database:
                _run(database, f"create database {_TEMPLATE}")
            migrate(self._url(_TEMPLATE))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    @property
    def redis_url(self) -> str:
        return self._redis.url

    @contextmanager
    def database(self) -> Iterator[Database]:
        """A fresh, migrated database, and an empty Redis. What the one before left to be written
        to disk is written first: it is not this one's burden."""
        name = f"bench_{next(self._numbers)}"
        with redis_client.Redis.from_url(self._redis.url) as client:
            client.flushall()
        with Database(self._postgres.url, connections=1) as server:
            _run(server, f"create database {name} template {_TEMPLATE}")
            _run(server, "checkpoint")
            try:
                with Database(self._url(name), connections=8) as database:
                    yield database
            finally:
                _run(server, f"drop database {name} with (force)")

    def settings(self, database: Database, shop: Path, *, smtp_port: int = 0) -> Settings:
        """What the processes of a measurement are told."""
        port = free_port()
        return Settings(
            project_dir=shop,
            home=self.home / "run",
            port=port,
            public_url=f"http://127.0.0.1:{port}",
            write_key=KEY,
            secret="the-secret-of-the-bench",
            database_url=database.url,
            redis_url=self._redis.url,
            smtp_host="127.0.0.1" if smtp_port else "",
            smtp_port=smtp_port or 25,
        )

    @contextmanager
    def everything(self, settings: Settings, *, workers: int = 2) -> Iterator[Supervisor]:
        """Web, workers and clock, as ``winback up`` runs them."""
        with Supervisor(settings, workers=workers, say=self._hear) as running:
            yield running

    @contextmanager
    def web(self, settings: Settings, app: str = "workers.web:app") -> Iterator[int]:
        """Only the web server, as ``winback up`` starts it, with ``app`` in it; gives its port."""
        settings = replace(settings, port=free_port())
        command = [*web_command("127.0.0.1", settings.port)[:-1], app]
        program = Program(
            command,
            env=os.environ | settings.to_environment(),
            cwd=settings.project_dir,
            say=lambda line: self._hear("web", line),
        )
        program.start()
        try:
            self._wait_for(program, settings.port)
            yield settings.port
        finally:
            program.ask_to_stop()
            program.stop()

    def _wait_for(self, program: Program, port: int) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        with urllib3.PoolManager(retries=False, timeout=2.0) as http:
            while program.running() and time.monotonic() < deadline:
                with suppress(urllib3.exceptions.HTTPError):
                    if http.request("GET", f"http://127.0.0.1:{port}/healthz").status == 200:
                        return
                time.sleep(0.05)
        raise WinbackError("the web server did not start:\n" + "\n".join(program.lines))

    def _hear(self, name: str, line: str) -> None:
        self.said.append(f"{name:>9} | {line}")

    def _url(self, name: str) -> str:
        return self._postgres.url.replace("/postgres?", f"/{name}?")

    def _end(self) -> None:
        self._redis.stop()
        self._postgres.stop()
        shutil.rmtree(self.home, ignore_errors=True)


def _run(database: Database, command: str) -> None:
    """A command that must stand outside of a transaction."""
    with database.connection() as connection:
        connection.autocommit = True
        try:
            connection.execute(command)
        finally:
            connection.autocommit = False


def run_sql(database: Database, commands: Sequence[str]) -> None:
    """Commands in one transaction, then what autovacuum would have done by and by."""
    with database.connection() as connection:
        for command in commands:
            connection.execute(command)
    _run(database, "vacuum analyze")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
