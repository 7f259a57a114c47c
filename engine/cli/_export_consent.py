"""``winback export consent``: every decision about consent, with its proof."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console

from engine.cli._changes import shop
from engine.language import load_policy
from engine.runtime.explain import Nobody, called
from engine.settings import Settings
from engine.store import consent_log
from engine.store import explain as explain_store
from engine.store.consent_log import Line
from engine.store.database import Connection

#: The first are those that `winback import consent` reads.
COLUMNS = (
    *("identifier", "channel", "topic", "granted", "at", "source", "text", "url", "version", "ip"),
    *("language", "method", "word", "recorded_at", "profile", "proof"),
)
_OF_PROOF = ("text", "url", "version", "ip", "language")
_NO = ("no", "stop", "pause")


@click.command()
@click.option("--shopper", metavar="WHO", help="Only this one, by any name of theirs.")
@click.option("--format", "form", type=click.Choice(("csv", "jsonl")), default="csv")
@click.option(
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Default: standard output.",
)
@click.pass_obj
def command(project_dir: Path | None, shopper: str | None, form: str, file: Path | None) -> int:
    """Write every decision about consent: who, what, when, how, and what was shown.

    Decisions stand as they were made, each shopper's together and oldest first; what counts today
    is the last word of each channel and topic. `winback import consent` reads the same columns.

    Exit codes: 0 written, 1 nobody goes by that name, 2 wrong usage.

    \b
    Example:
      winback export consent --output consent.csv
      winback export consent --shopper zoe@example.com --format jsonl
    """
    settings = Settings.from_environment(project_dir=project_dir)
    policy, _ = load_policy(settings.project_dir / "config" / "winback.yaml")
    count = 0
    with shop(settings) as (database, _), database.connection() as connection:
        if shopper is None:
            lines = consent_log.everything(connection)
        else:
            lines = iter(
                consent_log.of(connection, _owner(connection, shopper, policy.shop.country))
            )
        with _opened(file) as stream:
            writer = csv.DictWriter(stream, COLUMNS) if form == "csv" else None
            if writer is not None:
                writer.writeheader()
            for line in lines:
                count += 1
                if writer is None:
                    stream.write(json.dumps(_row(line), ensure_ascii=False, default=str) + "\n")
                else:
                    writer.writerow({k: _cell(k, v) for k, v in _row(line).items()})
    Console(stderr=True, highlight=False).print(f"{count:,} decisions written.")
    return 0


def _owner(connection: Connection, asked: str, country: str) -> int:
    number = int(asked) if asked.isdecimal() and len(asked) < 20 else None
    found = explain_store.owner(connection, called(asked, country), number)
    if found is None:
        raise Nobody(f"Nobody here goes by the name {asked!r}.")
    return found


def _row(line: Line) -> dict[str, Any]:
    rest = {key: value for key, value in line.proof.items() if key not in _OF_PROOF}
    return {
        "identifier": line.identifier,
        "channel": line.channel,
        "topic": line.topic,
        "granted": line.word not in _NO,
        "at": line.at.isoformat(),
        "source": line.source,
        **{key: line.proof.get(key, "") for key in _OF_PROOF},
        "method": "double opt-in" if line.word == "confirmed" else line.method,
        "word": line.word,
        "recorded_at": line.recorded_at.isoformat(),
        "profile": line.profile,
        "proof": rest,
    }


def _cell(name: str, value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: texts come from forms and events."""
    if name == "proof":
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


@contextmanager
def _opened(file: Path | None) -> Iterator[IO[str]]:
    if file is None:
        yield sys.stdout
        return
    with file.open("w", encoding="utf-8", newline="") as stream:
        yield stream
