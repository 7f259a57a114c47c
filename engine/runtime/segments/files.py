"""The project's segments, put into force when their files change.

The clock that leads reads them, nobody else: two machines with different files would take turns. A
file with an error stays as it was in force before, for a mistyped rule must not empty an audience.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from engine.clock import Clock
from engine.core.segments import touch_of
from engine.errors import ConfigError
from engine.language.segments import SegmentSet, load_segments, segment_files, setting_of
from engine.model.policy import Policy
from engine.store import segment_desk as desk_store
from engine.store.database import Database

log = logging.getLogger(__name__)

Signature = tuple[object, ...]


class SegmentFiles:
    """Call ``look`` as often as they should be looked at: while nothing changes it costs a ``stat``
    a file."""

    def __init__(
        self, database: Database, clock: Clock, policy: Callable[[], Policy], project: Path
    ) -> None:
        self._database = database
        self._clock = clock
        self._policy = policy
        self._folder = project / "config" / "segments"
        self._seen: Signature | None = None

    def look(self) -> list[str]:
        """Put into force what has changed; gives the segments whose definition is new."""
        try:
            policy = self._policy()
        except ConfigError as error:
            log.error("segments stay as they are: %s", error)
            return []
        signature = self._signature(policy)
        if signature == self._seen:
            return []
        found = load_segments(self._folder, policy=policy)
        for finding in found.diagnostics:
            if finding.severity == "error":
                log.error("%s", finding)
        changed = put_into_force(self._database, self._clock, found)
        if changed:
            log.info("segments with a new definition: %s", ", ".join(changed))
        self._seen = signature
        return changed

    def _signature(self, policy: Policy) -> Signature:
        files = [*segment_files(self._folder), *sorted((self._folder / "lists").glob("*.txt"))]
        stats = []
        for file in files:
            try:
                stat = file.stat()
            except FileNotFoundError:  # deleted just now: the next look sees that
                continue
            stats.append((str(file), stat.st_mtime_ns, stat.st_size))
        return (setting_of(policy), *stats)


def put_into_force(database: Database, clock: Clock, found: SegmentSet) -> list[str]:
    """What the files say, and of those with an error what was said before. Gives the names of the
    segments whose definition is new."""
    wrong = found.names - found.segments.keys()
    with database.connection() as connection:
        changed = desk_store.keep(
            connection,
            [
                (s.name, s.version, s.title, s.source, touch_of(s.rule).scored)
                for s in found.segments.values()
            ],
            clock.now(),
            wrong,
        )
        lists = {name: one.identifiers for name, one in found.lists.items() if one.identifiers}
        if lists != desk_store.lists(connection):
            desk_store.keep_lists(connection, lists)
        return changed
