"""A diagnostic: one finding about a file that a marketer wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """``file:line:column severity code message`` with an optional hint of what to do.

    ``line`` and ``column`` are 1-based. ``code`` is stable ("J012").
    """

    file: str
    line: int
    column: int
    severity: Literal["error", "warning"]
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f" — {self.hint}" if self.hint else ""
        return (
            f"{self.file}:{self.line}:{self.column} {self.severity} "
            f"{self.code} {self.message}{tail}"
        )
