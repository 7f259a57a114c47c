"""When the database is away, slow, or will not take a row: nothing lost, nobody misled (P1)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from flask import Flask
from psycopg.conninfo import conninfo_to_dict

from engine.intake import wire
from engine.store import copying, inbox
from engine.store.inbox import InboxRefused, InboxUnavailable, InboxWriter
from tests.collector_kit import KEY, accepted, collector, counted, rejected

HEADERS = {"X-Write-Key": KEY}


@pytest.fixture
def app(database_url: str) -> Iterator[Flask]:
    with collector(database_url) as app:
        yield app


def track(n: int, **fields: object) -> dict[str, object]:
    return {"type": "track", "event": "X", "userId": f"u{n}", "messageId": f"m-{n}", **fields}


def disconnect(admin: psycopg.Connection[tuple[object, ...]], url: str) -> None:
    """End every connection of the database at ``url``, as a restart of PostgreSQL does."""
    admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s",
        [conninfo_to_dict(url)["dbname"]],
    )


@contextmanager
def away(postgres_url: str, url: str) -> Iterator[None]:
    """No connection to the database at ``url`` works."""
    name = str(conninfo_to_dict(url)["dbname"])
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"alter database {name} with allow_connections false")
        disconnect(admin, url)
        try:
            yield
        finally:
            admin.execute(f"alter database {name} with allow_connections true")


def test_a_dropped_connection_is_nobodys_concern(
    app: Flask, postgres_url: str, database_url: str
) -> None:
    client = app.test_client()
    assert client.post("/v1/track", json=track(1), headers=HEADERS).status_code == 200
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        disconnect(admin, database_url)
    assert client.post("/v1/track", json=track(2), headers=HEADERS).status_code == 200
    assert [event.id for event in accepted(database_url)] == ["m-1", "m-2"]
    assert counted(database_url) == 2


def test_without_a_database_it_says_when_to_come_back(
    app: Flask, postgres_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = app.test_client()
    with away(postgres_url, database_url), caplog.at_level(logging.CRITICAL, "psycopg.pool"):
        for path, body in (
            ("/v1/track", track(1)),
            ("/v1/batch", {"batch": [track(1), track(2)]}),
            ("/v1/track", {"userId": "no event: kept aside, when that is possible"}),
        ):
            response = client.post(path, json=body, headers=HEADERS)
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) >= 1
            assert response.get_json()["code"] == "unavailable"
        assert client.get("/healthz").status_code == 200
    assert client.post("/v1/track", json=track(1), headers=HEADERS).status_code == 200
    assert [event.id for event in accepted(database_url)] == ["m-1"]
    assert rejected(database_url) == []
    assert client.get("/readyz").status_code == 200


def test_too_many_waiting_are_asked_to_come_back(
    app: Flask, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    committer = app.extensions["winback.committer"]
    monkeypatch.setattr(committer, "_max_waiting", 1)
    with psycopg.connect(database_url) as blocker, ThreadPoolExecutor(1) as pool:
        blocker.execute("lock table inbox")
        first = pool.submit(
            lambda: app.test_client().post("/v1/track", json=track(1), headers=HEADERS)
        )
        while not committer.waiting:
            pass
        response = app.test_client().post("/v1/track", json=track(2), headers=HEADERS)
        assert response.status_code == 429
        assert int(response.headers["Retry-After"]) >= 1
        assert response.get_json()["code"] == "busy"
        blocker.rollback()
        assert first.result(20).status_code == 200
    assert [event.id for event in accepted(database_url)] == ["m-1"]


def test_nobody_is_answered_before_the_commit(app: Flask, database_url: str) -> None:
    """Many requests behind a lock: none is answered while their rows are not committed."""
    with psycopg.connect(database_url) as blocker, ThreadPoolExecutor(8) as pool:
        blocker.execute("lock table inbox")

        def send(n: int) -> int:
            return app.test_client().post("/v1/track", json=track(n), headers=HEADERS).status_code

        futures = [pool.submit(send, n) for n in range(8)]
        while app.extensions["winback.committer"].waiting < 8:
            pass
        assert not any(future.done() for future in futures)
        blocker.rollback()
        assert [future.result(20) for future in futures] == [200] * 8
    assert len(accepted(database_url)) == 8


def test_a_row_postgresql_refuses_costs_only_its_sender(
    app: Flask, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The checks at the door should know all that it will not take. Where they do not, the
    others' events must still get in, or one event sent again and again stops the shop."""
    monkeypatch.setattr(wire, "clean", lambda body: body)
    bad = track(3, userId="a\0b")
    client = app.test_client()
    single = client.post("/v1/track", json=bad, headers=HEADERS)
    assert (single.status_code, single.get_json()["code"]) == (400, "invalid_event")
    batch = {"batch": [track(1), {"type": "track", "userId": "1"}, bad, track(2)]}
    response = client.post("/v1/batch", json=batch, headers=HEADERS)
    assert response.status_code == 200
    assert response.get_json()["accepted"] == 2
    assert [row["index"] for row in response.get_json()["rejected"]] == [1, 2]
    assert [event.id for event in accepted(database_url)] == ["m-1", "m-2"]
    assert len(rejected(database_url)) == 3
    assert counted(database_url) == 2
    assert "passed the checks" in caplog.text


