"""``winback bench``: the budgets, measured here, each beside its limit."""

from __future__ import annotations

import os

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine.bench.measurements import MEASUREMENTS, run
from engine.bench.report import Figure, notes, table
from engine.bench.sizes import SCALES
from engine.cli._signals import one_interrupt
from engine.cli.main import FINDINGS, print_json


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", type=click.Choice(list(MEASUREMENTS)))
@click.option(
    "--scale",
    type=click.Choice(list(SCALES)),
    default="full",
    show_default=True,
    help="small: under a minute, to see that it works; full: ten minutes, to judge by.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(names: tuple[str, ...], scale: str, as_json: bool) -> None:
    """Measure how fast Winback is on this machine, beside what the machine can do.

    \b
    NAME is one or more of: singles, batches, drain, end-to-end, latency, timers, render, reload,
    deliver, callbacks, stop, segments, lint, simulate, memory. Without a name: all of them.

    PostgreSQL, Redis, web, workers, clock, load and mail server are the bench's own and are gone
    afterwards. Exit code 1 only where something could not be
    measured, never for being slow.

    \b
    Example:
      winback bench
      winback bench --scale small
      winback bench singles drain --json
    """
    chosen = [name for name in MEASUREMENTS if not names or name in names]
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first measurement"
    figures: list[Figure] = []
    failed: list[str] = []
    errors = Console(stderr=True)
    with one_interrupt(), _progress(errors, as_json) as progress:
        bar = progress.add_task("starting", total=len(chosen))

        def tell(doing: str) -> None:
            progress.update(bar, description=doing)

        for found in run(chosen, SCALES[scale], tell, failed):
            figures += found
            progress.advance(bar)
    if as_json:
        print_json(
            {
                "scale": scale,
                "machine": machine,
                "figures": [figure.to_json() for figure in figures],
                "failed": failed,
            }
        )
    else:
        _show(figures)
        errors.print(
            f"{machine}. Other work on the machine makes figures worse; compare the ratios.",
            highlight=False,
        )
    for reason in failed:
        errors.print(reason, style="red", markup=False, highlight=False)
    if failed:
        raise SystemExit(FINDINGS)


def _show(figures: list[Figure]) -> None:
    console = Console()
    console.print(table(figures))
    for note in notes(figures):
        console.print(f"  {note}", style="dim", highlight=False)


def _progress(console: Console, quiet: bool) -> Progress:
    # Redrawn seldom: the drawing thread must not take from what is measured in this process.
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet,
        refresh_per_second=2,
    )
