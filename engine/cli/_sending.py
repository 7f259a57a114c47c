"""The doctor's look at what is paused, in trouble or unknown. Starts nothing to find out."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from engine.embedded.postgres import EmbeddedPostgres
from engine.model.check import Check
from engine.settings import Settings
from engine.store import lookups, senders
from engine.store.database import Connection, Database, Unavailable, wait_until_ready
from engine.store.senders import WINBACK


def examine(settings: Settings) -> Iterator[Check]:
    """Nothing where no database answers: that is another check's finding."""
    with connected(settings) as connection:
        if connection is None or not senders.known(connection):  # nothing has run on it yet
            return
        states, pauses = senders.states(connection), senders.pauses(connection)
        unknown = lookups.counts(connection)
    for state in states:
        yield Check(
            f"provider {state.provider}",
            "note" if state.kind == "busy" else "finding",
            f"paused since {state.since:%F %T %Z}, tried again {state.until:%F %T %Z}: "
            f"{state.reason}",
            "" if state.kind == "busy" else f"winback resume provider:{state.provider}",
        )
    for pause in pauses:
        yield Check(
            pause.subject.replace(":", " "),
            "finding" if pause.by == WINBACK else "note",
            f"paused since {pause.since:%F %T %Z} by {pause.by}: {pause.reason}",
            f"winback resume {pause.subject}",
        )
    if unknown.open or unknown.unresolved or unknown.resolved:
        yield Check(
            "unknown outcomes",
            "note" if unknown.open or unknown.unresolved else "ok",
            f"{unknown.open} messages of which no provider has said whether it has them "
            f"({unknown.to_look_up} are still looked up), {unknown.unresolved} closed without an "
            f"answer, {unknown.resolved} resolved",
        )


@contextmanager
def connected(settings: Settings) -> Iterator[Connection | None]:
    """The shop's database as it is, None where none answers."""
    url = settings.database_url or _running(settings)
    if url:
        try:
            wait_until_ready(url, timeout=0)
        except Unavailable:  # said elsewhere
            url = ""
    if not url:
        yield None
        return
    with Database(url, connections=1) as database, database.connection() as connection:
        yield connection


def _running(settings: Settings) -> str:
    """The address of the database of the `winback up` that runs here, "" if none does."""
    server = EmbeddedPostgres(settings.home / "postgres")
    if not (server.data / "PG_VERSION").exists() or not (settings.home / "lock").exists():
        return ""
    with open(settings.home / "lock", "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return server.url
    return ""
