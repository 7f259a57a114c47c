"""``winback lint``: everything that is wrong with the journeys, at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from engine.cli._sarif import sarif
from engine.cli._segment_files import check_segments, is_segment
from engine.cli._templates import check_templates
from engine.cli._worst import show_worst_case, worst_case_data
from engine.cli.main import FINDINGS, print_json
from engine.core.coupons import pools_of
from engine.core.together import WorstCase, worst_case
from engine.language import CODES, journey_files, load_files, load_policy
from engine.language.confirming import check_confirmation
from engine.language.schema import SCHEMAS, schema_text
from engine.model.diagnostic import Diagnostic

_WITHIN = timedelta(days=7)
_COLOURS = {"error": "bold red", "warning": "bold yellow"}


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for a program.")
@click.option("--strict", is_flag=True, help="Warnings count as errors for the exit code.")
@click.option(
    "--sarif",
    "sarif_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the findings as SARIF 2.1.0 too, for a code host.",
)
@click.option("--explain", metavar="CODE", help="Explain a code, such as J012, and stop.")
@click.option(
    "--schema",
    type=click.Choice(list(SCHEMAS)),
    is_flag=False,
    flag_value="journeys",
    metavar="[journeys|rules|segments]",
    help="Print the JSON Schema of journeys, config/winback.yaml or segments, and stop.",
)
@click.pass_obj
def command(
    project_dir: Path | None,
    paths: tuple[Path, ...],
    as_json: bool,
    strict: bool,
    sarif_file: Path | None,
    explain: str | None,
    schema: str | None,
) -> int:
    """Check journeys (files or folders; default: journeys/), their templates, config/winback.yaml
    and config/segments; and tell how many messages one shopper gets at most.

    Exit codes: 0 no error, 1 errors (with --strict: or warnings), 2 wrong usage.

    \b
    Example:
      winback lint
      winback lint journeys/win-back.yaml --json
      winback lint config/segments
      winback lint --strict --sarif lint.sarif
      winback lint --explain J012
      winback lint --schema journeys > journeys/journey.schema.json
    """
    if explain is not None:
        _explain(explain, as_json)
        return 0
    if schema is not None:
        click.echo(schema_text(schema), nl=False)
        return 0
    project = _shown(project_dir or Path())
    journeys = [path for path in paths if not is_segment(path)]
    journeys = journeys if paths else [project / "journeys"]
    files = [file for path in journeys for file in _files(path)]
    policy, found = load_policy(project / "config" / "winback.yaml")
    templates = project / "templates"
    read = load_files(files, policy=policy, templates=templates)
    found += read.diagnostics
    if not paths:
        config = project / "config" / "winback.yaml"
        found += check_confirmation(config, policy, read.journeys.values())
    segments, wrong = check_segments(project, policy, read.journeys, files, paths)
    found += wrong
    # A journey that cannot be read does not hide what is wrong with its template.
    everything = len(read.journeys) < len(files)
    found += check_templates(templates, policy, read.journeys, all_of_them=everything)
    worst = worst_case(read.journeys, policy, _WITHIN)
    count: Counter[str] = Counter(finding.severity for finding in found)
    if sarif_file is not None:
        _write_sarif(sarif_file, found)
    if as_json:
        findings = [asdict(finding) for finding in found]
        summary = {
            "files": len(files) + segments,
            "errors": count["error"],
            "warnings": count["warning"],
        }
        print_json({**summary, "diagnostics": findings, "worst_case": worst_case_data(worst)})
    else:
        _print(found, len(files), segments, count, worst)
        _print_pools(pools_of(read.journeys.values()))
    return FINDINGS if count["error"] or (strict and found) else 0


def _explain(asked: str, as_json: bool) -> None:
    name = asked.strip().upper()
    if name not in CODES:
        raise click.UsageError(f"There is no code '{asked}'. There are {', '.join(CODES)}.")
    code = CODES[name]
    if as_json:
        print_json({"code": name, **asdict(code)})
        return
    console = Console(highlight=False, markup=False)
    console.print(f"{name} ({code.severity}): {code.title}\n")
    console.print(code.explanation)


def _write_sarif(file: Path, found: Iterable[Diagnostic]) -> None:
    try:
        file.write_text(json.dumps(sarif(found), indent=2, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}.") from error


def _files(path: Path) -> list[Path]:
    """The journeys of a folder as the engine finds them; a file is itself."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise click.UsageError(
            f"There is no folder {path}: start in your project, or name the journeys."
        )
    return journey_files(path)


def _shown(path: Path) -> Path:
    """Relative to where the person stands, if it is below."""
    absolute, here = path.resolve(), Path.cwd()
    return absolute.relative_to(here) if absolute.is_relative_to(here) else absolute


def _print(
    found: Iterable[Diagnostic], files: int, segments: int, count: Counter[str], worst: WorstCase
) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    sources: dict[str, list[str]] = {}
    for finding in found:
        if finding.file not in sources:
            sources[finding.file] = _lines(finding.file)
        line = Text(f"{finding.file}:{finding.line}:{finding.column} ")
        line.append(finding.severity, _COLOURS[finding.severity])
        line.append(f" {finding.code} ", "bold")
        line.append(finding.message + (f" — {finding.hint}" if finding.hint else ""))
        console.print(line)
        _print_source(console, finding, sources[finding.file])
    show_worst_case(console, worst)
    errors, warnings = count["error"], count["warning"]
    what = _many(files, "journey") + (f", {_many(segments, 'segment')}" if segments else "")
    summary = f"{what}: {_many(errors, 'error')}, {_many(warnings, 'warning')}"
    console.print(summary, style="red" if errors else "yellow" if warnings else "green")
    if errors or warnings:
        console.print("Each code is explained by: winback lint --explain CODE", style="dim")


def _print_pools(pools: Mapping[str, list[str]]) -> None:
    """Whether there are codes in them only the database knows."""
    if pools:
        names = ", ".join(f"{pool} ({', '.join(journeys)})" for pool, journeys in pools.items())
        words = f"Coupons come from pools: {names}. What they hold is told by: winback coupons"
        Console(highlight=False, markup=False, soft_wrap=True).print(words, style="dim")


def _print_source(console: Console, finding: Diagnostic, lines: list[str]) -> None:
    if not 0 < finding.line <= len(lines):
        return
    written = "".join(c if c.isprintable() else " " for c in lines[finding.line - 1])
    number = f"{finding.line:>5} │ "
    # Letters of Hindi combine and those of Chinese are wide: columns count letters, screens cells.
    indent = cell_len(written[: finding.column - 1])
    console.print(Text(number, "dim") + Text(written))
    console.print(Text("      │ ", "dim") + Text(" " * indent + "^", _COLOURS[finding.severity]))


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_bytes().decode("utf-8-sig", "replace").splitlines()
    except OSError:  # it is the finding itself that says so
        return []


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
