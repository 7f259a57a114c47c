"""The supervisor and ``winback up``: all comes up, what dies comes back, all goes down."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import urllib3

from engine.embedded.supervisor import Supervisor, Watched, web_command
from engine.errors import ConfigError, WinbackError
from engine.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

#: Stands in for web: answers every path with its environment, and keeps a child that ignores
#: SIGTERM, as a web server's worker may.
WEB = """
import http.server, json, os, subprocess, sys
stubborn = "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
child.stdout.readline()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"child": child.pid, "env": dict(os.environ)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
print("hello from web", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

IDLE = "import signal; signal.pause()"


class Small(Supervisor):
    """With programs that need nothing of the other rooms."""

    extra: dict[str, Sequence[str]]

    def commands(self) -> dict[str, Sequence[str]]:
        python = sys.executable
        return {
            "web": [python, "-c", WEB, str(self.settings.port)],
            "worker-1": [python, "-c", IDLE],
            **getattr(self, "extra", {}),
        }


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str) -> Any:
    with urllib3.PoolManager(retries=False, timeout=5.0) as http:
        return json.loads(http.request("GET", url).data)


@pytest.fixture
def project() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="winback-test-") as path:
        yield Path(path).resolve()


@pytest.fixture
def settings(project: Path) -> Settings:
    return Settings(
        project_dir=project,
        home=project / "var",
        port=free_port(),
        write_key="key",
        secret="s" * 32,
    )


@pytest.fixture
def elsewhere(settings: Settings, database_url: str, redis_url: str) -> Settings:
    """The same on the tests' own services: nothing embedded, so a start takes no time."""
    from dataclasses import replace

    return replace(settings, database_url=database_url, redis_url=redis_url)


def quiet(name: str, line: str) -> None:
    pass


def test_everything_comes_up_and_goes_down(settings: Settings) -> None:
    lines: list[tuple[str, str]] = []
    with Small(settings, say=lambda name, line: lines.append((name, line))) as winback:
        assert list(winback.pids()) == ["postgres", "redis", "web", "worker-1"]
        with psycopg.connect(winback.urls["database"]) as connection:
            assert connection.execute("select count(*) from lane").fetchone() == (16,)
        told = get(winback.urls["web"])
        assert told["env"]["DATABASE_URL"] == winback.urls["database"]
        assert told["env"]["REDIS_URL"] == winback.urls["redis"]
        assert told["env"]["WINBACK_HOME"] == str(settings.home)
        assert told["env"]["WINBACK_WRITE_KEY"] == "key"
        assert ("web", "hello from web") in lines
        pids = [*winback.pids().values(), told["child"]]
        began = time.monotonic()
    assert time.monotonic() - began < 5
    for pid in pids:
        until(lambda pid=pid: gone(pid))
    assert winback.pids() == {}


def test_what_is_killed_comes_back(settings: Settings) -> None:
    with Small(settings, say=quiet) as winback:
        with psycopg.connect(winback.urls["database"]) as connection:
            connection.execute("create table kept as select 42 as n")
        for name, before in winback.pids().items():
            winback.kill(name)
            until(lambda name=name, old=before: winback.pids().get(name, old) != old)
            winback.wait_until_ready()
        with psycopg.connect(winback.urls["database"]) as connection:
            assert connection.execute("select n from kept").fetchone() == (42,)


def test_a_crash_from_outside_is_seen_and_nothing_of_it_is_left(elsewhere: Settings) -> None:
    lines: list[str] = []
    with Small(elsewhere, say=lambda name, line: lines.append(f"{name}: {line}")) as winback:
        orphan = get(winback.urls["web"])["child"]
        os.kill(winback.pids()["web"], signal.SIGKILL)
        until(lambda: any(re.match("web: ended; .* again in 0.1 s", line) for line in lines))
        winback.wait_until_ready()
        until(lambda: gone(orphan))
        assert get(winback.urls["web"])["child"] != orphan


