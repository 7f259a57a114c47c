"""``winback doctor``: what is missing here, and the command that mends it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.cli import _domain
from engine.cli._checks import examine
from engine.cli._domain import OF_THE_SHOP
from engine.cli.main import FINDINGS, print_json
from engine.model.check import Check
from engine.settings import Settings

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "finding": ("MISSING", "bold red")}


@click.command()
@click.option(
    "--domain",
    is_flag=False,
    flag_value=OF_THE_SHOP,
    metavar="[NAME]",
    help="Look at the domain that mails come from instead: SPF, DKIM, DMARC, alignment. "
    "Without NAME, the one of `email from` in config/winback.yaml.",
)
@click.option(
    "--records",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --domain: DNS records in a file (zone file, or as dig prints them) instead of "
    "those that the DNS gives now.",
)
@click.option(
    "--selector",
    "selectors",
    multiple=True,
    help="With --domain: a DKIM selector that your provider uses. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for a program.")
@click.pass_obj
def command(
    project_dir: Path | None,
    domain: str | None,
    records: Path | None,
    selectors: tuple[str, ...],
    as_json: bool,
) -> int:
    """Say what is missing to run Winback here, and what mends it. Changes nothing.

    With --domain: say whether the mails will arrive.

    Exit codes: 0 nothing is missing, 1 something is, 2 wrong usage.

    \b
    Example:
      winback doctor
      winback --project-dir ~/shop doctor --json
      winback doctor --domain shop.example
      winback doctor --domain shop.example --records zone.txt --selector mail2026
    """
    if domain is None:
        if records or selectors:
            raise click.UsageError("--records and --selector go with --domain.")
        checks = list(examine(os.environ, project_dir))
        well, ill = "Nothing is missing: `winback up`.", "to mend before `winback up`."
    else:
        checks = list(_domain.examine(project_dir or Path.cwd(), domain, records, selectors))
        # With a stand-in where there is no secret yet: to look is not to make one.
        env = {"WINBACK_SECRET": "only-for-looking", **os.environ}
        checks += _domain.mails(Settings.from_environment(env, project_dir=project_dir))
        well, ill = "Mailbox providers will know you.", "to mend before you send to many."
    findings = sum(check.state == "finding" for check in checks)
    if as_json:
        print_json({"findings": findings, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks, f"{findings} {ill}" if findings else well, bool(findings))
    return FINDINGS if findings else 0


def _print(checks: list[Check], summary: str, bad: bool) -> None:
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
    console.print(summary, style="bold" if bad else "", highlight=False)
