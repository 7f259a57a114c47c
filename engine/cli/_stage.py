"""The demo's stage: everything of ``winback up``, with the demo's pages and a fast clock."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine import bootstrap
from engine.embedded.supervisor import Supervisor
from engine.errors import ConfigError
from engine.settings import Settings
from engine.store import views

#: In the demo's home: what web, workers and clock have said.
LOG = "demo.log"
#: What the shop's clock shows when the doors open: in the morning no quiet hours stand in the way.
MORNING = 8
#: Seconds that PostgreSQL, Redis and the processes usually take to come up.
START_SECONDS = 5


@contextmanager
def stage(
    project_dir: Path | None, *, speed: float, any_port: bool, say: Callable[[str, str], None]
) -> Iterator[Supervisor]:
    """Everything running, in a directory of its own that is gone afterwards.

    ``any_port``  take a free port unless WINBACK_PORT names one; else only where the usual one
                  is taken.
    ``say``       gets each line of a child, with the child's name; all are in ``LOG`` too.

    A database of the caller's (DATABASE_URL) is used only when it is empty: the demo's shoppers
    have no business among real ones. Raises ``ConfigError`` otherwise.
    """
    parent = os.environ.get("WINBACK_HOME")
    if parent:
        Path(parent).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix="winback-demo-", dir=parent, ignore_cleanup_errors=True
    ) as home:
        env = {**os.environ, "WINBACK_HOME": home, "WINBACK_DEMO": "1"}
        env["WINBACK_CLOCK"] = fast_clock(datetime.now(UTC), speed)
        env["WINBACK_PORT"] = str(_port(any_port))
        env.setdefault("WINBACK_WRITE_KEY", f"demo-{secrets.token_hex(8)}")
        settings = Settings.from_environment(env, project_dir=project_dir)
        if not (settings.project_dir / "journeys").is_dir():
            raise ConfigError(
                f"There is no directory journeys/ in {settings.project_dir}: start the demo in "
                "Winback's project directory, or name it with --project-dir."
            )
        _require_fresh(settings)
        with (settings.home / LOG).open("a", encoding="utf-8") as log:

            def note(name: str, line: str) -> None:
                if not log.closed:  # a child's last words may come when all is put away
                    log.write(f"{name:>9} | {line}\n")
                    log.flush()
                say(name, line)

            with Supervisor(settings, say=note) as running:
                yield running


def fast_clock(now: datetime, speed: float) -> str:
    """``WINBACK_CLOCK`` for a clock that runs ``speed`` times as fast, and shows the next morning
    when everything has come up.

    The origin is where that clock and the real one showed the same time: some minutes ago.
    """
    ready = now + timedelta(seconds=START_SECONDS)
    if speed <= 1:
        return ""
    morning = ready.replace(hour=MORNING, minute=0, second=0, microsecond=0)
    if morning <= ready:
        morning += timedelta(days=1)
    origin = ready - (morning - ready) / (speed - 1)
    return f"{speed:g}@{origin.isoformat()}"


def _port(any_port: bool) -> int:
    given = os.environ.get("WINBACK_PORT")
    if given and given.isdigit():
        return int(given)
    usual = 8080
    for port in (0,) if any_port else (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return usual


def _require_fresh(settings: Settings) -> None:
    if settings.database_url is None:
        return
    with bootstrap.database(settings, connections=1) as store, store.connection() as connection:
        if not views.is_fresh(connection):
            raise ConfigError(
                "DATABASE_URL names a database that already holds shoppers. The demo wants an "
                "empty one: make one with createdb, or unset DATABASE_URL and the demo starts "
                "its own."
            )
