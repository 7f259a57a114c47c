"""The collector over HTTP, on a real database: what it takes, refuses, and answers."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from engine.intake.lanes import lane_of
from engine.intake.wire import MAX_BATCH, MAX_EVENT, MAX_ORDER
from engine.web.collector import ROUTES
from tests.collector_kit import KEY, NOW, accepted, collector, counted, rejected
from tests.shared_data import shared

BASIC = {"Authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}
TRACK = {"type": "track", "event": "Product Viewed", "userId": "42", "messageId": "m-1"}


@pytest.fixture
def hints() -> list[set[int]]:
    return []


@pytest.fixture
def app(database_url: str, hints: list[set[int]]) -> Iterator[Flask]:
    with collector(database_url, hint=hints.append) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def post(client: FlaskClient, path: str, body: Any, **headers: str) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(
        path, data=data, headers={**BASIC, **{k.replace("_", "-"): v for k, v in headers.items()}}
    )


def problem(response: TestResponse) -> tuple[int, str]:
    """Status and code of an answer in the one error shape."""
    body = response.get_json()
    assert response.content_type == "application/json"
    assert set(body) == {"code", "message"}
    assert body["message"]
    return response.status_code, body["code"]


def test_an_event_is_in_the_inbox_when_it_is_answered(
    client: FlaskClient, database_url: str, hints: list[set[int]]
) -> None:
    body = {
        **TRACK,
        "anonymousId": "cookie",
        "properties": {"price": 9.90, "text": 'tab\t "quote" \\n \\. ünï'},
        "timestamp": "2026-11-24T11:00:00Z",
    }
    response = post(client, "/v1/track", body)
    assert (response.status_code, response.get_json()) == (200, {"success": True})
    assert response.content_type == "application/json"
    [event] = accepted(database_url)
    assert event.properties["text"] == body["properties"]["text"]  # type: ignore[index]
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select lane, sender, links, name, identifiers, id, time, received_at, "
            "accept_xid is not null from inbox"
        ).fetchone()
    lane = lane_of("user:42")
    assert row == (
        lane,
        "user:42",
        True,
        "Product Viewed",
        ["user:42", "anonymous:cookie"],
        "m-1",
        NOW - timedelta(hours=1),
        NOW,
        True,
    )
    assert hints == [{lane}]
    assert counted(database_url) == 1


def test_odd_identifiers_come_out_as_they_went_in(client: FlaskClient, database_url: str) -> None:
    odd = ['a","b', "a\\", '{"', "a,b", "{}", "NULL x", "tab\there", "\\N", "a\\.b", "नमस्ते"]
    for text in odd:
        body = {"event": text, "userId": text, "anonymousId": text}
        assert post(client, "/v1/track", body).status_code == 200
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select name, sender, identifiers from inbox order by seq"
        ).fetchall()
    assert rows == [(text, f"user:{text}", [f"user:{text}", f"anonymous:{text}"]) for text in odd]


def test_every_address_takes_its_kind(client: FlaskClient, database_url: str) -> None:
    body = {"userId": "1", "event": "X", "previousId": "0a", "groupId": "g", "name": "Home"}
    singles = {path: kind for path, kind in ROUTES.items() if kind}
    for path in singles:
        assert post(client, path, body).status_code == 200
        assert post(client, f"{path}/", body).status_code == 200
    kinds = [event.kind for event in accepted(database_url)]
    assert kinds == [kind for kind in singles.values() for _ in range(2)]


def test_batches(client: FlaskClient, database_url: str) -> None:
    for path in ("/v1/batch", "/v1/import", "/v1/b"):
        items = [{**TRACK, "messageId": f"{path}{n}", "userId": f"u{n}"} for n in range(200)]
        assert post(client, path, {"batch": items}).get_json() == {"success": True}
        assert [event.id for event in accepted(database_url)[-200:]] == [
            item["messageId"] for item in items
        ]
    assert counted(database_url) == 600


def test_requests_recorded_from_real_clients(client: FlaskClient, database_url: str) -> None:
    """Segment, RudderStack and Jitsu, browser and server, with what they say of themselves."""
    lines = shared("specs/segment/sdk_wire_samples.jsonl").read_text("utf-8").splitlines()
    key = base64.b64encode(f"{KEY}:".encode()).decode()
    sent = 0
    for line in lines:
        request = json.loads(line)
        body = json.dumps(request["body"]).encode()
        headers = {
            **request["h"],
            **({"Authorization": f"Basic {key}"} if "Authorization" in request["h"] else {}),
            **({"X-Write-Key": f"{KEY}:secret"} if "X-Write-Key" in request["h"] else {}),
        }
        if "Content-Encoding" in headers:
            body = gzip.compress(body)
        path = request["path"].replace("/WK/", f"/{KEY}/")
        response = client.open(path, method=request["m"], data=body, headers=headers)
        assert response.status_code == 200, (request["path"], response.text)
        if "Origin" in headers:
            assert response.headers["Access-Control-Allow-Origin"] == "http://shop.test"
        if request["m"] == "POST":
            assert response.get_json() == {"success": True}
            sent += len(request["body"].get("batch", [None]))
    assert sent >= 26
    events = accepted(database_url)
    assert len(events) == sent
    # They were recorded the day before they are received: their own clock is taken out.
    assert all(NOW - timedelta(seconds=10) < event.time <= NOW for event in events)


def test_the_key_in_each_of_its_places(client: FlaskClient) -> None:
    def status(path: str = "/v1/track", body: Any = TRACK, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post(path, data=json.dumps(body), headers=named).status_code

    bare = base64.b64encode(KEY.encode()).decode()
    assert status(Authorization=BASIC["Authorization"]) == 200
    assert status(Authorization=f"basic {bare}") == 200
    assert status(Authorization=f"Bearer {KEY}") == 200
    assert status(Authorization="Bearer an-oauth-token", body={**TRACK, "writeKey": KEY}) == 200
    assert status(X_Write_Key=KEY) == 200
    assert status(X_Write_Key=f"{KEY}:secret") == 200
    assert status(path=f"/v1/track?writeKey={KEY}") == 200
    assert status(body={**TRACK, "writeKey": KEY}) == 200
    assert status(path="/v1/batch", body={"batch": [TRACK], "writeKey": KEY}) == 200


def test_an_unknown_key_writes_nothing(client: FlaskClient, database_url: str) -> None:
    strangers: list[dict[str, str]] = [
        {},
        {"Authorization": "Basic " + base64.b64encode(b"wrong:").decode()},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(f":{KEY}".encode()).decode()},
        {"Authorization": "Basic"},
        {"Authorization": "Bearer "},
        {"X-Write-Key": f"x{KEY}"},
    ]
    for headers in strangers:
        for path, body in (
            ("/v1/track", TRACK),
            ("/v1/track", {**TRACK, "writeKey": None}),
            ("/v1/track", {"event": 5}),
            ("/v1/batch", {"batch": [TRACK], "writeKey": "wrong"}),
        ):
            response = client.post(path, data=json.dumps(body), headers=headers)
            assert problem(response) == (401, "unknown_write_key"), (headers, body)
        assert client.post("/v1/track", data=b'{"event":', headers=headers).status_code == 400
    assert (accepted(database_url), rejected(database_url)) == ([], [])


def test_without_a_key_of_its_own_nobody_may_enter(database_url: str) -> None:
    from engine.intake.committer import Committer
    from engine.intake.door import Door

    door = Door(Committer.to_inbox(database_url, lambda lanes: None), key="", region="US")
    assert not door.knows(["", None, "x"])


def test_a_single_bad_event_is_a_400_and_kept(client: FlaskClient, database_url: str) -> None:
    assert problem(post(client, "/v1/track", {"userId": "1"})) == (400, "invalid_event")
    assert accepted(database_url) == []
    [(reason, body)] = rejected(database_url)
    assert "track needs event" in reason
    assert json.loads(body) == {"userId": "1"}
    assert counted(database_url) == 0


def test_a_batch_takes_the_good_and_names_the_bad(client: FlaskClient, database_url: str) -> None:
    batch = [TRACK, {"type": "track", "userId": "1"}, {**TRACK, "messageId": "m-2"}, 5]
    response = post(client, "/v1/batch", {"batch": batch})
    assert response.status_code == 200
    body = response.get_json()
    assert (body["success"], body["accepted"]) == (True, 2)
    assert [row["index"] for row in body["rejected"]] == [1, 3]
    assert "event" in body["rejected"][0]["reason"]
    assert [event.id for event in accepted(database_url)] == ["m-1", "m-2"]
    assert [json.loads(row[1]) for row in rejected(database_url)] == [batch[1], 5]


def test_bad_bytes_are_kept_as_they_can_be(client: FlaskClient, database_url: str) -> None:
    post(client, "/v1/track", b'{"userId":"1","event":"caf\xe9 \\u0000"}')
    post(client, "/v1/track", b'{"userId":"1","event":"a\x00b')
    kept = rejected(database_url)
    assert [body for _, body in kept] == [
        '{"userId":"1","event":"caf� \\u0000"}',
        '{"userId":"1","event":"a�b',
    ]
    assert "0xe9" in kept[0][0]


def test_a_duplicate_is_answered_like_the_first(client: FlaskClient, database_url: str) -> None:
    """Counting it once is the drain's work (P2): here nothing may be lost."""
    for _ in range(2):
        assert post(client, "/v1/track", TRACK).get_json() == {"success": True}
    assert len(accepted(database_url)) == 2


