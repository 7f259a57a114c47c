"""The doctor's look at what was deleted because it was old. Starts nothing to find out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.cli._sending import _running
from engine.model.check import Check
from engine.settings import Settings
from engine.store import retention
from engine.store.database import Database, Unavailable, wait_until_ready
from engine.store.retention import Gone


def examine(settings: Settings) -> Iterator[Check]:
    """Nothing where no database answers: that is another check's finding."""
    url = settings.database_url or _running(settings)
    if not url:
        return
    try:
        wait_until_ready(url, timeout=0)
    except Unavailable:  # said elsewhere
        return
    with Database(url, connections=1) as database, database.connection() as connection:
        gone = retention.gone(connection) if retention.known(connection) else []
    yield from told(gone)


def told(gone: Sequence[Gone]) -> Iterator[Check]:
    """One line for all of it; none where nothing has gone yet."""
    if gone:
        what = ", ".join(f"{one.n:,} {one.kind}" for one in gone)
        last = max(one.at for one in gone)
        yield Check("retention", "ok", f"deleted, for they were old: {what}; last {last:%F %T %Z}")