def test_metrics_count_what_happened(app: Flask, database_url: str) -> None:
    client = app.test_client()
    client.post("/v1/batch", json={"batch": [track(1), track(2), {}]}, headers=HEADERS)
    client.post("/v1/track", json=track(3), headers=HEADERS)
    response = client.get("/metrics")
    assert response.content_type.startswith("text/plain; version=0.0.4")
    lines = dict(
        line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#")
    )
    assert lines["winback_events_accepted_total"] == "3"
    assert lines["winback_events_refused_total"] == "1"
    assert lines["winback_events_failed_total"] == "0"
    assert lines["winback_events_waiting"] == "0"
    assert lines["winback_inbox_backlog"] == "3"
    assert lines["winback_commit_seconds_count"] == "2"
    assert lines['winback_commit_seconds_bucket{le="+Inf"}'] == "2"
    assert 0 < float(lines["winback_commit_seconds_sum"]) < 60
    buckets = [int(n) for name, n in lines.items() if "_bucket" in name]
    assert buckets == sorted(buckets)


def test_not_ready_without_a_database(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is still alive, and its metrics still say what they can."""

    def gone(connection: object) -> int:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr("engine.web.health.backlog", gone)
    client = app.test_client()
    ready = client.get("/readyz")
    assert (ready.status_code, ready.get_json()["code"]) == (503, "not_ready")
    assert client.get("/healthz").status_code == 200
    metrics = client.get("/metrics")
    assert metrics.status_code == 200
    assert "winback_events_accepted_total 0" in metrics.text
    assert "winback_inbox_backlog" not in metrics.text
    assert "gone" in caplog.text


def test_events_and_refusals_are_one_transaction(database_url: str) -> None:
    writer = InboxWriter(database_url, "web:test")
    event = b"1\tuser:1\tf\tX\t{user:1}\tm\t2026-01-01Z\t2026-01-01Z\t{}\n"
    refusal = b"2026-01-01Z\ttest\twhy\tbody\n"
    writer.write([event], [refusal])
    with pytest.raises(InboxRefused, match="invalid input syntax"):
        writer.write([event, event.replace(b"1\t", b"one\t", 1)], [refusal])
    with pytest.raises(InboxRefused):
        writer.write([event], [b"no time\ttest\twhy\tbody\n"])
    writer.write([], [refusal])
    writer.close()
    writer.write([event], [])
    writer.close()
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select (select count(*) from inbox), (select count(*) from rejected), "
            "(select n from ledger where writer = 'web:test')"
        ).fetchone()
    assert row == (2, 2, 2)


def test_a_page_accepts_events_with_its_own_writes_or_not_at_all(database_url: str) -> None:
    """How an unsubscribe page writes its event and the consent in one transaction."""
    line = b"1\tuser:1\tf\tX\t{user:1}\tm\t2026-01-01Z\t2026-01-01Z\t{}\n"
    rows = "select (select count(*) from inbox), (select coalesce(sum(n), 0) from ledger)"
    with psycopg.connect(database_url) as connection:
        inbox.write(connection, [line], writer="web:o'page")
        connection.rollback()
        assert connection.execute(rows).fetchone() == (0, 0)
        inbox.write(connection, [line, line], writer="web:o'page")
        inbox.write(connection, [line], writer="web:o'page")
        connection.commit()
        assert connection.execute(rows).fetchone() == (3, 3)


def test_a_database_that_was_never_migrated_is_not_the_senders_fault(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("alter table inbox rename to elsewhere")
    writer = InboxWriter(database_url, "web:test")
    with pytest.raises(InboxUnavailable):
        writer.write([b"1\n"], [])
    assert 'relation "inbox" does not exist' in caplog.text


def test_a_silent_database_is_given_up(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "SILENCE", 0.5)
    writer = InboxWriter(database_url, "web:test")
    line = b"1\tuser:1\tf\tX\t{user:1}\tm\t2026-01-01Z\t2026-01-01Z\t{}\n"
    with psycopg.connect(database_url) as blocker:
        blocker.execute("lock table inbox")
        with pytest.raises(InboxUnavailable):
            writer.write([line], [])
        blocker.rollback()
    writer.write([line], [])
    writer.close()


def test_waiting_for_postgresql_holds_back_no_other_thread(database_url: str) -> None:
    writer = InboxWriter(database_url, "web:test")
    line = b"1\tuser:1\tf\tX\t{user:1}\tm\t2026-01-01Z\t2026-01-01Z\t{}\n"
    writer.write([line], [])

    def released(unlock: Callable[[], None]) -> int:
        """Count in Python while another thread waits on the lock; it must get its turns."""
        waiting = threading.Thread(target=writer.write, args=([line], []))
        waiting.start()
        counted = sum(1 for _ in range(200_000))
        assert waiting.is_alive()
        unlock()
        waiting.join(20)
        assert not waiting.is_alive()
        return counted

    with psycopg.connect(database_url) as blocker:
        blocker.execute("lock table inbox")
        assert released(blocker.rollback) == 200_000
    writer.close()


def test_a_large_group_is_more_than_a_socket_holds(database_url: str) -> None:
    """Twenty megabytes in one COPY: sent piece by piece while PostgreSQL reads."""
    writer = InboxWriter(database_url, "web:test")
    body = b'{"x":"' + b"y" * 20_000 + b'"}'
    line = b"1\tuser:1\tf\tX\t{user:1}\tm\t2026-01-01Z\t2026-01-01Z\t" + body + b"\n"
    writer.write([line] * 1000, [])
    writer.close()
    assert counted(database_url) == 1000