def test_sizes(client: FlaskClient, database_url: str) -> None:
    def event(size: int, name: str = "Product Viewed") -> bytes:
        body = json.dumps({**TRACK, "event": name, "properties": {"blob": ""}}).encode()
        return body.replace(b'"blob": ""', b'"blob": "' + b"x" * (size - len(body)) + b'"')

    def batch(size: int) -> bytes:
        room = size - len(b'{"batch":[]}')
        items = [event(30_000)] * (room // 30_001)
        body = b'{"batch":[' + b",".join(items) + b"]}"
        return body + b" " * (size - len(body))

    assert len(event(MAX_EVENT)) == MAX_EVENT
    assert post(client, "/v1/track", event(MAX_EVENT)).status_code == 200
    assert problem(post(client, "/v1/track", event(MAX_EVENT + 1))) == (413, "too_large")
    assert post(client, "/v1/batch", batch(MAX_BATCH)).status_code == 200
    for path in ("/v1/track", "/v1/batch"):
        for size in (MAX_BATCH + 1, MAX_BATCH * 4):
            assert problem(post(client, path, batch(size))) == (413, "too_large")
    assert [len(kept) for _, kept in rejected(database_url)] == [MAX_EVENT + 1]

    # A purchase must stop what it has to, however much was bought.
    for name in ("Order Completed", "Completed Order", "Order Refunded", "Checkout Started"):
        assert post(client, "/v1/track", event(MAX_ORDER, name)).status_code == 200, name
        assert problem(post(client, "/v1/track", event(MAX_ORDER + 1, name))) == (413, "too_large")
    assert post(client, "/v1/track", event(MAX_EVENT + 1, "Checkouts")).status_code == 413
    kept = rejected(database_url)[1][1]
    assert kept.endswith(f"({MAX_ORDER + 1} bytes)")


def test_a_bomb_costs_no_more_than_its_limit(client: FlaskClient) -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    assert len(bomb) < MAX_BATCH
    response = post(client, "/v1/batch", bomb, Content_Encoding="gzip")
    assert problem(response) == (413, "too_large")


@pytest.mark.parametrize(
    ("squeeze", "encoding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, "x-gzip"),
        (gzip.compress, ""),  # RudderStack's clients may say what they like
        (lambda body: gzip.compress(body[:20]) + gzip.compress(body[20:]), "gzip"),
        (zlib.compress, "deflate"),
        (lambda body: body, "gzip"),  # says so and is not
        (lambda body: body, "identity"),
    ],
)
def test_compressed_bodies(
    client: FlaskClient, database_url: str, squeeze: Any, encoding: str
) -> None:
    body = squeeze(json.dumps(TRACK).encode())
    assert post(client, "/v1/track", body, Content_Encoding=encoding).status_code == 200
    assert [event.id for event in accepted(database_url)] == ["m-1"]


@pytest.mark.parametrize(
    ("body", "encoding", "expected"),
    [
        (gzip.compress(json.dumps(TRACK).encode(), mtime=0)[:-9], "gzip", (400, "broken_body")),
        (b"\x1f\x8b" + b"\x00" * 50, "gzip", (400, "broken_body")),
        (b"not deflated", "deflate", (400, "broken_body")),
        (json.dumps(TRACK).encode(), "br", (415, "unknown_encoding")),
        (b"", "gzip", (400, "invalid_json")),
    ],
)
def test_bodies_that_do_not_unpack(
    client: FlaskClient, body: bytes, encoding: str, expected: tuple[int, str]
) -> None:
    assert problem(post(client, "/v1/track", body, Content_Encoding=encoding)) == expected


@pytest.mark.parametrize(
    "label",
    ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", ""],
)
def test_json_is_json_whatever_it_is_called(
    client: FlaskClient, database_url: str, label: str
) -> None:
    """``navigator.sendBeacon`` says text/plain and can carry no Authorization."""
    response = client.post(
        "/v1/batch",
        data=json.dumps({"batch": [TRACK], "writeKey": KEY}),
        headers={"Content-Type": label},
    )
    assert response.status_code == 200
    assert len(accepted(database_url)) == 1


def test_another_sites_page_may_send(client: FlaskClient) -> None:
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
    }
    answer = client.options("/v1/t", headers=headers)
    assert answer.status_code in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert answer.headers["Vary"] == "Origin"
    assert int(answer.headers["Access-Control-Max-Age"]) >= 600
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "x-retry-count"} <= set(allowed)
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    for response in (
        post(client, "/v1/t", TRACK, Origin="https://shop.example"),
        post(client, "/v1/t", b"{", Origin="https://shop.example"),
        client.post("/v1/t", data=b"{}", headers={"Origin": "https://shop.example"}),
    ):
        assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert response.headers["Vary"] == "Origin"


