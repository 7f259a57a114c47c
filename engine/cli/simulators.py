"""``winback simulators``: SendGrid, Twilio, an SMTP server, and ad platforms on this machine."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from engine.cli._signals import one_interrupt
from engine.clock import Clock, from_environment
from engine.errors import ConfigError
from engine.testing.ledger import Ledger
from engine.testing.plan import Plan
from engine.testing.providers import AD_PLATFORMS, PROVIDERS, Providers
from engine.testing.stories import Callbacks

#: Where they are unless told otherwise, so that what was exported holds after a restart.
_PORTS = {"sendgrid": 4010, "twilio": 4011, "smtp": 4025}
#: How many messages each remembers, to be found again.
_KEEP = 50_000
_PORT = click.IntRange(0, 65535)
_SHARE = click.FloatRange(0, 1)


def _plan(context: click.Context, option: click.Parameter, text: str) -> str:
    try:
        Plan.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return text


@click.command()
@click.option("--sendgrid", type=_PORT, help="Port of SendGrid, 0 for any free one.")
@click.option("--twilio", type=_PORT, help="Port of Twilio, 0 for any free one.")
@click.option("--smtp", type=_PORT, help="Port of an SMTP server, 0 for any free one.")
@click.option("--google", type=_PORT, help="Port of Google's Data Manager (ad audiences).")
@click.option("--meta", type=_PORT, help="Port of Meta's Graph API (ad audiences).")
@click.option(
    "--callback",
    metavar="URL",
    help="Where Winback is, such as http://127.0.0.1:8080: they report there.",
)
@click.option(
    "--faults",
    default="",
    metavar="SHARES",
    callback=_plan,
    help="What goes wrong: 429=2%,500=2%,hang=1%,cut=1%,drop=1%,slow=5%,450=5% and so on.",
)
@click.option(
    "--disorder",
    type=_SHARE,
    default=0.0,
    show_default=True,
    help="Share of the reports that come twice, late or before their turn.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides who is hit.")
@click.option("--latency", type=click.FloatRange(0, 60), default=0.05, show_default=True,
              help="Seconds before each answer.")  # fmt: skip
@click.option("--rate", type=click.IntRange(0), default=0, help="Requests a second; then 429.")
@click.option("--activity", is_flag=True, help="SendGrid's account shows what was sent (add-on).")
@click.option("--gzip", is_flag=True, help="Compress SendGrid's reports.")
@click.option(
    "--specs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with sendgrid/tsg_mail_v3.json, twilio/twilio_api_v2010.messages.json and "
    "google/datamanager.v1.jsonschema.json, the providers' own API files, to judge by. Without: by "
    "the documented limits.",
)
@click.option(
    "--ledger",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what was really taken to this file, as JSON lines.",
)
@click.option("--clock", envvar="WINBACK_CLOCK", default="", hidden=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines, for a program.")
def command(
    sendgrid: int | None,
    twilio: int | None,
    smtp: int | None,
    google: int | None,
    meta: int | None,
    callback: str | None,
    faults: str,
    disorder: float,
    seed: int,
    latency: float,
    rate: int,
    activity: bool,
    gzip: bool,
    specs: Path | None,
    ledger: Path | None,
    clock: str,
    as_json: bool,
) -> None:
    """Simulate the providers here, until Ctrl-C: nothing leaves this machine.

    They answer as the real ones do, with their limits and errors, and report back signed. The
    three that carry messages are started unless some are named. Say which channel goes where
    under `providers:` in config/winback.yaml, and which list is which under `audiences:`.

    \b
    Example:
      winback simulators --callback http://127.0.0.1:8080
      winback simulators --twilio 0 --faults 429=2%,hang=1%,cut=1% --seed 7
      winback simulators --callback http://127.0.0.1:8080 --disorder 0.2 --json
      winback simulators --google 4012 --meta 4013
    """
    named = {"sendgrid": sendgrid, "twilio": twilio, "smtp": smtp, "google": google, "meta": meta}
    ports = {name: port for name, port in named.items() if port is not None} or _PORTS
    providers = Providers(
        ports={name: ports[name] for name in (*PROVIDERS, *AD_PLATFORMS) if name in ports},
        plan=Plan.parse(faults, seed) if faults else None,
        callbacks=None
        if callback is None
        else Callbacks(
            url=callback, twice=disorder, shuffle=disorder, late=disorder, gzip=gzip, seed=seed
        ),
        ledger=_ledger(ledger),
        latency=latency,
        rate=rate,
        specs=specs,
        keep=_KEEP,
        activity=activity,
        clock=_clock(clock),
    )
    with one_interrupt(), ExitStack() as stack:
        stack.callback(providers.ledger.close)
        try:
            stack.enter_context(providers)
        except OSError as error:
            raise ConfigError(f"The simulators cannot start: {error}.") from error
        try:
            (_print_lines if as_json else _show)(providers)
        except KeyboardInterrupt:
            _say_end(providers, as_json)


def _ledger(path: Path | None) -> Ledger:
    try:
        return Ledger(path)
    except OSError as error:
        raise ConfigError(f"The ledger cannot be written: {error}.") from error


def _clock(text: str) -> Clock:
    try:
        return from_environment(text)
    except ValueError as error:
        raise ConfigError(f"WINBACK_CLOCK is not SPEED@ORIGIN: {error}.") from error


def _print_lines(providers: Providers) -> None:
    """One line at the start, then one whenever something has changed, at most each second."""
    _line({"environment": providers.environment})
    _watch(lambda: _line({"figures": providers.figures()}), providers, 1.0)


def _show(providers: Providers) -> None:
    console = Console()
    console.print("The simulators are up. Ctrl-C stops them. Tell Winback, where it is started:")
    for name, value in providers.environment.items():
        # Written whole, for it is to be copied.
        console.print(f"  export {name}={shlex.quote(value)}", soft_wrap=True, highlight=False)
    if providers.callbacks is None:
        console.print("They report nothing: say where Winback is with --callback.", style="yellow")
    if not console.is_terminal:
        _watch(lambda: None, providers, 60.0)
    with Live(_table(providers), console=console, auto_refresh=False) as live:
        _watch(lambda: live.update(_table(providers), refresh=True), providers, 0.25)


def _watch(tell: Callable[[], None], providers: Providers, pause: float) -> None:
    seen: Any = None
    while True:
        figures = providers.figures()
        if figures != seen:
            seen = figures
            tell()
        time.sleep(pause)


def _table(providers: Providers) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name, side in (("", "left"), ("requests", "right"), ("taken", "right"),
                       ("reports", "right"), ("posts", "right"), ("refused", "right"),
                       ("pending", "right"), ("faults", "left")):  # fmt: skip
        table.add_column(name, justify="right" if side == "right" else "left")
    for provider, row in providers.figures().items():
        numbers = [
            f"{row[name]:,}" if name in row else ""
            for name in ("requests", "taken", "reports", "posts", "refused", "pending")
        ]
        table.add_row(provider, *numbers, " ".join(f"{k} {v}" for k, v in row["faults"].items()))
    return table


def _say_end(providers: Providers, as_json: bool) -> None:
    doubled = providers.ledger.doubled()
    if as_json:
        _line({"end": providers.figures(), "doubled": len(doubled)})
        return
    console = Console()
    if not console.is_terminal:  # where there is one, it stands there already
        console.print(_table(providers))
    console.print(
        f"Stopped. {len(providers.ledger)} messages taken, {len(doubled)} more than once."
    )


def _line(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value))
