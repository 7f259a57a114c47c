"""The journeys in force, read again when they change.

Until somebody runs ``winback apply`` they are the project's files, read as they are edited. From
then on they are what was applied last, read from the database, and an edited file changes nothing
until it is applied. The shop's rules (config/winback.yaml) are always the file.

A journey that does not load is reported and left out; the others run (P10). Runs that entered an
older version end on that version, which the database keeps.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from engine.clock import Clock
from engine.core.book import JourneyBook, open_book
from engine.errors import ConfigError
from engine.language import load_journey, load_journeys, load_policy
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.store import journeys as journeys_store
from engine.store import versions as versions_store
from engine.store.database import Database, Unavailable

log = logging.getLogger(__name__)

#: Seconds between two looks. A look costs one query by primary key and a ``stat`` a file.
EVERY = 1.0

Signature = tuple[int | None, tuple[tuple[str, int, int], ...]]


class Shelf:
    """Gives the book and the policy for each batch, from the ``project`` directory and what was
    applied. Safe to share between threads."""

    def __init__(self, database: Database, clock: Clock, project: Path) -> None:
        self._database = database
        self._clock = clock
        self._journeys = project / "journeys"
        self._templates = project / "templates"
        self._config = project / "config" / "winback.yaml"
        self._guard = threading.Lock()
        self._looked = float("-inf")
        self._seen: Signature | None = None
        self._book = JourneyBook()
        self._policy: Policy | None = None
        self._wrong = ""

    def book(self, needed: Iterable[tuple[str, str]] = ()) -> JourneyBook:
        """The journeys in force. ``needed`` versions that are not known yet are taken from the
        database: another process read the edited files first, and runs entered there already."""
        self._look()
        missing = set(needed) - self._book.versions.keys()
        if missing:
            with self._guard:
                self._book = self._with_versions(missing)
        return self._book

    def _with_versions(self, missing: set[tuple[str, str]]) -> JourneyBook:
        with self._database.connection() as connection:
            kept = journeys_store.sources(connection, missing)
        book = self._book
        older = {**book.versions, **_older(kept)}
        return open_book(
            book.current.values(), older, currency=book.currency, timezone=book.timezone
        )

    def policy(self) -> Policy:
        """The shop's rules: the last that loaded without an error, for a mistyped cap must not
        disappear. Raises ``ConfigError`` while there never were any."""
        self._look()
        if self._policy is None:
            raise ConfigError(f"Nothing is sent until this is mended: {self._wrong}")
        return self._policy

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < EVERY:
            return
        with self._guard:
            if now - self._looked < EVERY:
                return
            try:
                signature = self._signature()
                if signature != self._seen:
                    self._read(signature[0])
                    self._seen = signature
            except Unavailable:
                if self._seen is None:
                    raise
                # What was in force is, until the database is back; whoever needs it will say so.
            self._looked = time.monotonic()

    def _signature(self) -> Signature:
        with self._database.connection() as connection:
            stamp = versions_store.stamp(connection)
        files = [self._config, *sorted(self._config.parent.glob("rules/*.yaml"))]
        if stamp is None:
            files += sorted(self._journeys.glob("*.y*ml"))
        found = []
        for file in files:
            if file.exists():
                stat = file.stat()
                found.append((str(file), stat.st_mtime_ns, stat.st_size))
        return stamp, tuple(found)

    def _read(self, stamp: int | None) -> None:
        policy, findings = load_policy(self._config)
        wrong = [str(finding) for finding in findings if finding.severity == "error"]
        if wrong:
            self._wrong = "; ".join(wrong)
        else:
            self._policy = policy
        _report(findings)
        journeys = self._from_files(policy) if stamp is None else self._applied(stamp)
        with self._database.connection() as connection:
            kept = journeys_store.in_flight(connection)
            journeys_store.keep(
                connection, [(j.name, j.version, j.source) for j in journeys], self._clock.now()
            )
        shop = (self._policy or policy).shop
        self._book = open_book(
            journeys, _older(kept), currency=shop.currency, timezone=shop.timezone
        )

    def _from_files(self, policy: Policy) -> list[Journey]:
        found = load_journeys(self._journeys, policy=policy, templates=self._templates)
        _report(found.diagnostics)
        return list(found.journeys.values())

    def _applied(self, stamp: int) -> list[Journey]:
        with self._database.connection() as connection:
            live = versions_store.of(connection, stamp)
            assert live is not None  # sets are never deleted
            kept = journeys_store.sources(connection, live.versions.items())
        if self._seen is None or self._seen[0] != stamp:
            when = f"{live.applied_at:%Y-%m-%d %H:%M} UTC"
            log.info("%d journeys as applied on %s; edited files are not live", len(kept), when)
        return list(_older(kept).values())


def _report(findings: Iterable[Diagnostic]) -> None:
    for finding in findings:
        if finding.severity == "error":
            log.error("%s", finding)


def _older(kept: list[tuple[str, str, str]]) -> dict[tuple[str, str], Journey]:
    older: dict[tuple[str, str], Journey] = {}
    for name, version, source in kept:
        journey, findings = load_journey(source, name)
        if journey is None:
            # Its runs stay where they are, seen and unharmed, until somebody mends this.
            log.error("journey %s version %s no longer loads: %s", name, version, findings[0])
            continue
        if journey.version == version:
            older[name, version] = journey
    return older
