"""The worst case, as a short table for a person and as data for a program."""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from engine.core.durations import show_duration
from engine.core.together import Figures, WorstCase
from engine.model.policy import Cap

#: Journeys shown; the others are counted.
_SHOWN = 12


class _Row(NamedTuple):
    name: str
    cells: list[str]
    note: str


def show_worst_case(console: Console, worst: WorstCase) -> None:
    """Journey by journey, and what the caps leave of all together. Nothing where none sends."""
    if not worst.journeys:
        return
    channels = [name for name in worst.before if name != "*"]
    rows = [_Row("", [*channels, "in all"], "")]
    biggest = sorted(worst.journeys, key=lambda each: _weight(each.figures), reverse=True)
    for each in biggest[:_SHOWN]:
        note = f"for each {each.key}" if each.key else ""
        rows.append(_Row(each.journey, _cells(each.figures), note))
    if more := len(biggest[_SHOWN:]):
        rows.append(_Row(f"and {more} more journey{'' if more == 1 else 's'}", [], ""))
    unbounded = worst.before["*"] is None and worst.capped["*"] is not None
    note = "no bound but that of the caps" if unbounded else ""
    rows.append(_Row("together", _cells(worst.before), note))
    binding = "; ".join(_cap(cap) for cap in worst.binding)
    note = f"held by: {binding}" if binding else "no cap holds anything back"
    rows.append(_Row("with the caps", _cells(worst.capped), note))
    if worst.free["*"] != 0:
        note = "topics that need no consent"
        rows.append(_Row("and without a cap", _cells(worst.free), note))
    console.print(f"At most, one shopper gets within {show_duration(worst.within)}:", style="bold")
    first = max(len(row.name) for row in rows)
    widths = [
        max(len(row.cells[n]) for row in rows if row.cells) for n in range(len(rows[0].cells))
    ]
    for row in rows:
        cells = "".join(
            f"  {cell:>{width}}" for cell, width in zip(row.cells, widths, strict=False)
        )
        line = Text(f"  {row.name:<{first}}{cells}", "dim" if row is rows[0] else "")
        console.print(line.append(f"  {row.note}" if row.note else "", "dim"))


def worst_case_data(worst: WorstCase) -> dict[str, Any]:
    """Numbers by channel, ``*`` for all of them; null where there is no bound."""
    return {
        "within": show_duration(worst.within),
        "journeys": [
            {"journey": each.journey, "for_each": each.key or None, "messages": dict(each.figures)}
            for each in worst.journeys
        ],
        "before_caps": dict(worst.before),
        "after_caps": dict(worst.after),
        "binding_caps": [
            {
                "messages": cap.messages,
                "within": show_duration(cap.within),
                "channel": cap.channel,
                "topic": cap.topic,
            }
            for cap in worst.binding
        ],
    }


def _cells(figures: Figures) -> list[str]:
    return ["no bound" if figure is None else str(figure) for figure in figures.values()]


def _weight(figures: Figures) -> float:
    figure = figures["*"]
    return float("inf") if figure is None else figure


def _cap(cap: Cap) -> str:
    channel = "" if cap.channel == "*" else f" by {cap.channel}"
    topic = "" if cap.topic == "*" else f" about {cap.topic}"
    return f"{cap.messages}{channel}{topic} in {show_duration(cap.within)}"
