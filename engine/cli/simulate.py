"""``winback simulate``: journeys on recorded events, in memory."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from engine.cli._recorded import duration, print_bad_lines, print_errors, print_tallies
from engine.cli.main import FINDINGS
from engine.intake.recordings import BadLine, events
from engine.language import load_journeys, load_policy
from engine.runtime.memory import look_for_cycles_seldom
from engine.runtime.simulate import Simulation

_FILE = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


@click.command()
@click.option(
    "--journeys",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The journeys to run. Default: journeys/ of the project.",
)
@click.option(
    "--events",
    "files",
    type=_FILE,
    multiple=True,
    required=True,
    help="Recorded events, JSON Lines in Segment form, .gz too; several times for several.",
)
@click.argument("more", nargs=-1, type=_FILE)
@click.option(
    "--until",
    default="60d",
    show_default=True,
    help='How far the clock runs past the last event: "60d", "36 hours".',
)
@click.option("--bare", is_flag=True, help="Leave out holdout, caps, quiet hours and consent.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(
    project_dir: Path | None,
    directory: Path | None,
    files: tuple[Path, ...],
    more: tuple[Path, ...],
    until: str,
    bare: bool,
    as_json: bool,
) -> None:
    """Run journeys on recorded events and count what they would have done. Nothing is sent.

    It is the same core and the same gate that run live. Shoppers in a recording seldom gave
    consent or an address; --bare asks what the journeys alone would do.

    \b
    Example:
      winback simulate --events orders.jsonl.gz --until 60d --bare
      winback simulate --journeys drafts/ --events views.jsonl orders.jsonl --json
    """
    project = project_dir or Path.cwd()
    directory = directory or project / "journeys"
    console = Console(stderr=True)
    ahead = duration(until, "--until")
    policy, findings = load_policy(project / "config" / "winback.yaml")
    found = load_journeys(directory)
    errors = print_errors(console, (*findings, *found.diagnostics))

    look_for_cycles_seldom()
    started = time.perf_counter()
    bad: list[BadLine] = []
    simulation = Simulation(found.journeys.values(), policy, bare=bare)
    with Progress(console=console, transient=True, disable=as_json) as progress:
        bar = progress.add_task("reading", total=None)
        recorded = list(events([*files, *more], datetime.now(UTC), policy.shop.country, bad))
        recorded.sort(key=lambda event: event.order_key)
        progress.update(bar, description="running", total=len(recorded))
        for number, event in enumerate(recorded):
            simulation.feed(event)
            if number % 1000 == 0:
                progress.update(bar, completed=number)
        tallies = simulation.finish(ahead)
    print_bad_lines(console, bad)
    print_tallies(tallies, "What the journeys would have done", as_json=as_json)
    if not as_json:
        seconds = time.perf_counter() - started
        console.print(f"{len(recorded):,} events in {seconds:.1f} s", highlight=False)
    if errors or bad:
        raise SystemExit(FINDINGS)
