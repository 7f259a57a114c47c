"""``winback lint``: everything that is wrong with the journeys, at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from engine.cli.main import FINDINGS, print_json
from engine.language import CODES, journey_files, load_files, load_policy
from engine.model.diagnostic import Diagnostic

_COLOURS = {"error": "bold red", "warning": "bold yellow"}


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for a program.")
@click.option("--strict", is_flag=True, help="Warnings count as errors for the exit code.")
@click.option("--explain", metavar="CODE", help="Explain a code, such as J012, and stop.")
@click.pass_obj
def command(
    project_dir: Path | None,
    paths: tuple[Path, ...],
    as_json: bool,
    strict: bool,
    explain: str | None,
) -> int:
    """Check journeys (files or folders; default: journeys/) and config/winback.yaml.

    Exit codes: 0 no error, 1 errors (with --strict: or warnings), 2 wrong usage.

    \b
    Example:
      winback lint
      winback lint journeys/win-back.yaml --json
      winback lint --explain J012
    """
    if explain is not None:
        _explain(explain, as_json)
        return 0
    project = _shown(project_dir or Path())
    journeys = paths or (project / "journeys",)
    files = [file for path in journeys for file in _files(path)]
    policy, found = load_policy(project / "config" / "winback.yaml")
    found += load_files(files, policy=policy, templates=project / "templates").diagnostics
    count: Counter[str] = Counter(finding.severity for finding in found)
    if as_json:
        findings = [asdict(finding) for finding in found]
        summary = {"files": len(files), "errors": count["error"], "warnings": count["warning"]}
        print_json({**summary, "diagnostics": findings})
    else:
        _print(found, len(files), count)
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


def _print(found: Iterable[Diagnostic], files: int, count: Counter[str]) -> None:
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
    errors, warnings = count["error"], count["warning"]
    summary = f"{_many(files, 'journey')}: {_many(errors, 'error')}, {_many(warnings, 'warning')}"
    console.print(summary, style="red" if errors else "yellow" if warnings else "green")
    if errors or warnings:
        console.print("Each code is explained by: winback lint --explain CODE", style="dim")


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
