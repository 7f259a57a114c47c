"""Hand the audience files over to where their shop wants them: a folder, SFTP, an S3 store.

``engine.runtime.sync`` keeps ``members.csv`` in Winback's home; here it goes out, in its format:

- ``removals-<time>``   who was on the list that was last handed over and must go
- ``additions-<time>``  who was not on it
- ``members``           the whole list

in this order, each whole or not at all. What was last handed over is kept as a file of its own (a
hard link, so that an unchanged list is told by its inode), and the difference is that of the two
lists as they are now: an addition that could not be handed over in time, and whose shopper has
bought since, never goes. A crash before the link is renewed has the same told once more under a
later name, which changes nothing for a list.

Not pure, and cannot be: it is told of files. What a purchase can no longer stop is what is on the
wire, for as long as the place takes; its removal goes with the next hand-over.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Literal, Protocol
from uuid import uuid4

from engine.errors import ConfigError, DeliveryError
from engine.model.audience import AdFile
from engine.runtime.listfile import digest_of, rows_of
from engine.runtime.push import place_of
from engine.runtime.shell import Shell
from engine.runtime.sync import Handed
from engine.store import audience_files as files_store
from engine.store import listing_calls as calls_store
from engine.store import listing_feed as feed_store
from engine.store.listings import locked

#: How long a place that refuses is left alone.
REFUSED = timedelta(minutes=10)


class Place(Protocol):
    """See ``engine.audiences.places``. Raises ``DeliveryError``."""

    def put(self, files: Sequence[tuple[str, Path]]) -> None: ...


#: Write a CSV file as another file, in that format.
Convert = Callable[[Path, Path, Literal["csv", "jsonl", "parquet"]], None]


def want_segment(shell: Shell, ad_file: AdFile) -> None:
    """Want the members of the list's segment on it, unless another process is about it."""
    with locked(shell.database, ad_file.audience) as have, shell.database.connection() as one:
        if have:
            place, now = place_of(ad_file.segment), shell.clock.now()
            feed_store.feed(one, ad_file.audience, ad_file.segment, place, now)


def hand_over(
    shell: Shell,
    home: Path,
    place: Callable[[AdFile], Place],
    convert: Convert,
    *,
    again: bool = False,
) -> list[Handed]:
    """Hand over every list that has changed since it last was, and that no other process is
    handing over. ``place`` may raise ``ConfigError``, which keeps no other list back. A place
    that has just refused is left alone, unless it is to be tried ``again`` now."""
    done: list[Handed] = []
    for name, ad_file in shell.policy().audience_files.items():
        if not ad_file.to:
            continue
        work = _HandOver(shell, ad_file, home / "audiences" / name, convert)
        if not work.changed():
            continue
        with locked(shell.database, name) as have:
            if have and (handed := work.run(place, again)) is not None:
                done.append(handed)
    return done


@dataclass(slots=True)
class _HandOver:
    """One list. ``folder`` is where ``sync`` keeps it."""

    shell: Shell
    ad_file: AdFile
    folder: Path
    convert: Convert

    @property
    def _members(self) -> Path:
        return self.folder / "members.csv"

    @property
    def _last(self) -> Path:
        """What that very place was last given, in that format: another one begins anew."""
        where = f"{self.ad_file.format} {self.ad_file.to}".encode()
        return self.folder / f".handed-{blake2b(where, digest_size=6).hexdigest()}.csv"

    def changed(self) -> bool:
        if not self._members.exists():
            return False
        return not (self._last.exists() and self._last.samefile(self._members))

    def run(self, place: Callable[[AdFile], Place], again: bool) -> Handed | None:
        """None while the place is left alone, or when the list says the same as before."""
        name, now = self.ad_file.audience, self.shell.clock.now()
        with self.shell.database.connection() as connection:
            if not again and files_store.held(connection, name, now):
                return None
        out = self.folder / ".out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(mode=0o700)
        try:
            going = out / "going.csv"
            os.link(self._members, going)
            found = _difference(self._last, going, out)
            if self._last.exists() and not (found.added or found.removed):
                going.replace(self._last)
                return None
            return self._put(place, out, going, found, now)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    def _put(
        self,
        place: Callable[[AdFile], Place],
        out: Path,
        going: Path,
        found: _Difference,
        now: datetime,
    ) -> Handed:
        name, request = self.ad_file.audience, str(uuid4())
        with self.shell.database.connection() as connection:
            files_store.begin(connection, request, name, found.members, now)
        try:
            place(self.ad_file).put(list(self._files(out, going, found, now)))
        except (DeliveryError, ConfigError) as error:
            wait = getattr(error, "retry_after", None) or REFUSED
            with self.shell.database.connection() as connection:
                at = self.shell.clock.now()
                files_store.end(connection, request, at, str(error), failed=True)
                until = at + self.shell.real(wait.total_seconds())
                calls_store.hold(connection, name, until, str(error))
            return Handed(name, problem=str(error))
        going.replace(self._last)
        for old in self.folder.glob(".handed-*.csv"):
            if old != self._last:
                old.unlink()
        with self.shell.database.connection() as connection:
            at = self.shell.clock.now()
            detail = f"added {found.added}, removed {found.removed}"
            files_store.end(connection, request, at, detail, failed=False)
            files_store.release(connection, name)
        return Handed(name, found.members, found.added, found.removed)

    def _files(
        self, out: Path, going: Path, found: _Difference, now: datetime
    ) -> Iterator[tuple[str, Path]]:
        kind = self.ad_file.format
        stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        told = [("removals", found.removed), ("additions", found.added)]
        told = [one for one in told if one[1] and self._last.exists()]
        sources = [(f"{what}-{stamp}.{kind}", out / f"{what}.csv") for what, _ in told]
        for number, (called, source) in enumerate([*sources, (f"members.{kind}", going)]):
            target = out / f"{number}.{kind}"
            self.convert(source, target, kind)
            yield called, target


@dataclass(frozen=True, slots=True)
class _Difference:
    members: int
    added: int
    removed: int


def _difference(old: Path, new: Path, out: Path) -> _Difference:
    """Write who came and who went into ``out``, as CSV files with the heading of ``new``. It
    keeps some 100 bytes a row of the old list."""
    with new.open("rb") as file:
        head = file.readline()
    before = {digest_of(line): False for line in rows_of(old)}
    added = removed = members = 0
    with open(out / "additions.csv", "xb") as additions:
        additions.write(head)
        for line in rows_of(new):
            members += 1
            digest = digest_of(line)
            if digest in before:
                before[digest] = True
            else:
                additions.write(line.encode())
                added += 1
    with open(out / "removals.csv", "xb") as removals:
        removals.write(head)
        for line in rows_of(old):
            if not before[digest_of(line)]:
                removals.write(line.encode())
                removed += 1
    return _Difference(members, added, removed)
