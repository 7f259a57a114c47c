"""The real programs: an order that was set aside is put in again and stops what it has to."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import urllib3

ROOT = Path(__file__).resolve().parents[2]

JOURNEY = """\
journey: left
trigger: {event: Product Viewed}
stop: {event: Order Completed, goal: true}
steps:
  - wait: 7 days
  - send: email
    template: win-back
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Shop:
    def __init__(self, folder: Path, port: int, env: dict[str, str]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.env = {**os.environ, **env, "WINBACK_PORT": str(port), "WINBACK_WRITE_KEY": "k"}
        self.database = env["DATABASE_URL"]

    def command(self, *words: str) -> list[str]:
        return [
            *(sys.executable, "-m", "engine.cli.main"),
            *("--project-dir", str(self.folder), *words),
        ]

    def winback(self, *words: str, code: int = 0) -> Any:
        run = subprocess.run(
            self.command(*words, "--json"),
            env=self.env,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert run.returncode == code, run.stdout + run.stderr
        return json.loads(run.stdout)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query.encode()).fetchall()

    def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def post(self, kind: str, body: dict[str, Any]) -> int:
        data = json.dumps({"writeKey": "k", **body}).encode()
        with urllib3.PoolManager(retries=False, timeout=10) as http:
            return int(http.request("POST", f"{self.url}/v1/{kind}", body=data).status)

    def ready(self) -> bool:
        try:
            with urllib3.PoolManager(retries=False, timeout=5) as http:
                return http.request("GET", f"{self.url}/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False


@pytest.fixture
def shop(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Shop]:
    for name in ("journeys", "config"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates").symlink_to(ROOT / "templates")
    (tmp_path / "journeys" / "left.yaml").write_text(JOURNEY)
    (tmp_path / "config" / "winback.yaml").write_text("shop: {country: GB}\n")
    services = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "WINBACK_SECRET": "s" * 32}
    found = Shop(tmp_path, free_port(), {**services, "WINBACK_HOME": str(tmp_path / "var")})
    with open(tmp_path / "log", "wb") as log:
        up = subprocess.Popen(
            found.command("up"), env=found.env, cwd=tmp_path, stdout=log, stderr=log
        )
        try:
            found.until(lambda: up.poll() is not None or found.ready())
            assert up.poll() is None, (tmp_path / "log").read_text()
            yield found
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(30)


def test_an_order_that_was_set_aside_stops_its_run_once_it_is_in_again(shop: Shop) -> None:
    assert shop.post("track", {"event": "Product Viewed", "userId": "1", "properties": {}}) == 200
    shop.until(lambda: shop.ask("select 1 from enrollment where status = 'active'"))
    # As an earlier version would have: an order of many lines did not fit through the door.
    lines = [{"product_id": f"p{n}", "name": "x" * 200} for n in range(300)]
    order = {
        **{"type": "track", "event": "Order Completed", "userId": "1", "messageId": "o1"},
        "properties": {"order_id": "1", "products": lines, "currency": "GBP", "revenue": 300},
    }
    with psycopg.connect(shop.database) as connection:
        connection.execute(
            "insert into rejected (received_at, source, reason, body)"
            " values (now(), 'collector', '70000 bytes; an event has at most 32768', %s)",
            [json.dumps(order)],
        )
    (group,) = shop.winback("rejected", code=1)["rejected"]
    assert (group["reason"], group["n"]) == ("# bytes; an event has at most #", 1)

    told = shop.winback("rejected", "--retry", "--reason", "an event has at most")
    assert (told["accepted"], told["stayed"]) == (1, {})
    assert shop.winback("rejected")["rejected"] == []
    shop.until(lambda: shop.ask("select 1 from enrollment where status = 'stopped' and goal"))
    # Sent once more by its sender, through the door: it fits now, and counts once.
    assert shop.post("track", order) == 200
    shop.until(lambda: shop.ask("select 1 from ledger where fact = 'duplicate' and n > 0"))
    assert shop.ask("select orders from profile") == [(1,)]
    report = shop.winback("audit")
    assert report["ok"] and report["facts"]["accepted"] == 3
