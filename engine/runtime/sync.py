"""Write the ad audiences that changed to files that the shop uploads.

For ``google/left-behind``, under ``<home>/audiences/google/left-behind``:

- ``members.csv``             the whole list as it is now; upload it with "replace"
- ``removals-<time>.csv``     who was on the last file and must go
- ``additions-<time>.csv``    who was not on the last file; upload removals first

What the platform was last told is the old ``members.csv`` itself, not a column in the
database: the new rows are compared with the old ones, so a changed address, a merged or an
erased profile leaves under the very hashes it was listed with. The database only remembers
which runs the file speaks for.

A crash at any point is mended by running again. The change files are in place before
``members.csv`` is, and ``members.csv`` before the database commits. Stopped before the second
rename: the same changes are written once more under a later name, and adding a member or
removing one twice is the same as once. Stopped before the commit: the files are found to be
right already and only the rows are marked.

Not pure, and cannot be: whether a stop was accepted (P3) is asked of the inbox just before
each batch of additions is written. What remains is the time from that question to the rename.
One sync keeps about 100 bytes a listed member (the digests of the old rows) and works some
25 µs a member, most of it on reading phone numbers; so run it by the minute, not the second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Literal, Protocol
from uuid import UUID

from engine.clock import Clock
from engine.model.adlaw import may_be_told
from engine.model.audience import AdFile
from engine.model.policy import Policy
from engine.runtime.listfile import NewFile, digest_of, rows_of

BATCH = 500
#: How often a list is written though nothing tells of a change: a new address, an erased profile.
DAILY = timedelta(days=1)

_COUNTS = ("members", "added", "removed", "held", "unusable", "unasked")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class Membership(Protocol):
    """A profile's place on an audience; see ``engine.store.audiences``."""

    @property
    def profile_id(self) -> int: ...
    @property
    def traits(self) -> dict[str, Any]: ...
    @property
    def stays(self) -> bool: ...
    @property
    def yes(self) -> bool: ...
    @property
    def coming(self) -> list[UUID]: ...
    @property
    def leaving(self) -> list[UUID]: ...
    @property
    def staying(self) -> list[UUID]: ...


Rows = Sequence[tuple[int, UUID]]


class Book(Protocol):
    """The audience tables, within one transaction."""

    def due(self) -> list[str]: ...
    def all(self) -> list[str]: ...
    def stale(self, before: datetime) -> list[str]: ...
    def written(self, audience: str, at: datetime, members: int) -> None: ...
    def lock(self, audience: str) -> bool: ...
    def listed(self, audience: str) -> Iterator[Membership]: ...
    def others(self, audience: str, also: Sequence[int]) -> Iterator[Membership]: ...
    def mark(
        self, audience: str, at: datetime, *, on: Rows = (), off: Rows = (), unusable: Rows = ()
    ) -> None: ...


class Platform(Protocol):
    """An ad platform's file format; see ``engine.audiences``."""

    @property
    def header(self) -> str: ...
    def told(
        self, profile_id: int, traits: Mapping[str, Any], region: str
    ) -> tuple[str | None, str]: ...


class Database(Protocol):
    def connection(self) -> AbstractContextManager[Any]: ...


#: The fence of P3: of these profiles, those for whom an accepted but undrained event could
#: stop a run. Called with the connection of the transaction, so that it sees what is committed.
Held = Callable[[Any, list[int]], set[int]]


@dataclass(frozen=True, slots=True)
class AudienceSync:
    """What one audience's new file says. ``held``: kept back by an event not yet worked;
    they come with the next run. ``unusable``: no email or phone the platform could know;
    ``unasked``: the law of their country wants a yes, and they have not said it."""

    audience: str
    members: int
    added: int
    removed: int
    held: int
    unusable: int
    unasked: int


@dataclass(frozen=True, slots=True)
class Handed:
    """What one audience's hand-over said. ``problem``: why it could not, "" if it could."""

    audience: str
    members: int = 0
    added: int = 0
    removed: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """``problems`` tells in words which audiences could not be written, and what to do;
    ``handed`` which lists went to their places."""

    audiences: tuple[AudienceSync, ...] = ()
    problems: tuple[str, ...] = ()
    handed: tuple[Handed, ...] = ()


def sync_audiences(
    database: Database,
    directory: Path,
    clock: Clock,
    policy: Policy,
    *,
    book: Callable[[Any, Literal["opt-in", "opt-out"]], Book],
    platforms: Mapping[str, Platform],
    held: Held,
    feed: Callable[[AdFile], None] = lambda _: None,
    everything: bool = False,
) -> SyncReport:
    """Bring the files of every audience with changes up to date, one transaction each.

    ``directory`` is Winback's home. ``feed`` is to want the members of its segment on a list.
    ``everything`` rewrites the lists without changes too,
    which finds new addresses and late permissions; meant for once a day. An audience that
    another process is writing is left to it. One that cannot be written is reported and does
    not keep the others back.
    """
    for ad_file in policy.audience_files.values():
        if ad_file.segment:
            feed(ad_file)
    with database.connection() as connection:
        store = book(connection, policy.ads_consent)
        names = store.all() if everything else store.due()
        names = sorted({*names, *store.stale(clock.now() - DAILY)})
    names = [name for name in names if name not in policy.audiences]  # these go by API
    done: list[AudienceSync] = []
    problems: list[str] = []
    for name in names:
        platform_name, _, list_name = name.partition("/")
        platform = platforms.get(platform_name)
        if platform is None or not _NAME.fullmatch(list_name):
            problems.append(
                f"audience {name!r} is not written: name it PLATFORM/NAME in the journey, with "
                f"a platform of {', '.join(sorted(platforms))} and a name of small letters, "
                "digits and hyphens"
            )
            continue
        folder = directory / "audiences" / platform_name / list_name
        try:
            with database.connection() as connection:
                store = book(connection, policy.ads_consent)
                if store.lock(name):
                    work = _Sync(name, folder, platform, policy.shop.country, clock.now())
                    done.append(work.run(store, partial(held, connection)))
                    store.written(name, clock.now(), done[-1].members)
        except OSError as error:
            problems.append(
                f"audience {name!r} is not written: {error.strerror or error} "
                f"({error.filename or folder}); make room or mend the folder, it is tried again"
            )
    return SyncReport(tuple(done), tuple(problems))


