"""The codes of all findings. A code never changes its meaning; a dropped one is not used again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.language.code_errors import ERRORS
from engine.language.code_segments import SEGMENT_ERRORS, SEGMENT_WARNINGS
from engine.language.code_templates import TEMPLATE_ERRORS, TEMPLATE_WARNINGS
from engine.language.code_warnings import WARNINGS


@dataclass(frozen=True, slots=True)
class Code:
    """``title`` in a few words; ``explanation`` for ``winback lint --explain CODE``."""

    severity: Literal["error", "warning"]
    title: str
    explanation: str


_ERRORS = ERRORS | TEMPLATE_ERRORS | SEGMENT_ERRORS
_WARNINGS = WARNINGS | TEMPLATE_WARNINGS | SEGMENT_WARNINGS

CODES: dict[str, Code] = {
    **{name: Code("error", *words) for name, words in _ERRORS.items()},
    **{name: Code("warning", *words) for name, words in _WARNINGS.items()},
}
