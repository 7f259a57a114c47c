"""What ``winback simulate`` does about segments: which it keeps, and how it shows who came and
went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.cli._backtest import with_change
from engine.cli._recorded import print_errors
from engine.core.segments import touch_of
from engine.language import load_segments
from engine.language.segments import SegmentError, compile_segment
from engine.model.journey import Journey
from engine.model.policy import Policy
from engine.model.segment import Scale
from engine.runtime.backtest import Side
from engine.runtime.reached import reached
from engine.runtime.simulate_segments import Crossings, Segments
from engine.store import segment_desk, segments
from engine.store.database import Database


def of_project(
    project: Path, policy: Policy, database: Database | None, console: Console
) -> tuple[Segments, bool]:
    """Those of the files, and whether there are errors in them. With a ``database`` buyers are
    scored as there."""
    found = load_segments(project / "config" / "segments", policy=policy)
    wrong = print_errors(console, found.diagnostics)
    made = Segments.of(found)
    return (made if database is None else replace(made, scale=live(database, console).scale)), wrong


def live(database: Database, console: Console) -> Segments:
    """Those in force."""
    with database.connection() as connection:
        rows = segments.in_force(connection)
        lists = segment_desk.lists(connection)
    rules = {}
    for row in rows:
        try:
            rules[row.name] = compile_segment(row.source)
        except SegmentError as error:
            console.print(f"live segment {row.name}: {error}", style="red", markup=False)
    scales = [row.scale for row in rows if row.scale is not None]
    return Segments(rules, lists, Scale.of_json(scales[0]) if scales else None)


def warn_of_scores(console: Console, journeys: Iterable[Journey], known: Segments) -> None:
    """RFM scores are measured over all buyers of a shop, which a recording is not."""
    if known.scale is not None:
        return
    kept = reached(journeys, known.rules).values()
    scored = [segment.name for segment in kept if touch_of(segment.rule).scored]
    if scored:
        words = "asks for RFM scores, which only the live shop knows (--from-database)"
        console.print(
            f"Warning: {', '.join(scored)} {words}: here nobody has any.",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )


def print_crossings(console: Console, sides: Sequence[Side]) -> None:
    """Who entered and left; of two sides what was before comes first."""
    names = sorted({name for side in sides for name in side.segments})
    if not names:
        return
    table = Table(title="segments", title_justify="left", title_style="italic", box=None)
    table.add_column("segment", overflow="fold")
    for word in ("entered", "left"):
        for column in (f"{word} before", f"{word} after", "") if len(sides) == 2 else (word,):
            table.add_column(column, justify="right")
    for name in names:
        found = [side.segments.get(name, Crossings()) for side in sides]
        cells = [
            cell
            for numbers in ([each.entered for each in found], [each.left for each in found])
            for cell in with_change(numbers)
        ]
        table.add_row(name, *cells)
    console.print(table)


def as_document(side: Side) -> dict[str, Any]:
    return {name: asdict(each) for name, each in sorted(side.segments.items())}
