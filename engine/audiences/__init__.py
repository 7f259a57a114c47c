"""Ad audiences: one file per platform, one line per platform here.

A platform is its upload format: the columns of its CSV and the hashed row of one member.
Nothing but hashes (and, where the platform asks for them so, country and postal code) leaves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.audiences import generic, google, meta, pinterest, tiktok, x
from engine.audiences.base import AdSettings
from engine.audiences.google import Google
from engine.audiences.meta import Meta
from engine.audiences.values import Member, member

__all__ = ["LONGER", "PLATFORMS", "Member", "Platform", "member", "open_platform"]


@dataclass(frozen=True, slots=True)
class Platform:
    """An ad platform's customer file. ``row`` gives None for a member it could never find."""

    name: str
    columns: tuple[str, ...]
    row: Callable[[Member], tuple[str, ...] | None]

    @property
    def header(self) -> str:
        """The first line of the file, with its line end."""
        return _line(self.columns)

    def line(self, profile_id: int, traits: Mapping[str, Any], region: str) -> str | None:
        """The profile's line of the file, with its line end; None for one without a usable
        email address or phone. ``region``: the shop's ISO country."""
        return self.told(profile_id, traits, region)[0]

    def told(
        self, profile_id: int, traits: Mapping[str, Any], region: str
    ) -> tuple[str | None, str]:
        """The line, and the ISO country whose law says whether it may be written."""
        who = member(profile_id, traits, region=region)
        row = self.row(who)
        return None if row is None else _line(row), who.law


def _line(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


PLATFORMS: Mapping[str, Platform] = {
    "google": Platform("google", google.COLUMNS, google.row),
    "meta": Platform("meta", meta.COLUMNS, meta.row),
    "tiktok": Platform("tiktok", tiktok.COLUMNS, tiktok.row),
    "pinterest": Platform("pinterest", pinterest.COLUMNS, pinterest.row),
    "x": Platform("x", x.COLUMNS, x.row),
    "file": Platform("file", generic.COLUMNS, generic.row),
}


#: By platform its most requests in so many seconds.
LONGER: Mapping[str, tuple[int, float]] = {"google": Google.longer, "meta": Meta.longer}


def open_platform(name: str, settings: AdSettings) -> Google | Meta:
    """The API of a platform. Raises ``ConfigError`` when a setting is missing."""
    return Google.from_settings(settings) if name == "google" else Meta.from_settings(settings)