@dataclass(slots=True)
class _Sync:
    """One audience's turn."""

    audience: str
    folder: Path
    platform: Platform
    region: str
    now: datetime
    old: dict[bytes, bool] = field(default_factory=dict)  # digest of a row -> is it still there
    fresh: set[bytes] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))

    def run(self, book: Book, held: Callable[[list[int]], set[int]]) -> AudienceSync:
        self.folder.mkdir(parents=True, exist_ok=True)
        members = self.folder / "members.csv"
        known = members.exists()
        self.old = {digest_of(line): False for line in rows_of(members)}
        orphans: list[str] = []
        header = self.platform.header
        with (
            NewFile(members, header) as new_list,
            NewFile(self._change_file("additions"), header) as additions,
            NewFile(self._change_file("removals"), header) as removals,
        ):
            again = self._keep(book, new_list, orphans)
            new_list.sync()
            for batch in _batches(book.others(self.audience, again), BATCH):
                self._add(book, batch, held, new_list, additions)
            gone = chain(rows_of(members), () if known else orphans)
            self._remove(gone, removals)
            # In this order: see the module's docstring on crashes.
            removals.publish(only_if_filled=True)
            additions.publish(only_if_filled=True)
            new_list.publish()
        return AudienceSync(self.audience, **self.counts)

    def _keep(self, book: Book, new_list: NewFile, orphans: list[str]) -> list[int]:
        """Carry over the rows that were on the last file and stay. Gives the profiles whose
        row there reads differently by now: for the platform they are additions."""
        again: list[int] = []
        for batch in _batches(book.listed(self.audience), BATCH):
            on: list[tuple[int, UUID]] = []
            off: list[tuple[int, UUID]] = []
            unusable: list[tuple[int, UUID]] = []
            for m in batch:
                line, allowed = self._line(m)
                off += _rows(m, m.leaving)
                if line is not None and allowed and digest_of(line) in self.old:
                    self._write(line, new_list)
                    on += _rows(m, m.coming)
                elif line is not None and allowed:
                    again.append(m.profile_id)
                else:
                    if line is not None:
                        orphans.append(line)
                    if m.stays:
                        unusable += _rows(m, m.coming + m.staying)
                    else:
                        off += _rows(m, m.staying)
            book.mark(self.audience, self.now, on=on, off=off, unusable=unusable)
        return again

    def _add(
        self,
        book: Book,
        batch: list[Membership],
        held: Callable[[list[int]], set[int]],
        new_list: NewFile,
        additions: NewFile,
    ) -> None:
        on: list[tuple[int, UUID]] = []
        off: list[tuple[int, UUID]] = []
        unusable: list[tuple[int, UUID]] = []
        lines = [(m, *self._line(m)) for m in batch]
        fenced = held([m.profile_id for m in batch])
        for m, line, allowed in lines:
            if line is None or (m.stays and not allowed):
                self.counts["unusable" if line is None else "unasked"] += 1
                unusable += _rows(m, m.coming + m.staying)
            elif m.profile_id in fenced or not m.stays:
                self.counts["held"] += 1
                off += _rows(m, m.staying)
            else:
                on += _rows(m, m.coming)
                digest = digest_of(line)
                if digest not in self.old and digest not in self.fresh:
                    self.fresh.add(digest)
                    additions.write(line)
                    new_list.write(line)
                    self.counts["added"] += 1
                    self.counts["members"] += 1
                elif digest in self.old:
                    self._write(line, new_list)
        book.mark(self.audience, self.now, on=on, off=off, unusable=unusable)

    def _remove(self, candidates: Iterable[str], removals: NewFile) -> None:
        for line in candidates:
            digest = digest_of(line)
            if self.old.get(digest) or digest in self.fresh:
                continue
            self.old[digest] = True
            removals.write(line)
            self.counts["removed"] += 1

    def _change_file(self, kind: str) -> Path:
        """A name not yet taken, even when the clock stands still."""
        stamp = self.now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        names = chain([f"{kind}-{stamp}.csv"], (f"{kind}-{stamp}-{n}.csv" for n in count(2)))
        return next(path for name in names if not (path := self.folder / name).exists())

    def _write(self, line: str, new_list: NewFile) -> None:
        """Once each: two profiles may share the one address that a platform knows them by."""
        digest = digest_of(line)
        if not self.old[digest]:
            self.old[digest] = True
            new_list.write(line)
            self.counts["members"] += 1

    def _line(self, m: Membership) -> tuple[str | None, bool]:
        """The member's line, and whether it may stay or come."""
        line, law = self.platform.told(m.profile_id, m.traits, self.region)
        return line, m.stays and may_be_told(law, m.yes)


def _rows(m: Membership, enrollments: list[UUID]) -> list[tuple[int, UUID]]:
    return [(m.profile_id, enrollment) for enrollment in enrollments]


def _batches(items: Iterator[Membership], size: int) -> Iterator[list[Membership]]:
    while batch := list(islice(items, size)):
        yield batch
