"""What the chaos runs share: a whole Winback under a supervisor, and what is done to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis

from engine.clock import SystemClock
from engine.embedded.supervisor import Supervisor, print_line
from engine.settings import Settings
from engine.store.database import Database
from engine.store.views import progress
from tests.integration.test_up import free_port

ROOT = Path(__file__).resolve().parents[2]
KEY = "chaos-key"


def write_project(folder: Path, files: Mapping[str, str]) -> Path:
    """A project of these ``files``, by their paths in it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def settings_of(project: Path) -> Settings:
    return Settings(
        project_dir=project,
        home=project / "var",
        port=free_port(),
        write_key=KEY,
        secret="s" * 32,
        workers=2,
    )


class Ahead:
    """The machine's clock, put forward: ``by`` how much."""

    speed = 1.0
    by = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


@dataclass
class Shop:
    """A whole Winback under a supervisor, and what is done to it."""

    settings: Settings
    winback: Supervisor

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.winback.settings.to_environment()}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words],
            cwd=self.settings.project_dir,
            env={**self.environment(), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def kill(self, name: str) -> None:
        self.winback.kill(name)

    def flush(self) -> None:
        with redis.Redis.from_url(self.winback.urls["redis"]) as client:
            client.flushall()

    def database(self) -> Database:
        return Database(self.winback.urls["database"], connections=2)


@contextmanager
def running(settings: Settings, say: Callable[[str, str], None] = print_line) -> Iterator[Shop]:
    """``say`` gets each line that the processes print, with the name of who did."""
    with Supervisor(settings, say=say) as winback:
        yield Shop(settings, winback)


def until(condition: Callable[[], object], seconds: float, what: str, pause: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)


def dry(database: Database) -> bool:
    """No event waits, and no timer and no message is ahead. A message whose worker was killed
    during the call stays claimed; its time to be called unknown comes later."""
    with database.connection() as connection:
        left = progress(connection, SystemClock().now())
    return not (left.inbox or left.due or left.waiting)


def audited(shop: Shop) -> dict[str, Any]:
    """The real command finds nothing. Gives its report."""
    audit = shop.start("audit", "--json")
    out, err = audit.communicate(timeout=300)
    assert out, err
    report: dict[str, Any] = json.loads(out)
    assert report["promises"] == dict.fromkeys(report["promises"], 0), report["findings"]
    assert audit.returncode == 0, err
    assert report["ok"] is True
    for count in ("sent_after_stop", "duplicate_sends", "lost_events", "unjudged"):
        assert report[count] == 0, count
    assert report["facts"]["inbox"] == report["facts"]["due"] == 0
    return report
