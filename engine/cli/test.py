"""``winback test``: the scenarios of the journeys, under a virtual clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from engine.cli.main import FINDINGS, print_json
from engine.language import journey_files, load_journeys, load_policy, load_segments
from engine.model.diagnostic import Diagnostic
from engine.runtime.simulate_segments import Segments
from engine.testing.scenario.coverage import measure
from engine.testing.scenario.junit import junit
from engine.testing.scenario.model import Scenario
from engine.testing.scenario.parse import load_scenarios
from engine.testing.scenario.report import as_data, show
from engine.testing.scenario.run import run


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--journeys",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The journeys to test. Default: journeys/ of the project.",
)
@click.option("-k", "word", metavar="WORD", help="Only scenarios whose name or file holds WORD.")
@click.option(
    "--coverage",
    "wanted",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Fail if a journey's steps and branches are covered less than this.",
)
@click.option(
    "--junit",
    "report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the results as JUnit XML, for a CI server.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for a program.")
@click.pass_obj
def command(
    project_dir: Path | None,
    paths: tuple[Path, ...],
    directory: Path | None,
    word: str | None,
    wanted: float | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Run scenarios (files or folders; default: journeys/tests/). Nothing is sent.

    A scenario tells a shopper's story and what must come of it; journeys/tests/README.md shows
    how. The real engine runs it under a clock of its own: a month takes a millisecond.

    Exit codes: 0 all passed, 1 something failed or is not covered, 2 wrong usage.

    \b
    Example:
      winback test
      winback test journeys/tests/win-back.yaml -k coupon
      winback test --coverage 100 --junit results.xml
    """
    project = project_dir or Path()
    directory = directory or project / "journeys"
    files = list(dict.fromkeys(f for p in paths or (directory / "tests",) for f in _files(p)))
    policy, findings = load_policy(project / "config" / "winback.yaml")
    loaded = load_journeys(directory, policy=policy)
    kept = load_segments(project / "config" / "segments", policy=policy)
    found = load_scenarios(files, policy, loaded.journeys, kept.names)
    errors = [
        each
        for each in (*findings, *loaded.diagnostics, *kept.diagnostics, *found.diagnostics)
        if each.severity == "error"
    ]
    chosen = [each for each in found.scenarios if word is None or _holds(each, word)]
    if not chosen and not errors:
        there = f"none of {len(found.scenarios)} holds '{word}'" if word else "there is none"
        raise click.UsageError(f"No scenario to run: {there}.")
    segments = Segments.of(kept)
    ran = [run(scenario, loaded.journeys, policy, segments) for scenario in chosen]
    results = [result for result, _ in ran]
    touched = {name for each in chosen for name in each.journeys or loaded.journeys}
    coverage = measure(
        {name: loaded.journeys[name] for name in touched},
        (mark for _, recorder in ran for mark in recorder.marks),
    )
    if report is not None:
        _write(report, junit(results, errors))
    less = [each for each in coverage if wanted is not None and each.percent < wanted]
    if as_json:
        told = [str(each) for each in errors]
        print_json({**as_data(results, coverage), "errors": told})
    else:
        _tell(errors)
        if results:
            show(Console(highlight=False, markup=False), results, coverage)
        for each in less:
            said = f"{each.journey} is covered {each.percent:.1f} %, not {wanted:g} %."
            click.secho(said, fg="red", err=True)
    if errors or less or not all(result.ok for result in results):
        raise SystemExit(FINDINGS)


def _write(path: Path, document: bytes) -> None:
    try:
        path.write_bytes(document)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from error


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise click.UsageError(
            f"There is no folder {path}: start in your project, or name the scenarios."
        )
    return journey_files(path)


def _holds(scenario: Scenario, word: str) -> bool:
    return word.casefold() in f"{scenario.name} {scenario.file}".casefold()


def _tell(errors: Sequence[Diagnostic]) -> None:
    for each in errors:
        click.secho(str(each), fg="red", err=True)
