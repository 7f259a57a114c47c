"""Recorded events: JSON Lines in Segment form, plain or gzipped, in the order they happened."""

from __future__ import annotations

import gzip
import heapq
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import IO, Any

import msgspec

from engine.errors import WinbackError
from engine.intake.excerpt import Excerpt
from engine.intake.segment import read_recorded
from engine.intake.times import EARLIEST, time_of
from engine.model.event import Event

#: Bytes of lines that are put in order in memory; a file with more, in pieces on the disk.
PIECE = 64 * 1024 * 1024


class RecordingError(WinbackError):
    """A recording cannot be read."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that holds no event: where, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a recording; ``-`` is standard input. Raises ``RecordingError``."""
    try:
        if str(path) == "-":
            yield sys.stdin.buffer
        elif path.suffix == ".gz":
            with gzip.open(path, "rb") as stream:
                yield stream  # type: ignore[misc]
        else:
            with path.open("rb") as stream:
                yield stream
    except (OSError, EOFError) as error:
        raise RecordingError(f"{path}: {error}") from error


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line number, line) of what is not blank."""
    with opened(path) as stream:
        for number, line in enumerate(stream, 1):
            if text := line.strip():
                yield number, text


def events(
    paths: list[Path], received_at: datetime, region: str, bad: list[BadLine]
) -> Iterator[Event]:
    """The events of recordings, one after another. A line that holds none is put into ``bad``.

    ``received_at`` must not lie before the recording's end: an event of the future is taken to
    have happened when it was received.
    """
    for path in paths:
        for number, line in lines(path):
            try:
                yield read_recorded(line, received_at, region)
            except ValueError as error:
                bad.append(BadLine(str(path), number, str(error)))


#: (line number, line)
Line = tuple[int, bytes]


class _When(msgspec.Struct, gc=False):
    timestamp: Any = None
    originalTimestamp: Any = None


@dataclass(slots=True)
class Ordered:
    """Recordings, each event in its time, however the lines stand in the files.

    Every file is read once beforehand, for the order and the number of its lines (``total``).
    One that is out of order is put in order, in ``scratch`` where it is large. So memory does not
    grow with the recording. The same event twice at the same time counts once (P2); how often,
    is in ``repeated``. ``named`` gives the file that the user knows for a file made of it.
    """

    scratch: Path
    received_at: datetime
    named: dict[Path, str] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)
    repeated: int = 0
    total: int = 0
    _parts: list[tuple[str, Callable[[], Iterable[Line]]]] = field(default_factory=list)
    _decode: Callable[[bytes], _When] = field(default=msgspec.json.Decoder(_When).decode)

    def add(self, path: Path) -> None:
        """Take in a recording; ``-`` is standard input. Raises ``RecordingError``."""
        name = self.named.get(path, str(path))
        if str(path) == "-":
            path = self.scratch / "stdin.jsonl"
            with opened(Path("-")) as stream, path.open("wb") as copy:
                copy.writelines(stream)
        count, last, ordered = 0, EARLIEST, True
        for _, line in lines(path):
            count += 1
            at = self._when(line, last)
            ordered = ordered and at >= last
            last = at
        self.total += count
        if ordered:
            self._parts.append((name, lambda: lines(path)))
        else:
            self._sort(name, path)

    def events(self, excerpt: Excerpt) -> Iterator[Event]:
        """All events by (time, id). Lines that hold none are in ``bad`` afterwards."""
        streams = [self._read(name, part(), excerpt) for name, part in self._parts]
        merged = streams[0] if len(streams) == 1 else heapq.merge(*streams, key=attrgetter("time"))
        same: list[Event] = []  # those of one moment, whose ids decide
        for event in merged:
            if same and same[0].time != event.time:
                yield from self._moment(same)
                same = []
            same.append(event)
        yield from self._moment(same)

    def _moment(self, same: list[Event]) -> Iterable[Event]:
        if len(same) < 2:
            return same
        once = {event.id: event for event in reversed(same)}
        self.repeated += len(same) - len(once)
        return [once[id] for id in sorted(once)]

    def _read(self, name: str, part: Iterable[Line], excerpt: Excerpt) -> Iterator[Event]:
        read, last = excerpt.read, EARLIEST
        for number, line in part:
            try:
                event = read(line, number)
            except ValueError as error:
                self.bad.append(BadLine(name, number, str(error)))
                continue
            if event.time < last:
                raise RecordingError(f"{name} has changed while it was read: start again.")
            last = event.time
            yield event

    def _when(self, line: bytes, before: datetime) -> datetime:
        """The time of a line, as its event will have it; of one that is none, ``before``."""
        try:
            found = self._decode(line)
        except ValueError:
            return before
        given = found.originalTimestamp if found.timestamp is None else found.timestamp
        return time_of(given, None, self.received_at)[0]

    def _sort(self, name: str, path: Path) -> None:
        """Put a file in order, in pieces that are each read in order later."""
        piece: list[tuple[datetime, Line]] = []
        size, last = 0, EARLIEST
        made: list[Path] = []
        for number, line in lines(path):
            last = self._when(line, last)
            piece.append((last, (number, line)))
            size += len(line)
            if size > PIECE:
                made.append(self._write(piece))
                piece, size = [], 0
        piece.sort(key=itemgetter(0))
        rest = [line for _, line in piece]
        for file in made:
            self._parts.append((name, lambda file=file: _numbered(file)))  # type: ignore[misc]
        self._parts.append((name, lambda: rest))

    def _write(self, piece: list[tuple[datetime, Line]]) -> Path:
        piece.sort(key=itemgetter(0))
        path = self.scratch / f"piece-{len(list(self.scratch.glob('piece-*')))}"
        with path.open("wb") as out:
            out.writelines(
                chain.from_iterable((b"%d\t" % n, text, b"\n") for _, (n, text) in piece)
            )
        return path


def _numbered(path: Path) -> Iterator[Line]:
    with path.open("rb") as stream:
        for line in stream:
            number, _, text = line.partition(b"\t")
            yield int(number), text.rstrip(b"\n")
