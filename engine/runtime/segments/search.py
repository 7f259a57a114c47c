"""Going through all shoppers for segments whose definition is new, or which somebody wants checked.

A batch is a transaction that also notes how far the search has come, so a worker that dies loses
nothing. Its shoppers are locked, as a drain locks them: whoever comes second finds what the first
wrote, and decides by the definition that then is in force.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from engine.core.segments import Change, Standing, look_now
from engine.model.segment import Scale
from engine.runtime.segments import load
from engine.runtime.segments.write import report, write
from engine.runtime.shell import Shell
from engine.store import segment_desk as desk_store
from engine.store import segments as segments_store

log = logging.getLogger(__name__)

#: Shoppers in a batch: they are locked for as long as it takes, some 50 ms.
BATCH = 500
#: How old the limits of RFM scores become before they are measured anew.
SCALE_AGE = timedelta(days=1)
_WRITER = "fill"
#: As far as profile ids go.
LAST = 2**63 - 1


@dataclass(slots=True)
class Searched:
    """What a search did: shoppers ``seen``, rows that were ``mended`` or new, events ``emitted``;
    ``place`` it has come to, None once nothing is left to search. ``busy``: another worker has it.
    """

    seen: int = 0
    mended: int = 0
    emitted: int = 0
    place: int | None = None
    busy: bool = False


def to_do(shell: Shell) -> bool:
    """Whether there is a search to go on with, or something to clear away or to measure."""
    with shell.database.connection() as connection:
        return desk_store.to_do(connection, shell.clock.now() - SCALE_AGE)


def work(shell: Shell, seconds: float, batch: int = BATCH) -> Searched:
    """Go on with all that is to be done, for about ``seconds`` of real time."""
    deadline = time.monotonic() + seconds
    measure(shell)
    done = Searched()
    while time.monotonic() < deadline:
        with shell.database.connection() as connection:
            cleared = desk_store.clear_away(connection)
        some = search(shell, batch)
        done.seen += some.seen
        done.mended += some.mended
        done.emitted += some.emitted
        done.place, done.busy = some.place, some.busy
        if not cleared and (some.place is None or some.busy):
            break
    return done


def measure(shell: Shell, names: Collection[str] | None = None) -> None:
    """Find out anew where the fifths of all buyers begin, for segments (``names``: these) that were
    told so too long ago. All of them go by the same scale."""
    now = shell.clock.now()
    with shell.database.connection() as connection:
        due = desk_store.scale_due(connection, now - SCALE_AGE)
        if names is not None:
            due = [name for name in due if name in names]
        if not due:
            return
        found = desk_store.fifths(connection, shell.book().currency, now)
        scale = None
        if found is not None:
            scale = Scale(
                tuple(timedelta(microseconds=int(limit)) for limit in found["recency"]),
                tuple(Decimal(limit) for limit in found["frequency"]),
                tuple(Decimal(limit) for limit in found["monetary"]),
            ).to_json()
        desk_store.put_scale(connection, due, scale, now)


def search(shell: Shell, batch: int = BATCH, only: Collection[str] | None = None) -> Searched:
    """Look at the next ``batch`` of shoppers, for all segments (``only``: these) of which the
    search has come as far."""
    with shell.database.connection() as connection:
        if not desk_store.under_way(connection, only):
            return Searched()
        found = desk_store.lock_search(connection, only)
        if found is None:
            return Searched(busy=True, place=-1)
        profiles, place = desk_store.next_profiles(connection, found.place, found.until, batch)
        now = shell.clock.now()
        # Read after the lock: a drain that held one of them has written.
        book = shell.segments.open(found.segments)
        names = sorted(book.every)
        standings: dict[int, dict[str, Standing]] = {profile.id: {} for profile in profiles}
        rows = segments_store.standings(connection, standings, names, None)
        for row in rows:
            standings[row.profile_id][row.segment] = Standing(row.member, row.since, row.look_at)
        before = {id: dict(mine) for id, mine in standings.items()}
        by_id = {profile.id: profile for profile in profiles}
        changes: list[Change] = []
        subjects = load.subjects(connection, book, names, by_id, now) if by_id else {}
        for id, subject in subjects.items():
            changes += look_now(book, subject, standings[id], names, now)
        report(subjects)
        quiet = {one.name for one in found.segments if one.quiet}
        zone = shell.book().timezone
        told = [change for change in changes if change.segment not in quiet]
        emitted = write(connection, before, standings, told, now, _WRITER, zone)
        desk_store.searched(connection, [one.name for one in found.segments], place, now)
        return Searched(len(profiles), len(changes), emitted, place)


def progress(place: int | None) -> float:
    """How much of a search is done, from 0 to 1: ids are spread evenly."""
    return 1.0 if place is None else max(place, 0) / LAST
