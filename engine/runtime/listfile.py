"""Files of rows that appear whole or not at all, and their rows again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO


class NewFile:
    """Written aside under a name of its own, synced, and renamed by ``publish``. What is not
    published by the end of the ``with`` block is thrown away. Only the owner may read it."""

    def __init__(self, path: Path, header: str) -> None:
        self._path = path
        self._aside = path.with_name(f".{path.name}.new")
        self._header = header
        self._filled = False
        self._file: IO[str] | None = None

    def __enter__(self) -> NewFile:
        self._file = open(self._aside, "w", encoding="utf-8", newline="", opener=_owner_only)
        self._file.write(self._header)
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            self._aside.unlink(missing_ok=True)

    def write(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line)
        self._filled = True

    def sync(self) -> None:
        """Have what is written so far on the disk, so that ``publish`` is quick."""
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())

    def publish(self, *, only_if_filled: bool = False) -> None:
        """Put the file in its place, for good even when the power fails now."""
        if only_if_filled and not self._filled:
            return
        self.sync()
        self._aside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def rows_of(path: Path) -> Iterator[str]:
    """The rows of a file without its header; none when there is no file."""
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            yield from islice(file, 1, None)


def digest_of(line: str) -> bytes:
    """16 bytes that stand for a row: equal for equal rows, and for no others."""
    return hashlib.blake2b(line.encode(), digest_size=16).digest()
