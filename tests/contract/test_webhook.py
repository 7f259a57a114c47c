"""Webhooks against a server that behaves and misbehaves."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engine.channels.webhook import WebhookChannel
from engine.errors import DeliveryError, OutcomeUnknown
from engine.model.message import Call, Email

SECRET = "a secret of sixteen or more"


class Server(ThreadingHTTPServer):
    """Answers with ``status`` and ``headers``; keeps what it was sent."""

    daemon_threads = True
    status = 204
    headers: dict[str, str] = {}  # noqa: RUF012
    silent = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.let_go = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, dict(self.headers), body))
        if self.server.silent:
            self.server.let_go.wait(10)
            return
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.let_go.set()
        made.shutdown()
        thread.join()


@pytest.fixture
def channel() -> Iterator[WebhookChannel]:
    made = WebhookChannel(SECRET, answer=0.3)
    yield made
    made.close()


def call(server: Server, path: str = "/hook?x=1") -> Call:
    return Call("m-1", server.url + path, {"shopper": "ü@x.de", "price": Decimal("19.90")}, "j")


def test_json_signed_over_the_bytes_as_sent(server: Server, channel: WebhookChannel) -> None:
    assert channel.send(call(server)).provider == "webhook"
    ((path, headers, body),) = server.calls
    assert path == "/hook?x=1"
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == "m-1"
    expected = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert headers["Winback-Signature"] == f"sha256={expected}"
    decoded = json.loads(body, parse_float=Decimal)
    assert decoded == {"shopper": "ü@x.de", "price": Decimal("19.90")}


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_a_refusal_is_permanent(server: Server, channel: WebhookChannel, status: int) -> None:
    server.status = status
    with pytest.raises(DeliveryError, match=str(status)) as refused:
        channel.send(call(server))
    assert refused.value.permanent
    assert not refused.value.suppress


@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_later_means_later(server: Server, channel: WebhookChannel, status: int) -> None:
    server.status, server.headers = status, {"Retry-After": "7"}
    with pytest.raises(DeliveryError) as refused:
        channel.send(call(server))
    assert not refused.value.permanent
    assert refused.value.retry_after == timedelta(seconds=7)


def test_a_redirect_is_not_followed(server: Server, channel: WebhookChannel) -> None:
    server.status, server.headers = 307, {"Location": server.url + "/elsewhere"}
    with pytest.raises(DeliveryError, match="final address") as refused:
        channel.send(call(server))
    assert refused.value.permanent
    assert len(server.calls) == 1


def test_a_failure_in_the_middle_is_unknown(server: Server, channel: WebhookChannel) -> None:
    server.status = 500
    with pytest.raises(OutcomeUnknown):
        channel.send(call(server))


def test_no_answer_is_unknown_and_not_tried_again(server: Server, channel: WebhookChannel) -> None:
    server.silent = True
    with pytest.raises(OutcomeUnknown):
        channel.send(call(server))
    assert len(server.calls) == 1


def test_nobody_there_is_tried_again(channel: WebhookChannel) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(DeliveryError, match="cannot be reached") as refused:
            channel.send(Call("m", f"http://127.0.0.1:{port}/", {}))
    assert not refused.value.permanent
    assert refused.value.retry_after


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://x.de/", "//x.de/", "hook", "http://", "http://[x/"]
)
def test_only_the_web_is_called(channel: WebhookChannel, url: str) -> None:
    with pytest.raises(DeliveryError, match="http or https") as refused:
        channel.send(Call("m", url, {}))
    assert refused.value.permanent


def test_it_carries_no_mail(channel: WebhookChannel) -> None:
    with pytest.raises(DeliveryError, match="JSON") as refused:
        channel.send(Email("m", "a@x.de", "s@x.de", "", "s", "t", ""))
    assert refused.value.permanent