def test_settings_for_segments_browser_client(client: FlaskClient) -> None:
    response = client.get(
        f"/v1/projects/{KEY}/settings",
        headers={"Origin": "https://shop.example"},
        base_url="https://track.shop.example",
    )
    assert response.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert response.get_json()["integrations"]["Segment.io"] == {
        "apiKey": KEY,
        "apiHost": "track.shop.example/v1",
        "protocol": "https",
    }
    assert problem(client.get("/v1/projects/wrong/settings")) == (401, "unknown_write_key")
    assert problem(client.get(f"/v1/projects/{KEY}/secrets")) == (404, "not_found")


def test_wrong_addresses_and_methods_answer_in_the_one_shape(client: FlaskClient) -> None:
    response = client.get("/v1/track")
    assert problem(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "POST, OPTIONS"
    assert problem(client.post("/v1/nothing")) == (404, "not_found")
    assert problem(client.get("/nothing")) == (404, "not_found")
    assert problem(client.post("/healthz")) == (405, "method_not_allowed")


def test_naughty_strings_reach_the_inbox_and_jsonb(client: FlaskClient, database_url: str) -> None:
    strings: list[str] = json.loads(shared("test_vectors/blns.json").read_text("utf-8"))
    items = [
        {"type": "track", "event": "X", "userId": f"u{n}", "properties": {"text": text, text: n}}
        for n, text in enumerate(strings)
    ]
    assert post(client, "/v1/batch", {"batch": items}).get_json() == {"success": True}
    assert [event.properties["text"] for event in accepted(database_url) if event.properties] == [
        item["properties"]["text"]  # type: ignore[index]
        for item in items
    ]
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select count(body::jsonb) from inbox").fetchone()
    assert row == (len(strings),)


def test_what_jsonb_cannot_hold_is_mended_or_refused(
    client: FlaskClient, database_url: str
) -> None:
    bodies = [
        rb'{"userId":"1\u0000","event":"X\u0000Y","properties":{"a\u0000":"\u0000\ud800"}}',
        b'{"userId":"1","event":"X","properties":{"n":1e399,"m":-1e-399,"z":0e99999}}',
        b'{"userId":"1","event":"X","properties":{"n":' + b"9" * 4000 + b"}}",
    ]
    for body in bodies:
        assert post(client, "/v1/track", body).status_code == 200
    with psycopg.connect(database_url) as connection:
        row = connection.execute("select count(body::jsonb) from inbox").fetchone()
    assert row == (3,)
    assert accepted(database_url)[0].identifiers == ("user:1�",)


@pytest.mark.parametrize("written", ["1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])
def test_times_out_of_this_world(client: FlaskClient, database_url: str, written: str) -> None:
    assert post(client, "/v1/track", {**TRACK, "timestamp": written}).status_code == 200
    [event] = accepted(database_url)
    assert (event.time, event.context["original_timestamp"]) == (NOW, written)


def test_times_of_history_stand(client: FlaskClient, database_url: str) -> None:
    post(client, "/v1/import", {"batch": [{**TRACK, "timestamp": "2010-12-01T08:26:00Z"}]})
    assert accepted(database_url)[0].time == datetime.fromisoformat("2010-12-01T08:26:00Z")


def test_local_phone_numbers_are_of_the_shops_country(
    client: FlaskClient, database_url: str
) -> None:
    body = {"userId": "1", "traits": {"phone": "020 7946 0018"}}
    assert post(client, "/v1/identify", body).status_code == 200
    assert accepted(database_url)[0].identifiers == ("user:1", "phone:+442079460018")
