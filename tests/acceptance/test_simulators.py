"""``winback simulators`` beside ``winback up``: messages go out, and what became of them comes
back as events, over real HTTP with real signatures and faults on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from engine.embedded.postgres import EmbeddedPostgres
from engine.store.database import Database
from engine.testing.ledger import Ledger
from tests.integration.test_up import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]
KEY = "a-write-key"
SHOPPERS = 120

JOURNEY = """
journey: left-behind
trigger: {event: Product Viewed}
steps:
  - send: email
    template: note
    topic: orders
    on_unknown: hold
  - send: sms
    template: note
    topic: orders
    on_unknown: hold
"""
CONFIG = """
shop: {name: Test, url: "http://localhost", sms from: "+15005550006"}
topics:
  orders: {title: Your orders, consent: none}
providers: {email: sendgrid, sms: twilio}
"""
EMAIL = """---
subject: "A note"
---
<p>Hello</p><a href="http://localhost/p">look</a> <a href="{{ unsubscribe_url }}">unsubscribe</a>
"""


class Process:
    """A command of ours that runs until it is interrupted."""

    def __init__(self, *words: str, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "engine.cli.main", *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "it ended"
        return line

    def stop(self) -> str:
        self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=60)
        return out


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Process] = []

    def start(*words: str, **env: str) -> Process:
        started.append(Process(*words, env=env))
        return started[-1]

    yield start
    for each in reversed(started):
        if each.process.poll() is None:
            each.stop()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "journeys/left-behind.yaml": JOURNEY,
        "config/winback.yaml": CONFIG,
        "templates/note/email.en.html": EMAIL,
        "templates/note/sms.en.txt": "A note from us",
    }
    for name, text in files.items():
        path = tmp_path / "shop" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "shop"


def reported(database: Database) -> Counter[str]:
    """How many messages each kind of report came in about."""
    with database.connection() as connection:
        rows = connection.execute(
            """
            select name, count(distinct coalesce(properties->>'message_id', id)) from event
             where id like 'sendgrid:%' or id like 'twilio:%' group by name
            """
        ).fetchall()
    return Counter(dict(rows))


def statuses(database: Database) -> Counter[str]:
    with database.connection() as connection:
        rows = connection.execute("select status, count(*) from message group by status")
        return Counter(dict(rows.fetchall()))


def until(condition: Callable[[], bool], seconds: float, what: Callable[[], Any]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        time.sleep(0.2)


def test_messages_are_delivered_and_their_receipts_come_back(
    start: Start, project: Path, tmp_path: Path
) -> None:
    web = f"http://127.0.0.1:{free_port()}"
    truth = tmp_path / "ledger.jsonl"
    simulators = start(
        *("simulators", "--sendgrid", "0", "--twilio", "0", "--callback", web),
        *("--faults", "429=5%,503=5%,cut=3%,lie=2%", "--disorder", "0.2", "--seed", "3", "--gzip"),
        *("--latency", "0.01", "--ledger", str(truth), "--json"),
    )
    environment = json.loads(simulators.line())["environment"]
    port = web.rpartition(":")[2]
    up = start(
        *("--project-dir", str(project), "up"),
        **{**environment, "WINBACK_WRITE_KEY": KEY, "WINBACK_PORT": port},
    )
    while "Ctrl-C stops it" not in up.line():
        pass

    batch = [
        {
            "type": "track",
            "event": "Product Viewed",
            "userId": f"u{n}",
            "properties": {"product_id": "p"},
            "context": {"traits": {"email": f"s{n}@example.org", "phone": f"+1415555{n:04}"}},
        }
        for n in range(SHOPPERS)
    ]
    login = urllib3.make_headers(basic_auth=f"{KEY}:")
    answer = urllib3.request("POST", f"{web}/v1/batch", json={"batch": batch}, headers=login)
    assert answer.status == 200, answer.data

    with Database(EmbeddedPostgres(project / "var" / "postgres").url, connections=2) as database:

        def settled() -> bool:
            found = statuses(database)
            return found["sent"] + found["failed"] == 2 * SHOPPERS

        def heard() -> bool:
            found = reported(database)
            mails = found["Email Processed"]
            texts = found["SMS Delivered"] + found["SMS Failed"]
            return mails == SHOPPERS and texts == SHOPPERS

        # Every message has an end, the unknown ones by their reports; none was doubled.
        until(heard, 90, lambda: (reported(database), statuses(database)))
        until(settled, 30, lambda: statuses(database))
        names = reported(database)
    figures = json.loads(simulators.stop().splitlines()[-1])
    up.stop()

    ledger = Ledger.read(truth)
    assert figures["doubled"] == 0
    assert ledger.doubled() == {}
    assert len(ledger.times()) == len(ledger) == 2 * SHOPPERS
    for provider in ("sendgrid", "twilio"):
        end = figures["end"][provider]
        assert end["taken"] == SHOPPERS
        assert end["faults"], "nothing went wrong, so nothing was shown"
        # Each report was believed: a wrong signature would be 401.
        assert end["accepted"] == end["posts"] and end["refused"] == end["given up"] == 0
    assert names["Email Delivered"] > SHOPPERS / 2
    assert names["Email Opened"] and names["Email Bounced"]


def test_what_cannot_start_says_why(start: Start, tmp_path: Path) -> None:
    first = start("simulators", "--twilio", "0", "--json")
    environment = json.loads(first.line())["environment"]
    assert set(environment) == {"TWILIO_BASE_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"}
    port = environment["TWILIO_BASE_URL"].rpartition(":")[2]
    for words, code, said in (
        (["--twilio", port], 1, "cannot start"),
        (["--ledger", str(tmp_path / "none" / "x")], 1, "cannot be written"),
        (["--faults", "429=2"], 2, "no share"),
        (["--sendgrid", "0", "--specs", str(tmp_path)], 1, "tsg_mail_v3.json"),
        (["--clock", "soon"], 1, "SPEED@ORIGIN"),
    ):
        failed = subprocess.run(
            [sys.executable, "-m", "engine.cli.main", "simulators", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
        )
        assert failed.returncode == code, failed.stderr
        assert said in failed.stderr and "Traceback" not in failed.stderr
    assert '"end"' in first.stop()
