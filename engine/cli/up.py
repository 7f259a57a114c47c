"""``winback up``: the real thing on one machine."""

from __future__ import annotations

import signal
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from engine.cli._signals import one_interrupt
from engine.embedded.supervisor import Supervisor, print_line
from engine.errors import ConfigError
from engine.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Worker processes. Default: WINBACK_WORKERS, 2."
)
@click.pass_obj
def command(project_dir: Path | None, host: str, workers: int | None) -> None:
    """Run web, workers and clock here, until Ctrl-C.

    PostgreSQL and Redis are started too, with their state under WINBACK_HOME (default ./var),
    unless DATABASE_URL and REDIS_URL name yours. What ends is started again.

    \b
    Example:
      WINBACK_WRITE_KEY=my-secret-key winback up
      WINBACK_PORT=9000 winback --project-dir ~/shop up --host 0.0.0.0 --workers 4
    """
    settings = Settings.from_environment(project_dir=project_dir)
    if not settings.write_key:
        raise ConfigError(
            "WINBACK_WRITE_KEY is not set, so no storefront could send events: set it to a text "
            "of your own, such as:\n"
            "  export WINBACK_WRITE_KEY=$(python3 -c 'import secrets; "
            "print(secrets.token_urlsafe(18))')"
        )
    supervisor = Supervisor(settings, host=host, workers=workers, say=print_line)
    with one_interrupt():
        try:
            with supervisor:
                Console().print(_addresses(supervisor))
                while True:
                    signal.pause()
        except KeyboardInterrupt:
            click.echo("Stopped.")


def _addresses(supervisor: Supervisor) -> Table:
    web = supervisor.urls["web"]
    settings = supervisor.settings
    table = Table(title="Winback is up. Ctrl-C stops it.", show_header=False, title_justify="left")
    table.add_row("snippet", f"{web}/winback.js")
    table.add_row("collector", f"{web}/v1/batch")
    table.add_row("health", f"{web}/readyz")
    table.add_row("journeys", str(settings.project_dir / "journeys"))
    table.add_row("state", str(settings.home))
    return table
