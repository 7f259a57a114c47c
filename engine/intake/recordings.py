"""Recorded events: JSON Lines in Segment form, plain or gzipped."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from engine.errors import WinbackError
from engine.intake.segment import read_recorded
from engine.model.event import Event


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
