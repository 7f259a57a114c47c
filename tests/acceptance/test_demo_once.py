"""``winback demo`` on real processes: without a person, and with one who presses Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import urllib3

ROOT = Path(__file__).resolve().parents[2]
WINBACK = Path(sys.executable).with_name("winback")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def start(*words: str, home: Path, **more: str) -> subprocess.Popen[str]:
    env = {**os.environ, "WINBACK_HOME": str(home), "COLUMNS": "120", **more}
    return subprocess.Popen(
        [str(WINBACK), "demo", *words],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_once_plays_audits_and_ends_by_itself(tmp_path: Path) -> None:
    began = time.monotonic()
    demo = start("--once", home=tmp_path)
    out, err = demo.communicate(timeout=200)
    took = time.monotonic() - began
    found = json.loads(out.splitlines()[-1])

    told = f"{json.dumps(found, indent=1)}\n{err}"
    assert demo.returncode == 0, told
    assert took < 120
    assert (found["sent_after_stop"], found["duplicate_sends"], found["lost_events"]) == (0, 0, 0)
    assert found["audit"] == "ok"
    assert set(found["promises"].values()) == {0}
    # What does not depend on how fast this machine is: who came, what they said, who bought.
    # Every thirty-sixth shopper or so says everything twice.
    assert found["events_accepted"] >= found["events_processed"] + 80, told
    assert found["events_processed"] >= 1000, told
    assert found["enrollments"] >= 500, told
    assert found["stopped_by_purchase"] >= 150, told
    assert found["messages_sent"] > 0, told
    assert "360 shoppers enter the shop" in err
    assert list(tmp_path.iterdir()) == []  # the state is gone


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def demo(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    running = start(home=tmp_path, WINBACK_PORT=str(port))
    yield running
    if running.poll() is None:
        running.kill()
    running.communicate()


def test_with_a_person_the_pages_are_there_until_ctrl_c(
    demo: subprocess.Popen[str], port: int, tmp_path: Path
) -> None:
    assert demo.stderr
    welcome = ""
    for line in demo.stderr:
        welcome += line
        if "first mail" in line:
            break
    for page in ("shop", "mailbox", "live"):
        assert f"http://127.0.0.1:{port}/{page}/" in welcome
    assert re.search("runs 600 times as fast", welcome)
    with urllib3.PoolManager(retries=False) as http:
        for page in ("shop/", "live/", "mailbox/", "winback.js"):
            assert http.request("GET", f"http://127.0.0.1:{port}/{page}").status == 200
        letters = http.request("GET", f"http://127.0.0.1:{port}/mailbox/").data.decode()
        assert "@example.com" in letters and "Chinar" in letters

    family = psutil.Process(demo.pid).children(recursive=True)
    assert len(family) >= 5
    demo.send_signal(signal.SIGINT)
    assert demo.wait(timeout=30) == 0
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


def test_a_project_without_journeys_is_told_what_to_do(tmp_path: Path) -> None:
    env = {**os.environ, "WINBACK_HOME": str(tmp_path / "var")}
    words = [str(WINBACK), "--project-dir", str(tmp_path), "demo", "--once"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "There is no directory journeys/" in done.stderr
    assert "--project-dir" in done.stderr


def test_a_database_with_real_shoppers_is_refused(database_url: str, tmp_path: Path) -> None:
    from engine.store.database import Database

    with Database(database_url) as store, store.connection() as connection:
        connection.execute(
            "insert into profile (id, born_of) values (1, 'email:real@shop.example')"
        )
    demo = start("--once", home=tmp_path, DATABASE_URL=database_url)
    _, err = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "already holds shoppers" in err and "createdb" in err
    assert "real@shop" not in err
