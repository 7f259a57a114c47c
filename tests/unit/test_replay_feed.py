"""Sending recordings over HTTP to a collector that misbehaves: nothing is lost, nothing is new."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.intake import wire
from engine.intake.segment import parse_batch
from engine.runtime.feed import Feed, FeedError

START = datetime(2026, 3, 2, 9, tzinfo=UTC)

#: (status, headers, body), or None to hang up without a word.
Answer = tuple[int, dict[str, str], Any] | None
FINE: Answer = (200, {}, {"success": True})


class Collector:
    """A collector whose answers are told in advance; after them it takes everything."""

    def __init__(self) -> None:
        self.answers: list[Answer | Callable[[list[Any]], Answer]] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.bodies: list[bytes] = []
        self.taken: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.authorization: set[str | None] = set()
        self.connections: set[Any] = set()
        self.guard = threading.Lock()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = collector.take(self, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, content = answer
                data = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    def take(self, handler: BaseHTTPRequestHandler, body: bytes) -> Answer:
        assert handler.path == "/v1/batch"
        batch = json.loads(body)["batch"]
        with self.guard:
            self.connections.add(handler.client_address)
            self.authorization.add(handler.headers["Authorization"])
            self.batches.append(batch)
            self.bodies.append(body)
            self.times.append(time.monotonic())
            answer = self.answers.pop(0) if self.answers else FINE
            if callable(answer):
                answer = answer(batch)
            if answer is not None and answer[0] == 200:
                self.taken += batch
        return answer

    @property
    def ids(self) -> list[str]:
        return [event["messageId"] for event in self.taken]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


def line(number: int, who: str = "u", **more: Any) -> str:
    event = {
        "type": "track",
        "event": "Product Viewed",
        "userId": who,
        "messageId": f"m{number}",
        "timestamp": (START + timedelta(seconds=number)).isoformat(),
        "properties": {"product_id": "p", "price": 19.90},
    }
    return json.dumps({**event, **more})


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "views.jsonl"
    path.write_text("\n".join(line(n) for n in range(100)), "utf-8")
    return path


def test_everything_arrives_in_order_in_batches_on_one_connection(
    collector: Collector, recording: Path
) -> None:
    fed = Feed(collector.url, "key", size=30).run([recording])
    assert collector.ids == [f"m{n}" for n in range(100)]
    assert [len(batch) for batch in collector.batches] == [30, 30, 30, 10]
    assert len(collector.connections) == 1
    assert collector.authorization == {"Basic " + base64.b64encode(b"key:").decode()}
    assert (fed.read, fed.accepted, fed.requests, fed.retries, fed.bad) == (100, 100, 4, 0, [])
    # As it was recorded, to the byte: a price is not made a float on the way.
    assert line(7).encode() in collector.bodies[0]


def test_no_request_is_larger_than_the_collector_takes(
    collector: Collector, tmp_path: Path
) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text("\n".join(line(n, filler="x" * 30_000) for n in range(40)), "utf-8")
    Feed(collector.url, "key", as_now=True).run([path])
    assert max(len(body) for body in collector.bodies) <= wire.MAX_BATCH
    assert len(collector.bodies) == 3
    assert len(collector.ids) == 40


@pytest.mark.parametrize(
    "answer",
    [
        None,
        (503, {"Retry-After": "0"}, {"code": "unavailable", "message": "later"}),
        (429, {}, {"code": "busy", "message": "later"}),
        (502, {}, "a proxy"),
        (503, {"Retry-After": "Mon, 02 Mar 2026 09:00:00 GMT"}, {}),
    ],
)
def test_what_is_not_taken_is_sent_again_with_the_same_ids(
    collector: Collector, recording: Path, answer: Answer
) -> None:
    collector.answers = [FINE, answer, answer]
    fed = Feed(collector.url, "key", size=40).run([recording])
    assert collector.ids == [f"m{n}" for n in range(100)]
    assert collector.bodies[1] == collector.bodies[2] == collector.bodies[3]
    assert (fed.accepted, fed.requests, fed.retries) == (100, 3, 2)


def test_retry_after_is_waited_for(collector: Collector, recording: Path) -> None:
    collector.answers = [(503, {"Retry-After": "1"}, {})]
    Feed(collector.url, "key").run([recording])
    assert collector.times[1] - collector.times[0] >= 1.0


def test_a_collector_that_comes_up_later_gets_everything(recording: Path) -> None:
    late = Collector()
    late.server.server_close()  # the port is known, and nobody listens on it
    feed = Feed(late.url, "key")
    sending = threading.Thread(target=feed.run, args=([recording],))
    sending.start()
    while not feed.fed.retries:
        time.sleep(0.01)
    address = late.server.server_address
    late.server = ThreadingHTTPServer(address, late.server.RequestHandlerClass)  # type: ignore[arg-type]
    late.server.daemon_threads = True
    thread = threading.Thread(target=late.server.serve_forever, args=(0.01,))
    thread.start()
    sending.join()
    late.server.shutdown()
    thread.join()
    late.server.server_close()
    assert late.ids == [f"m{n}" for n in range(100)]


def test_a_collector_that_never_comes_back_is_given_up(
    collector: Collector, recording: Path
) -> None:
    collector.answers = [None] * 1000
    with pytest.raises(FeedError, match="send the same files again"):
        Feed(collector.url, "key", patience=0.3).run([recording])
    assert not [t for t in threading.enumerate() if "_send_all" in t.name]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ((401, {}, {"code": "unknown_write_key", "message": "wrong key"}), "wrong key"),
        ((404, {}, "nothing here"), "is no collector; it answered 404"),
    ],
)
def test_what_will_never_work_ends_at_once(
    collector: Collector, recording: Path, answer: Answer, says: str
) -> None:
    collector.answers = [answer] * 10
    with pytest.raises(FeedError, match=says):
        Feed(collector.url, "key", size=10).run([recording])
    assert len(collector.bodies) <= 2


def test_refused_events_are_named_by_file_and_line(collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(f"{line(0)}\n\n{line(1)}\n{{broken\n[]\n{line(2)}\n", "utf-8")
    collector.answers = [
        (200, {}, {"success": True, "accepted": 2, "rejected": [{"index": 1, "reason": "no"}]})
    ]
    fed = Feed(collector.url, "key").run([path])
    assert sorted(bad.line for bad in fed.bad) == [3, 4, 5]
    assert str(next(bad for bad in fed.bad if bad.line == 3)) == f"{path}:3: no"
    assert (fed.read, fed.accepted) == (3, 2)


def test_one_event_that_spoils_a_batch_is_found(collector: Collector, recording: Path) -> None:
    def spoiled(batch: list[Any]) -> Answer:
        if any(event["messageId"] == "m66" for event in batch):
            return 413, {}, {"code": "too_large", "message": "too large"}
        return FINE

    collector.answers = [spoiled] * 50
    fed = Feed(collector.url, "key", size=50).run([recording])
    assert [bad.line for bad in fed.bad] == [67]
    assert collector.ids == [f"m{n}" for n in range(100) if n != 66]


def test_a_line_without_an_id_gets_the_same_one_each_time(
    collector: Collector, tmp_path: Path
) -> None:
    path = tmp_path / "anonymous.jsonl"
    path.write_text(f"{line(0, messageId=None)}\n{line(0, messageId=None)}\n", "utf-8")
    Feed(collector.url, "key").run([path])
    Feed(collector.url, "key").run([path])
    assert collector.ids[:2] == collector.ids[2:]
    assert len(set(collector.ids)) == 2
    assert b"19.9" in collector.bodies[0]


def test_as_now_lets_events_happen_when_they_are_sent_in_their_order(
    collector: Collector, recording: Path
) -> None:
    Feed(collector.url, "key", size=60, as_now=True).run([recording])
    received = datetime.now(UTC)
    for body in collector.bodies:
        events = parse_batch(body, received, "GB").events
        assert [event.id for event in sorted(events, key=lambda e: e.order_key)] == [
            event.id for event in events
        ]
        assert all(timedelta(0) < received - e.time < timedelta(milliseconds=1) for e in events)


def test_speed_keeps_the_pace_of_the_recording(collector: Collector, tmp_path: Path) -> None:
    path = tmp_path / "paced.jsonl"
    path.write_text("\n".join(line(n * 60) for n in range(4)), "utf-8")
    fed = Feed(collector.url, "key", speed=300).run([path])
    gaps = [b - a for a, b in zip(collector.times, collector.times[1:], strict=False)]
    assert len(gaps) == 3
    assert all(gap > 0.1 for gap in gaps)  # a minute of the recording is 0.2 s
    assert fed.seconds >= 0.6


def test_several_connections_keep_the_order_of_each_sender(
    collector: Collector, tmp_path: Path
) -> None:
    path = tmp_path / "many.jsonl.gz"
    text = "\n".join(line(n, who=f"u{n % 7}") for n in range(700))
    path.write_bytes(gzip.compress(text.encode()))
    Feed(collector.url, "key", size=20, connections=3).run([path])
    assert len(collector.connections) > 1
    for who in range(7):
        mine = [e["messageId"] for e in collector.taken if e["userId"] == f"u{who}"]
        assert mine == [f"m{n}" for n in range(700) if n % 7 == who]


def test_the_command_sends_and_sums_up(collector: Collector, recording: Path) -> None:
    recording.write_text(recording.read_text("utf-8") + "\nno event\n", "utf-8")
    words = ["replay", str(recording), "--url", collector.url, "--key", "k", "--json"]
    done = CliRunner().invoke(group, words)
    assert done.exit_code == 1
    summary = json.loads(done.stdout)
    assert (summary["events"], summary["accepted"], summary["bad_lines"]) == (100, 100, 1)
    assert f"{recording}:101:" in done.stderr


def test_the_command_reads_standard_input(collector: Collector) -> None:
    words = ["replay", "-", "--url", f"{collector.url}/", "--batch", "1"]
    done = CliRunner().invoke(
        group, words, input=f"{line(1)}\n{line(2)}\n", env={"WINBACK_WRITE_KEY": "k"}
    )
    assert done.exit_code == 0, done.output
    assert collector.ids == ["m1", "m2"]
    assert "2 of 2 events accepted" in done.stdout
