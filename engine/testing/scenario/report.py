"""Results for a person at a terminal, and for a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.testing.scenario import timeline
from engine.testing.scenario.coverage import Coverage
from engine.testing.scenario.model import Result

#: Of what no scenario has come to, so many are named for each journey.
_NAMED = 4


def show(console: Console, results: Sequence[Result], coverage: Sequence[Coverage]) -> None:
    """Every scenario in a line; those that failed with what is wrong and their timeline."""
    for result in results:
        where = f"{result.scenario.file}:{result.scenario.place.line}"
        line = Text("pass " if result.ok else "FAIL ", "green" if result.ok else "bold red")
        line.append(result.scenario.name, "" if result.ok else "bold")
        line.append(f"  {where}  {result.milliseconds:.1f} ms", "dim")
        console.print(line, soft_wrap=True)
        if not result.ok:
            _failed(console, result)
    if coverage:
        console.print()
        console.print(_covered(coverage))
    failed = sum(not result.ok for result in results)
    took = sum(result.milliseconds for result in results)
    told = f"{len(results)} scenario{'' if len(results) == 1 else 's'}: "
    told += f"{len(results) - failed} passed, {failed} failed, in {took:.0f} ms"
    console.print(told, style="red" if failed else "green")


def _failed(console: Console, result: Result) -> None:
    for failure in result.failures:
        line = Text(f"  {result.scenario.file}:{failure.place.line} ", "dim")
        line.append(failure.message, "red")
        console.print(line, soft_wrap=True)
        if failure.hint:
            console.print(Text(f"      {failure.hint}", "yellow"), soft_wrap=True)
    if result.timeline:
        zone = result.scenario.zone
        console.print(Text(f"  What happened ({zone.key}):", "dim"))
        console.print(Padding(timeline.table(result.timeline, zone), (0, 0, 1, 4)))
    else:
        console.print(Text("  Nothing happened at all.\n", "dim"))


def _covered(coverage: Sequence[Coverage]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("journey", header_style="dim")
    table.add_column("steps and branches", justify="right", header_style="dim")
    table.add_column("not come to by any scenario", overflow="fold", header_style="dim")
    for each in coverage:
        missing = [str(point) for point in each.missing]
        named = ", ".join(missing[:_NAMED])
        if len(missing) > _NAMED:
            named += f" and {len(missing) - _NAMED} more"
        done = len(each.points) - len(missing)
        share = Text(f"{done}/{len(each.points)}  {_share(each)}", "yellow" if missing else "green")
        table.add_row(Text(each.journey), share, Text(named))
    return table


def _share(coverage: Coverage) -> str:
    # Never "100 %" while something is missing.
    return f"{int(coverage.percent)} %"


def as_data(results: Sequence[Result], coverage: Sequence[Coverage]) -> dict[str, Any]:
    """The same for ``--json``. Times are UTC, ISO 8601."""
    return {
        "scenarios": [_result(each) for each in results],
        "coverage": [
            {
                "journey": each.journey,
                "points": len(each.points),
                "percent": round(each.percent, 1),
                "missing": [str(point) for point in each.missing],
            }
            for each in coverage
        ],
        "passed": sum(each.ok for each in results),
        "failed": sum(not each.ok for each in results),
    }


def _result(result: Result) -> dict[str, Any]:
    scenario = result.scenario
    return {
        "scenario": scenario.name,
        "file": scenario.file,
        "line": scenario.place.line,
        "ok": result.ok,
        "milliseconds": round(result.milliseconds, 3),
        "failures": [
            {"line": each.place.line, "message": each.message, "hint": each.hint}
            for each in result.failures
        ],
        "timeline": [
            {
                "at": line.at.isoformat(),
                "journey": line.journey,
                "path": line.path,
                "verdict": line.verdict,
                "why": line.why,
            }
            for line in result.timeline
        ],
    }
