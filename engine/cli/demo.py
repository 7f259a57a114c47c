"""``winback demo``: a shop, a mailbox and everything between them, on a fast clock."""

from __future__ import annotations

import json
import signal
import time
from collections import deque
from pathlib import Path

import click
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from engine.cli._company import keep
from engine.cli._once import Outcome, perform
from engine.cli._signals import one_interrupt
from engine.cli._stage import LOG, stage
from engine.cli.main import FINDINGS
from engine.clock import from_environment
from engine.embedded.supervisor import Supervisor
from engine.web.demo import lasts

#: How fast time runs: for a person, ten minutes a second, so that the first mail comes some ten
#: seconds after they leave; alone, two hours a second, for two days in half a minute.
SPEED, ONCE_SPEED = 600.0, 7200.0
INTERRUPTED = 130


@click.command()
@click.option("--once", is_flag=True, help="Without a person: play, wait, audit, print, end.")
@click.option(
    "--speed",
    type=click.FloatRange(min=2, max=20_000),
    help=f"Clock seconds in one real second. Default: {SPEED:g}, with --once {ONCE_SPEED:g}.",
)
@click.option("--alone", is_flag=True, help="No scripted shoppers: only you.")
@click.pass_obj
def command(project_dir: Path | None, once: bool, speed: float | None, alone: bool) -> None:
    """See it work: a small shop with the snippet, a mailbox, and a page that shows all of it.

    Time runs fast. Look at something in the shop, leave, and read the mail; then buy it and see
    the rest stop. The journeys, templates and rules are those of this project; nothing leaves the
    machine, and the state is gone afterwards.

    With --once, scripted shoppers do it all within a minute. The last line is a JSON object of
    what happened; exit code 0 only when nothing was sent after its stop, nothing twice, no event
    was lost and the audit is clean.

    \b
    Example:
      winback demo
      winback demo --once | tail -1
    """
    began = time.monotonic()
    console = Console(stderr=True)
    said: deque[str] = deque(maxlen=40)
    outcome: Outcome | None = None

    def say(name: str, line: str) -> None:
        said.append(f"{name}: {line}")
        if line.startswith("ended;"):
            console.print(said[-1], style="red", markup=False, highlight=False)

    with one_interrupt():
        try:
            console.print("Starting PostgreSQL, Redis, web, workers and clock", style="dim")
            fast = speed or (ONCE_SPEED if once else SPEED)
            with stage(project_dir, speed=fast, any_port=once, say=say) as running:
                if once:
                    outcome = perform(running, console, began)
                else:
                    _with_a_person(running, console, began, alone=alone)
        except KeyboardInterrupt:
            console.print("Stopped.")
    if not once:
        return
    if outcome is None:
        raise click.exceptions.Exit(INTERRUPTED)
    if not outcome.fine:
        for line in (*said, *map(str, outcome.report.findings)):
            console.print(line, markup=False, highlight=False)
    # The very last line, when everything has stopped: a program reads it.
    click.echo(json.dumps(outcome.as_json(seconds=round(time.monotonic() - began, 1))))
    raise click.exceptions.Exit(0 if outcome.fine else FINDINGS)


def _with_a_person(running: Supervisor, console: Console, began: float, *, alone: bool) -> None:
    speed = from_environment(running.settings.clock).speed
    log = running.settings.home / LOG
    console.print(welcome(running.urls["web"], speed, time.monotonic() - began))
    console.print(f"What the processes say: {log}", style="dim", markup=False, soft_wrap=True)
    if not alone:
        keep(running, console, began)
    while True:
        signal.pause()


def welcome(web: str, speed: float, took: float) -> Panel:
    """Where everything is, in a frame. ``took``: seconds until it was ready."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")  # an address is whole or of no use
    table.add_column()
    for name, value, why in (
        ("Shop", f"{web}/shop/", "sign in, look at something, leave"),
        ("Mailbox", f"{web}/mailbox/", "what the shoppers get"),
        ("Live", f"{web}/live/", "events, runs and messages as they happen"),
        ("", "", ""),
        ("Time", f"runs {speed:,.0f} times as fast", f"one second is {lasts(speed)}"),
    ):
        table.add_row(f"[bold]{name}[/bold]", value, f"[dim]{why}[/dim]")
    return Panel(
        table,
        title="[bold]Winback demo[/bold]",
        subtitle=f"ready in {took:.1f} s · Ctrl-C stops all of it",
        border_style="dark_orange3",
        padding=(1, 2),
        expand=False,
    )
