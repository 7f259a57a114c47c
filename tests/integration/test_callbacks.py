"""Provider callbacks: verified, committed, then answered."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from twilio.request_validator import RequestValidator

from engine.channels import find_receiver
from engine.clock import ManualClock
from engine.language.keywords import default_keywords
from engine.model.policy import Policy, Shop
from engine.settings import Settings
from engine.store.database import Database
from engine.web import app as web
from engine.web.callbacks import create_blueprint

PUBLIC = "https://shop.example"
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
TOKEN = "twilio token"


class Desk(NamedTuple):
    client: FlaskClient
    database: Database
    hints: list[set[int]]

    def inbox(self) -> list[tuple[str, str, str]]:
        with self.database.connection() as connection:
            return connection.execute("select id, name, sender from inbox order by seq").fetchall()

    def sendgrid(
        self, body: bytes, *, signed: bytes | None = None, age: int = 0, **headers: str
    ) -> int:
        stamp = str(int(time.time()) - age)
        signature = KEY.sign(
            stamp.encode() + (body if signed is None else signed), ec.ECDSA(hashes.SHA256())
        )
        return self.client.post(
            "/callbacks/sendgrid",
            data=body,
            content_type="application/json",
            headers={
                "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
                "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        ).status_code

    def aside(self) -> list[tuple[str, str, str]]:
        with self.database.connection() as connection:
            return connection.execute("select source, reason, body from rejected").fetchall()

    def twilio(self, query: str = "", **form: str) -> int:
        url = f"{PUBLIC}/callbacks/twilio{query}"
        return self.client.post(
            f"/callbacks/twilio{query}",
            data=urlencode(form),
            content_type="application/x-www-form-urlencoded",
            headers={"X-Twilio-Signature": RequestValidator(TOKEN).compute_signature(url, form)},
        ).status_code


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[Desk]:
    public = KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    settings = Settings(
        project_dir=tmp_path,
        home=tmp_path,
        public_url=PUBLIC,
        write_key="k",
        sendgrid_webhook_public_key=base64.b64encode(public).decode(),
        twilio_auth_token=TOKEN,
    )
    hints: list[set[int]] = []
    with Database(database_url) as database:
        policy = Policy(keywords=default_keywords(Shop()))
        deps = web.Dependencies(settings, ManualClock(NOW), database, hints.append, policy)
        pages = [create_blueprint(deps, find_receiver)]
        app = web.create_app(replace(deps, pages=pages))
        try:
            yield Desk(app.test_client(), database, hints)
        finally:
            web.close(app)


def post(*entries: dict[str, Any]) -> bytes:
    full = [{"email": "a@example.com", "timestamp": 1764000000, **entry} for entry in entries]
    return json.dumps(full).encode() + b"\r\n"


def test_events_are_in_the_inbox_before_the_answer(desk: Desk) -> None:
    body = post({"event": "delivered", "sg_event_id": "1"}, {"event": "open", "sg_event_id": "2"})
    assert desk.sendgrid(body) == 204
    assert desk.inbox() == [
        ("sendgrid:1", "Email Delivered", "email:a@example.com"),
        ("sendgrid:2", "Email Opened", "email:a@example.com"),
    ]
    assert len(desk.hints) == 1


def test_a_shopper_who_leaves_at_the_provider_has_left(desk: Desk) -> None:
    assert desk.sendgrid(post({"event": "unsubscribe", "sg_event_id": "1"})) == 204
    assert [name for _, name, _ in desk.inbox()] == ["Email Unsubscribed", "Consent Withdrawn"]


def test_what_is_not_signed_is_not_taken(desk: Desk) -> None:
    body = post({"event": "delivered", "sg_event_id": "1"})
    assert desk.sendgrid(body, signed=body.strip()) == 401
    plain = desk.client.post("/callbacks/sendgrid", data=body)
    assert plain.status_code == 401
    assert plain.json is not None and plain.json["code"] == "bad_signature"
    assert desk.client.post("/callbacks/twilio", data={"MessageSid": "SM1"}).status_code == 401
    assert desk.inbox() == []


def test_twilio_signs_the_public_address_with_its_query(desk: Desk) -> None:
    status = desk.twilio(
        "?message=m-1&x=%D8%A2", MessageSid="SM1", MessageStatus="delivered", To="+14155550001"
    )
    assert status == 204
    assert desk.inbox() == [("twilio:SM1:delivered", "SMS Delivered", "phone:+14155550001")]


def test_stop_withdraws_consent(desk: Desk) -> None:
    assert desk.twilio(MessageSid="SM2", From="+14155550001", To="+18005550000", Body="Stop") == 204
    assert [name for _, name, _ in desk.inbox()] == ["Consent Withdrawn"]


def test_a_signed_post_that_cannot_be_read_is_a_bad_request(desk: Desk) -> None:
    for body in (b"", b"{}", b"\xff\xfe"):
        assert desk.sendgrid(body) == 400
    assert desk.twilio(Foo="bar") == 400
    assert desk.inbox() == []


def test_text_that_postgres_cannot_keep_is_not_the_next_ones_trouble(desk: Desk) -> None:
    assert desk.sendgrid(post({"event": "bounce", "sg_event_id": "1", "reason": "a\u0000b"})) in (
        204,
        400,
    )
    assert desk.sendgrid(post({"event": "bounce", "sg_event_id": "2", "reason": "سلام"})) == 204
    assert "sendgrid:2" in [event_id for event_id, *_ in desk.inbox()]


def test_statuses_on_the_way_are_taken_and_leave_nothing(desk: Desk) -> None:
    assert desk.twilio(MessageSid="SM1", MessageStatus="sending", To="+14155550001") == 204
    assert desk.inbox() == []


def test_the_rest_is_turned_away(desk: Desk) -> None:
    assert desk.client.post("/callbacks/pigeon", data=b"x").status_code == 404
    assert desk.client.get("/callbacks/sendgrid").status_code == 405
    huge = desk.client.post("/callbacks/sendgrid", data=b"x" * (4 * 1024 * 1024 + 1))
    assert huge.status_code == 413


@pytest.mark.parametrize("header", [{}, {"Content_Encoding": "gzip"}])
def test_a_packed_post_may_be_signed_packed_or_not(desk: Desk, header: dict[str, str]) -> None:
    packed = gzip.compress(post({"event": "delivered", "sg_event_id": "1"}))
    assert desk.sendgrid(packed, **header) == 204
    plain = post({"event": "delivered", "sg_event_id": "2"})
    assert desk.sendgrid(gzip.compress(plain), signed=plain, **header) == 204
    assert [id for id, *_ in desk.inbox()] == ["sendgrid:1", "sendgrid:2"]


def test_a_bomb_is_not_unpacked(desk: Desk) -> None:
    bomb = gzip.compress(b" " * (64 * 1024 * 1024))
    assert desk.sendgrid(bomb) == 413
    assert desk.sendgrid(b"\x1f\x8bnot gzip") == 400


def test_a_copy_of_an_old_post_is_refused(desk: Desk) -> None:
    body = post({"event": "delivered", "sg_event_id": "1"})
    assert desk.sendgrid(body, age=26 * 3600) == 401
    assert desk.sendgrid(body, age=-3600) == 401
    assert desk.inbox() == []
    assert desk.sendgrid(body, age=24 * 3600) == 204


def test_a_kind_that_nobody_knows_is_kept_with_the_shopper(desk: Desk) -> None:
    assert desk.sendgrid(post({"event": "teleported", "sg_event_id": "1"})) == 204
    assert desk.inbox() == [("sendgrid:1", "Email Reported", "email:a@example.com")]
    assert desk.aside() == []


def test_a_notice_to_the_account_is_kept_aside(desk: Desk) -> None:
    notice = {"event": "account_status_change", "type": "compliance_suspend", "timestamp": 1}
    assert desk.sendgrid(json.dumps([notice]).encode()) == 204
    ((source, reason, body),) = desk.aside()
    assert (source, reason) == ("callback:sendgrid", "about no shopper: Email Reported")
    assert json.loads(body) == notice
    assert desk.inbox() == []
