"""The collector as it is run: Granian, a process of its own, real clients, a hard death."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import segment.analytics as segment_analytics

from engine.embedded.supervisor import web_command
from tests.collector_kit import KEY, accepted, counted

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def granian(url: str, redis_url: str, home: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The web process on a free port, as ``winback up`` starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        web_command("127.0.0.1", port),
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "WINBACK_HOME": str(home),
            "WINBACK_WRITE_KEY": KEY,
        },
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not answers(port):
            assert process.poll() is None, "granian ended"
            assert time.monotonic() < deadline, "granian does not answer"
            time.sleep(0.05)
        yield process, port
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


def answers(port: int) -> bool:
    try:
        return request(port, "GET", "/healthz")[0] == 200
    except OSError:
        return False


def request(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.usefixtures("no_proxy")
def test_segments_own_client(database_url: str, redis_url: str, tmp_path: Path) -> None:
    with granian(database_url, redis_url, tmp_path) as (_, port):
        problems: list[object] = []
        for gzip in (False, True):
            client = segment_analytics.Client(
                KEY,
                host=f"http://127.0.0.1:{port}",
                gzip=gzip,
                on_error=lambda error, items: problems.append(error),
            )
            client.identify(f"u{gzip}", {"email": f"{gzip}@example.com", "firstName": "Ann"})
            client.track(f"u{gzip}", "Order Completed", {"revenue": 19.99, "currency": "EUR"})
            client.page(f"u{gzip}", "Shop", "Home", {"path": "/"})
            client.screen(f"u{gzip}", "Shop", "Home")
            client.group(f"u{gzip}", "g1", {"name": "Firm"})
            client.alias("cookie", f"u{gzip}")
            client.flush()
            client.join()
        assert problems == []
        status, body = request(
            port,
            "POST",
            "/v1/track",
            json.dumps({"userId": "u", "event": "X"}).encode(),
            X_Write_Key=KEY,
        )
        assert (status, body) == (200, b'{"success":true}')
    kinds = ["identify", "track", "page", "screen", "group", "alias"]
    events = accepted(database_url)
    assert [event.kind for event in events] == [*kinds, *kinds, "track"]
    assert events[0].properties == {"email": "False@example.com", "first_name": "Ann"}
    assert counted(database_url) == 13


def test_a_body_in_chunks_and_one_that_breaks_off(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    body = json.dumps({"userId": "u", "event": "X", "writeKey": KEY}).encode()
    with granian(database_url, redis_url, tmp_path) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/v1/track", iter([body[:10], body[10:]]), encode_chunked=True)
        assert connection.getresponse().read() == b'{"success":true}'
        connection.close()
        with socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(
                b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n" + body
            )
        assert request(port, "GET", "/healthz")[0] == 200
    assert len(accepted(database_url)) == 1


def test_killed_at_any_moment_it_loses_nothing_it_answered_for(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    answered: list[str] = []

    def send(sender: int, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            for n in range(10_000):
                name = f"{sender}-{n}"
                body = json.dumps({"userId": f"u{sender}", "event": "X", "messageId": name})
                connection.request("POST", "/v1/track", body, {"X-Write-Key": KEY})
                response = connection.getresponse()
                if response.status == 200 and response.read() == b'{"success":true}':
                    answered.append(name)
        except (OSError, http.client.HTTPException):
            return  # the process is dead
        finally:
            connection.close()

    with (
        granian(database_url, redis_url, tmp_path) as (process, port),
        ThreadPoolExecutor(8) as pool,
    ):
        senders = [pool.submit(send, sender, port) for sender in range(8)]
        deadline = time.monotonic() + 30
        while len(answered) < 400 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)
        for sender in senders:
            sender.result(30)
    assert len(answered) >= 400
    kept = [event.id for event in accepted(database_url)]
    assert set(answered) - set(kept) == set()
    assert len(kept) == counted(database_url)
