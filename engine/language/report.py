"""Collects the findings about one file, all of them at once."""

from __future__ import annotations

from typing import NamedTuple

from engine.language.codes import CODES
from engine.model.diagnostic import Diagnostic


class Place(NamedTuple):
    """A place in a file, 1-based."""

    line: int
    column: int


class Report:
    """The findings about ``file``. The severity of each is that of its code."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: set[Diagnostic] = set()

    def add(self, code: str, place: Place, message: str, hint: str = "") -> None:
        severity = CODES[code].severity
        self._found.add(
            Diagnostic(self.file, place.line, place.column, severity, code, message, hint)
        )

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(found.severity == "error" for found in self._found)

    def diagnostics(self) -> list[Diagnostic]:
        """From the top of the file to the bottom."""
        return sorted(self._found)
