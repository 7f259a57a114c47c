"""One line of a report on how things stand, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and what was found.

    ``state``  ok; note (fine, but know it); finding (it will not work, or not safely).
    ``mend``   the command or the change that mends it, empty where nothing needs mending.
    """

    name: str
    state: Literal["ok", "note", "finding"]
    says: str
    mend: str = ""
