"""A folder of this machine, or one that is mounted here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from engine.errors import DeliveryError


class Folder:
    """Each file is written aside, synced and renamed. Only the owner may read it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def put(self, files: Sequence[tuple[str, Path]]) -> None:
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            for name, source in files:
                aside = self._path / f".{name}.new"
                try:
                    with source.open("rb") as old, open(aside, "wb", opener=_owner_only) as new:
                        shutil.copyfileobj(old, new)
                        new.flush()
                        os.fsync(new.fileno())
                    aside.replace(self._path / name)
                finally:
                    aside.unlink(missing_ok=True)
            folder = os.open(self._path, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise DeliveryError(
                f"{self._path} cannot be written ({error.strerror or error}); make room or mend it",
                permanent=False,
            ) from None


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
