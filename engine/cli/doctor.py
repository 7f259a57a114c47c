"""``winback doctor``: what is missing here, and the command that mends it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli._checks import Check, examine
from engine.cli.main import FINDINGS, print_json

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "finding": ("MISSING", "bold red")}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for a program.")
@click.pass_obj
def command(project_dir: Path | None, as_json: bool) -> int:
    """Say what is missing to run Winback here, and what mends it. Changes nothing.

    Exit codes: 0 nothing is missing, 1 something is, 2 wrong usage.

    \b
    Example:
      winback doctor
      winback --project-dir ~/shop doctor --json
    """
    checks = list(examine(os.environ, project_dir))
    findings = sum(check.state == "finding" for check in checks)
    if as_json:
        print_json({"findings": findings, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks, findings)
    return FINDINGS if findings else 0


def _print(checks: list[Check], findings: int) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column()
    # Commands are copied from here, so they fold rather than lose their ends.
    table.add_column(overflow="fold")
    for check in checks:
        mark, style = _MARKS[check.state]
        table.add_row(Text(mark, style), check.name, Text(check.says))
        if check.mend:
            table.add_row("", "", Text(f"mend: {check.mend}", "cyan"))
    console = Console()
    console.print(table)
    console.print()
    if findings:
        console.print(f"{findings} to mend before `winback up`.", style="bold", highlight=False)
    else:
        console.print("Nothing is missing: `winback up`.", highlight=False)
