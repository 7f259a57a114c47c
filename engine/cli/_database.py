"""The database that a command looks into."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from engine.embedded.postgres import EmbeddedPostgres
from engine.errors import ConfigError
from engine.settings import Settings


@contextmanager
def answering(settings: Settings) -> Iterator[Settings]:
    """Settings with the address of a database that answers: yours; else that of the `winback up`
    that runs here; else the one that it left, started for the while."""
    if settings.database_url is not None:
        yield settings
        return
    server = EmbeddedPostgres(settings.home / "postgres")
    if not (server.data / "PG_VERSION").exists():
        raise ConfigError(
            f"There is no database in {settings.home} yet: run `winback up` first, or set "
            "DATABASE_URL to the one you mean."
        )
    with open(settings.home / "lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # held by the `winback up` that runs it
            yield replace(settings, database_url=server.url)
            return
        try:
            server.start()
            yield replace(settings, database_url=server.url)
        finally:
            server.stop()
