"""What was measured, beside what was promised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One number and what it is held against.

    ``unit``      of ``ours`` and ``limit``: "events/s", "ms", "MB", "messages".
    ``limit``     the same without us, measured in the same run; ``limit_is`` says what that is.
    ``at_least``, ``at_most``  the budget in ``unit``; ``ratio`` the least ``ours / limit``.
    ``note``      what a reader must know to read it right.
    """

    what: str
    ours: float
    unit: str
    limit: float | None = None
    limit_is: str = ""
    at_least: float | None = None
    at_most: float | None = None
    ratio: float | None = None
    note: str = ""

    @property
    def share(self) -> float | None:
        """``ours / limit``."""
        return self.ours / self.limit if self.limit else None

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None where there is none."""
        kept = []
        if self.at_least is not None:
            kept.append(self.ours >= self.at_least)
        if self.at_most is not None:
            kept.append(self.ours <= self.at_most)
        if self.ratio is not None and self.share is not None:
            kept.append(self.share >= self.ratio)
        return all(kept) if kept else None

    @property
    def budget(self) -> str:
        parts = []
        if self.at_least is not None:
            parts.append(f"≥ {number(self.at_least)}")
        if self.at_most is not None:
            parts.append(f"≤ {number(self.at_most)}")
        if self.ratio is not None:
            parts.append(f"≥ {self.ratio:g} ×")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "ours": round(self.ours, 3),
            "unit": self.unit,
            "limit": None if self.limit is None else round(self.limit, 3),
            "limit_is": self.limit_is,
            "ratio": None if self.share is None else round(self.share, 3),
            "budget": self.budget,
            "met": self.met,
            "note": self.note,
        }


def number(value: float) -> str:
    """For people: 12,345 or 12.3."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.1f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of ``values`` do not exceed (nearest rank)."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values, so no percentile")
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.9999) - 1))]


def middle(values: Iterable[float]) -> float:
    """The median: what one disturbed round cannot move."""
    return median(values)


def table(figures: Iterable[Figure]) -> Table:
    found = Table(title="Budgets, measured here", title_justify="left")
    found.add_column("what", no_wrap=True)
    for column in ("ours", "limit here", "ratio", "budget"):
        found.add_column(column, justify="right", no_wrap=True)
    found.add_column("met")
    for figure in figures:
        share = figure.share
        found.add_row(
            figure.what,
            f"{number(figure.ours)} {figure.unit}",
            "" if figure.limit is None else number(figure.limit),
            "" if share is None else f"{share:.2f}",
            figure.budget,
            {True: "[green]yes", False: "[red]no", None: ""}[figure.met],
        )
    return found


def notes(figures: Iterable[Figure]) -> list[str]:
    """What the limits are, and what else a reader must know, a line each."""
    found = []
    for figure in figures:
        limit = f"limit is {figure.limit_is}" if figure.limit_is else ""
        about = "; ".join(filter(None, (limit, figure.note)))
        if about:
            found.append(f"{figure.what}: {about}")
    return found
