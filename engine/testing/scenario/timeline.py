"""A run of a scenario as a table: what happened when, where in the YAML, and why."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from engine.testing.scenario.model import Line
from engine.testing.scenario.write import moment

_COLOURS = {
    **dict.fromkeys(("sent", "add", "came", "goal"), "green"),
    **dict.fromkeys(("not sent", "refused", "cannot say", "withheld", "skips"), "yellow"),
    **dict.fromkeys(("stops", "cancelled", "remove"), "red"),
    "event": "bold cyan",
}


def table(lines: Sequence[Line], zone: ZoneInfo) -> Table:
    """For the terminal."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    several = len({line.journey for line in lines} - {""}) > 1
    for name in ("time", *(("journey",) if several else ()), "where", "what", "why"):
        shown.add_column(name, overflow="fold", header_style="dim", no_wrap=name == "time")
    for line in lines:
        journey = (line.journey,) if several else ()
        verdict = Text(line.verdict, _COLOURS.get(line.verdict, ""))
        cells = (moment(line.at, zone), *journey, line.path, verdict, line.why)
        shown.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    return shown


def plain(lines: Sequence[Line], zone: ZoneInfo) -> str:
    """For a file: columns of text."""
    rows = [(moment(x.at, zone), x.journey, x.path, x.verdict, x.why) for x in lines]
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
        for row in rows
    )
