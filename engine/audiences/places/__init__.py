"""Where audience files go: a folder, an SFTP server, an S3-compatible store.

A place takes files and puts each there whole or not at all, one after the other in their order.
Names that a ``to:`` may have are told by ``engine.language.audiences``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from engine.audiences.base import PlaceSettings
from engine.audiences.places.folder import Folder
from engine.audiences.places.s3 import S3
from engine.audiences.places.sftp import Sftp

__all__ = ["S3", "Folder", "Place", "Sftp", "open_place"]


class Place(Protocol):
    """``put`` takes (name, local file) and raises ``DeliveryError`` when one is not there; those
    before it may be. To put a file twice is the same as once."""

    def put(self, files: Sequence[tuple[str, Path]]) -> None: ...


def open_place(to: str, home: Path, settings: PlaceSettings) -> Place:
    """The place that ``to`` names; a folder without a leading ``/`` is one of ``home``. Raises
    ``ConfigError`` when a setting is missing."""
    if to.startswith("sftp://"):
        return Sftp.from_settings(to, settings)
    if to.startswith("s3://"):
        return S3.from_settings(to, settings)
    return Folder(home / to)