def test_one_may_be_kept_down_until_it_is_wanted(elsewhere: Settings) -> None:
    with Small(elsewhere, say=quiet) as winback:
        winback.kill("worker-1", restart=False)
        winback.wait_until_ready()  # it is not waited for
        assert "worker-1" not in winback.pids()
        winback.restart("worker-1")
        assert "worker-1" in winback.pids()
        with pytest.raises(WinbackError, match="only web, worker-1"):
            winback.kill("worker-7")


def test_pauses_grow_and_start_afresh_after_a_good_while() -> None:
    watched = Watched(service=None, started=100.0)  # type: ignore[arg-type]
    assert [watched.pause(101.0) for _ in range(9)] == [
        *(0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0)
    ]
    assert watched.pause(200.0) == 0.1


def test_a_program_that_cannot_work_is_named_with_its_last_words(elsewhere: Settings) -> None:
    winback = Small(elsewhere, say=quiet)
    winback.extra = {"clock": [sys.executable, "-c", "raise SystemExit('no clock today')"]}
    with pytest.raises(WinbackError, match=r"clock does not stay up. It said:\nno clock today"):
        winback.start()
    assert winback.pids() == {}
    with Small(elsewhere, say=quiet):
        pass  # the home is free again


def test_a_home_has_one_winback(elsewhere: Settings) -> None:
    with (
        Small(elsewhere, say=quiet),
        pytest.raises(ConfigError, match=rf"process {os.getpid()}\) is running"),
    ):
        Small(elsewhere, say=quiet).start()


def test_a_taken_port_is_said_before_anything_starts(elsewhere: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", elsewhere.port))
        taken.listen()
        with pytest.raises(ConfigError, match="WINBACK_PORT"):
            Small(elsewhere, say=quiet).start()


OWNER = """
import pathlib, sys
sys.path[:0] = sys.argv[2:]
from test_up import Small
from engine.settings import Settings
winback = Small(Settings.from_environment(project_dir=pathlib.Path(sys.argv[1])))
winback.start()
print(*winback.pids().values(), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_killed_supervisor_leaves_nothing_and_hinders_nobody(project: Path) -> None:
    env = {**os.environ, "WINBACK_PORT": str(free_port())}
    command = [sys.executable, "-c", OWNER, str(project), str(ROOT), str(Path(__file__).parent)]
    for _ in range(2):
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        ) as owner:
            assert owner.stdout is not None
            line = ""
            while not re.fullmatch(r"[\d ]+\n", line):
                line = owner.stdout.readline()
                assert line, "it ended"
            owner.kill()
        for pid in map(int, line.split()):
            until(lambda pid=pid: gone(pid))


def test_the_procfile_starts_web_as_up_does() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    processes = dict(line.split(": ", 1) for line in lines)
    assert list(processes) == ["web", "worker", "clock"]
    ours = web_command("0.0.0.0", 8080)
    assert processes["web"].replace("${PORT:-8080}", "8080").split() == ours[2:]


@pytest.fixture
def up(project: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def run(**env: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "engine.cli.main", "--project-dir", str(project), "up"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **env},
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def test_up_without_a_write_key_says_how_to_get_one(up: Callable[..., Any]) -> None:
    process = up()
    said, _ = process.communicate()
    assert process.returncode == 1
    assert "export WINBACK_WRITE_KEY=" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_up_is_the_real_thing(up: Callable[..., Any], project: Path, how: signal.Signals) -> None:
    for name in ("journeys", "templates", "config"):
        (project / name).symlink_to(ROOT / name)
    port = free_port()
    process = up(WINBACK_WRITE_KEY="key", WINBACK_PORT=str(port))
    said = ""
    while "Ctrl-C stops it" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    with urllib3.PoolManager(retries=False, timeout=5.0) as http:
        answer = http.request(
            "POST",
            f"http://127.0.0.1:{port}/v1/track",
            json={"userId": "u1", "event": "Product Viewed", "properties": {"product_id": "p"}},
            headers=urllib3.make_headers(basic_auth="key:"),
        )
        assert answer.status == 200, answer.data
    children = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    process.send_signal(how)
    process.send_signal(how)  # the impatient second one
    rest, _ = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert process.returncode == 0, rest
    assert rest.endswith("Stopped.\n")
    for child in children:
        until(lambda child=child: gone(child.pid))
