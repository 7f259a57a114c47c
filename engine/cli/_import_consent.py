"""``winback import consent``: what shoppers agreed to elsewhere, with its proof."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from engine.cli._changes import shop
from engine.cli.main import FINDINGS, print_json
from engine.intake.consent_file import OPTIONAL, REQUIRED, Reader, Refused
from engine.intake.lanes import lane_of
from engine.intake.recordings import lines as lines_of
from engine.language import load_policy
from engine.model.event import Event
from engine.settings import Settings
from engine.store import inbox
from engine.store.database import Database

#: Decisions that are accepted in one transaction.
CHUNK = 5_000
#: Refused lines that are shown one by one.
SHOWN = 10
WRITER = "import:consent"


@click.command()
@click.argument(
    "file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True, exists=True)
)
@click.option(
    "--format",
    "form",
    type=click.Choice(("csv", "jsonl")),
    help="Default: by the file's name, else csv.",
)
@click.option(
    "--rejected",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where refused lines go, each with its reason. Default: FILE.rejected",
)
@click.option("--dry-run", is_flag=True, help="Check the file and take nothing in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    project_dir: Path | None,
    file: Path,
    form: str | None,
    rejected: Path | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Take in decisions about consent: a CSV with a first line of column names, or JSON Lines.

    Needed: identifier (an address, a phone number, user:42), channel (email, sms, whatsapp, push,
    ads), granted (yes, no), at (2026-03-02T10:00Z). Optional: topic (else *), source, text (that
    was shown), url, version, ip, language, method. A yes by the method "double opt-in" counts as
    confirmed.

    A line counts once however often it is imported, and no older decision outdoes a newer one.
    Nothing is sent to a shopper between the import of their line and its working.

    Exit codes: 0 all lines are in, 1 some were refused, 2 wrong usage.

    \b
    Example:
      winback import consent subscribers.csv
      winback import consent consent.jsonl --dry-run --json
    """
    settings = Settings.from_environment(project_dir=project_dir)
    policy, findings = load_policy(settings.project_dir / "config" / "winback.yaml")
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise click.UsageError(f"config/winback.yaml must be right first: {errors[0]}")
    from_stdin = str(file) == "-"
    lines = form == "jsonl" or (form is None and ".jsonl" in file.suffixes)
    aside = rejected or (None if from_stdin else file.with_name(file.name + ".rejected"))
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    taken = refused = 0
    with shop(settings) as (database, clock), _Aside(aside, lines) as kept, _bar(as_json) as bar:
        total = None if from_stdin else sum(1 for _ in lines_of(file)) - (not lines)
        task = bar.add_task("importing", total=total)
        chunk: list[Event] = []
        for found in Reader(policy, clock.now()).read(file, lines=lines):
            bar.advance(task)
            if isinstance(found, Refused):
                refused += 1
                kept.write(found)
                if refused <= SHOWN:
                    bar.console.print(f"{file}:{found.line}: {found.reason}", style="yellow")
                continue
            taken += 1
            chunk.append(found)
            if len(chunk) == CHUNK:
                _accept(database, chunk, dry_run)
                chunk = []
        _accept(database, chunk, dry_run)
    where = str(aside) if refused and aside is not None else None
    if as_json:
        print_json({"taken": taken, "refused": refused, "rejected_file": where, "dry_run": dry_run})
    else:
        verb = "would be taken" if dry_run else "are accepted; workers take them in within seconds"
        console.print(f"{taken:,} decisions {verb}.", style="green")
        if refused:
            told = (
                f" They are in {where}, each with its reason: mend and import that."
                if where
                else ""
            )
            console.print(f"{refused:,} lines are refused.{told}", style="red")
    return FINDINGS if refused else 0


def _accept(database: Database, events: list[Event], dry_run: bool) -> None:
    if not events or dry_run:
        return
    rows = [inbox.event_line(event, lane_of(event.sender)) for event in events]
    with database.connection() as connection:
        inbox.write(connection, rows, writer=WRITER)


class _Aside:
    """The file of refused lines: made with the first of them, in the form of the file itself."""

    def __init__(self, path: Path | None, lines: bool) -> None:
        self._path = path
        self._lines = lines
        self._stream: Any = None
        self._writer: Any = None

    def __enter__(self) -> _Aside:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def write(self, refused: Refused) -> None:
        if self._path is None:
            return
        row = {**refused.row, "reason": f"line {refused.line}: {refused.reason}"}
        if self._stream is None:
            self._stream = self._path.open("w", encoding="utf-8", newline="")
            if not self._lines:
                columns = [*dict.fromkeys((*REQUIRED, *OPTIONAL, *refused.row)), "reason"]
                columns = [name for name in columns if name in row or name in REQUIRED]
                self._writer = csv.DictWriter(self._stream, columns, extrasaction="ignore")
                self._writer.writeheader()
        if self._lines:
            self._stream.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        else:
            self._writer.writerow(row)


@contextmanager
def _bar(silent: bool) -> Iterator[Progress]:
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=silent,
    ) as bar:
        yield bar
