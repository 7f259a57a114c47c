"""``winback import coupons``: codes into a pool."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from engine.cli._changes import shop
from engine.cli.main import FINDINGS, print_json
from engine.core.coupons import POOL_NAME
from engine.intake.codes import Code, read_codes
from engine.settings import Settings
from engine.store import coupons as coupons_store
from engine.store.database import Database

#: Codes that are put in at once.
_BATCH = 5000
#: Refused lines that are named; the rest are counted.
_NAMED = 20


@dataclass(slots=True)
class Imported:
    """``new`` codes; ``known`` were in the pool already, ``elsewhere`` in another one; ``refused``
    lines, the first of them with their reason."""

    pool: str
    new: int = 0
    known: int = 0
    elsewhere: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, file: str, code: Code) -> None:
        self.refused += 1
        if len(self.reasons) < _NAMED:
            self.reasons.append(f"{file}:{code.line}: {code.wrong}")


@click.command()
@click.argument("pool")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(project_dir: Path | None, pool: str, files: tuple[Path, ...], as_json: bool) -> int:
    """Put the codes of FILES into POOL, from which `coupon: pool POOL` hands them out.

    A file is CSV, with the codes in its column "code" or "coupon" or else in the first, or one
    code a line; - is standard input. Codes are handed out in this order. A code is one
    shopper's, so it is in one pool only: what is in another is refused. To import a file twice
    does no harm.

    Exit codes: 0 all codes are in the pool, 1 lines were refused (they are named), 2 wrong usage.

    \b
    Example:
      winback import coupons winter codes.csv
      zcat codes.txt.gz | winback import coupons winter - --json
    """
    if not POOL_NAME.fullmatch(pool):
        raise click.BadParameter(
            f"'{pool}' cannot name a pool: use small letters, digits and '-'.", param_hint="POOL"
        )
    settings = Settings.from_environment(project_dir=project_dir)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    done = Imported(pool)
    with shop(settings) as (database, _), _bar(console, as_json) as progress:
        for file in files:
            name = "standard input" if str(file) == "-" else str(file)
            with _opened(file) as stream:
                total = None if str(file) == "-" else file.stat().st_size
                task = progress.add_task(name, total=total)
                for batch in _batches(stream, done, name):
                    _add(database, batch, done, name)
                    if total is not None:
                        progress.update(task, completed=stream.tell())
    if as_json:
        print_json(asdict(done))
    else:
        _print(console, done)
    return FINDINGS if done.refused else 0


def _bar(console: Console, disable: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    left = TimeRemainingColumn()
    return Progress(*columns, left, console=console, transient=True, disable=disable)


def _opened(file: Path) -> BinaryIO:
    return sys.stdin.buffer if str(file) == "-" else file.open("rb")


def _batches(stream: BinaryIO, done: Imported, name: str) -> Iterator[dict[str, int]]:
    """By code its line, so many at a time."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
    batch: dict[str, int] = {}
    for code in read_codes(iter(text.readline, "")):
        if code.wrong:
            done.refuse(name, code)
        elif code.code in batch:
            done.known += 1
        else:
            batch[code.code] = code.line
        if len(batch) == _BATCH:
            yield batch
            batch = {}
    yield batch
    text.detach()


def _add(database: Database, batch: dict[str, int], done: Imported, name: str) -> None:
    with database.connection() as connection:
        added = coupons_store.add(connection, done.pool, list(batch))
    done.new += added.new
    done.known += len(batch) - added.new - len(added.elsewhere)
    done.elsewhere += len(added.elsewhere)
    for code, pool in sorted(added.elsewhere.items(), key=lambda one: batch[one[0]]):
        done.refuse(name, Code(batch[code], code, f"in pool {pool} already"))


def _print(console: Console, done: Imported) -> None:
    for reason in done.reasons:
        console.print(reason, style="yellow")
    if done.refused > len(done.reasons):
        console.print(f"and {done.refused - len(done.reasons):,} more", style="yellow")
    words = f"{done.new:,} new codes in pool {done.pool}"
    words += f", {done.known:,} were there already" if done.known else ""
    words += f", {done.refused:,} lines refused" if done.refused else ""
    click.echo(f"{words}.")
