"""SendGrid: requests by its own schema, refusals, its event webhook."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.channels import open_receiver
from engine.channels.sendgrid import MESSAGE_ID, SendGridChannel, body_of, parse, verify
from engine.errors import DeliveryError, OutcomeUnknown
from engine.testing.sendgrid import SendGridSimulator
from engine.testing.simulator import DROP, answering
from tests.contract.conftest import UNSUBSCRIBE, an_email
from tests.shared_data import shared

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_a_mail_is_what_sendgrids_own_schema_wants() -> None:
    spec = shared("specs/sendgrid/tsg_mail_v3.json")
    with SendGridSimulator(spec=spec) as there:
        channel = SendGridChannel("SG.key", there.url)
        receipt = channel.send(an_email(7, reply_to="help@shop.example", from_name="آداب"))
        channel.close()
    (mail,) = there.mails()
    (person,) = mail["personalizations"]
    assert person["to"] == [{"email": "shopper7@example.com"}]
    assert person["custom_args"] == {MESSAGE_ID: an_email(7).message_id}
    assert person["headers"]["List-Unsubscribe"] == f"<{UNSUBSCRIBE}>"
    assert "custom_args" not in mail
    assert mail["from"] == {"email": "hello@shop.example", "name": "آداب"}
    assert [part["type"] for part in mail["content"]] == ["text/plain", "text/html"]
    assert mail["tracking_settings"]["subscription_tracking"] == {"enable": False}
    assert receipt.reference
    assert there.received[0].headers["authorization"] == "Bearer SG.key"


@pytest.mark.parametrize("part", ["from_address", "reply_to"])
def test_a_wrong_address_of_the_shops_own_blocks_nobody_who_is_written_to(part: str) -> None:
    with pytest.raises(DeliveryError, match="shop's own address") as refused:
        body_of(an_email(**{part: "hello@shop"}))
    assert refused.value.permanent and not refused.value.suppress


def test_a_wrong_address_of_the_shopper_is_blocked() -> None:
    with pytest.raises(DeliveryError) as refused:
        body_of(an_email(to="asha@shop"))
    assert refused.value.permanent and refused.value.suppress


def test_the_simulator_is_as_strict_as_sendgrid() -> None:
    spec = shared("specs/sendgrid/tsg_mail_v3.json")
    good = body_of(an_email())
    person = good["personalizations"][0]
    bad = {
        "no sender": {k: v for k, v in good.items() if k != "from"},
        "custom_args at the top": {**good, "custom_args": {"a": "b"}},
        "two thousand people": {
            **good,
            "personalizations": [{"to": [{"email": f"u{i}@example.com"}]} for i in range(1001)],
        },
        "a reserved header": {
            **good,
            "personalizations": [{**person, "headers": {"Subject": "x"}}],
        },
        "large arguments": {
            **good,
            "personalizations": [{**person, "custom_args": {"a": "b" * 10_000}}],
        },
        "no address": {**good, "personalizations": [{"to": [{"email": "nobody"}]}]},
    }
    simulator = SendGridSimulator(spec=spec)
    headers = {"authorization": "Bearer SG.k", "content-type": "application/json"}

    def status(mail: Any) -> int:
        from engine.testing.simulator import Request

        return simulator.reply(
            Request("POST", "/v3/mail/send", headers, json.dumps(mail).encode())
        ).status

    assert status(good) == 202
    assert {why: status(mail) for why, mail in bad.items()} == dict.fromkeys(bad, 400)
    simulator._loop.close()


@pytest.mark.parametrize(
    ("status", "body", "permanent", "suppress", "words"),
    [
        (400, {"message": "bad", "field": "content"}, True, False, "bad"),
        (400, {"message": "x a@b.c", "field": "personalizations.0.to.0.email"}, True, True, "x …"),
        (401, {"message": "no"}, True, False, "SENDGRID_API_KEY"),
        (403, {"message": "no"}, True, False, "SENDGRID_API_KEY"),
        (413, None, True, False, "no reason given"),
    ],
)  # fmt: skip
def test_what_a_refusal_means(
    status: int, body: Any, permanent: bool, suppress: bool, words: str
) -> None:
    with SendGridSimulator() as there:
        channel = SendGridChannel("SG.key", there.url)
        raw = json.dumps({"errors": [body]}).encode() if body else b"<html>413</html>"
        there.script([answering(status, raw)])
        with pytest.raises(DeliveryError) as refused:
            channel.send(an_email())
        channel.close()
    assert (refused.value.permanent, refused.value.suppress) == (permanent, suppress)
    assert refused.value.fault == ("account" if status in (401, 403) else "")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("status", "headers", "fault"),
    [(429, {}, "busy"), (503, {"Retry_After": "9"}, "busy"), (503, {}, "away")],
)
def test_whose_fault_it_is_that_nothing_goes(
    status: int, headers: dict[str, str], fault: str
) -> None:
    with SendGridSimulator() as there:
        channel = SendGridChannel("SG.key", there.url)
        there.script([answering(status, b"", **headers)])
        with pytest.raises(DeliveryError) as refused:
            channel.send(an_email())
        channel.close()
    assert refused.value.fault == fault


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_failure_after_the_body_is_unknown(status: int) -> None:
    with SendGridSimulator() as there:
        channel = SendGridChannel("SG.key", there.url)
        there.script([answering(status, b"<html>")])
        with pytest.raises(OutcomeUnknown):
            channel.send(an_email())
        channel.close()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0"}, 1),
        ({"Retry-After": "99999999"}, 86_400),
        ({"X-RateLimit-Reset": str(int((NOW + timedelta(seconds=42)).timestamp()))}, 42),
        ({"X-RateLimit-Reset": "0"}, 1),
        ({"Retry-After": format_datetime(NOW + timedelta(seconds=9), usegmt=True)}, 9),
        ({"Retry-After": "soon"}, 60),
        ({}, 60),
    ],
)
def test_the_pause_that_is_asked_for_is_kept(headers: dict[str, str], seconds: int) -> None:
    from engine.channels.base import pause

    dated = {**headers, "date": format_datetime(NOW, usegmt=True)}
    assert pause(dated, timedelta(seconds=60)) == timedelta(seconds=seconds)


def test_too_many_requests_reads_the_rate_limit() -> None:
    with SendGridSimulator() as there:
        channel = SendGridChannel("SG.key", there.url)
        there.script([answering(429, b"", **{"X_RateLimit_Reset": "9999999999"})])
        with pytest.raises(DeliveryError) as refused:
            channel.send(an_email())
        channel.close()
    assert refused.value.retry_after == timedelta(days=1)


def test_connections_are_pooled_and_a_dead_one_is_replaced_without_doubling() -> None:
    with SendGridSimulator() as there:
        channel = SendGridChannel("SG.key", there.url)
        for number in range(1, 6):
            channel.send(an_email(number))
        assert there.connections == 1
        there.script([DROP])
        with pytest.raises(OutcomeUnknown):
            channel.send(an_email(6))
        channel.send(an_email(7))
        channel.close()
    assert there.count == 6


def test_nobody_there_is_known_not_taken() -> None:
    with SendGridSimulator() as there:
        url = there.url
    channel = SendGridChannel("SG.key", url)
    with pytest.raises(DeliveryError, match="cannot be reached") as refused:
        channel.send(an_email())
    assert not refused.value.permanent
    assert refused.value.fault == "away"


def test_tls_is_checked_and_an_unknown_certificate_is_known_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with SendGridSimulator(tls=True) as there:
        assert there.url.startswith("https://")
        stranger = SendGridChannel("SG.key", there.url)
        with pytest.raises(DeliveryError, match=r"self-signed certificate$") as refused:
            stranger.send(an_email())
        assert not refused.value.permanent
        monkeypatch.setenv("SSL_CERT_FILE", str(there.ca_file))
        friend = SendGridChannel("SG.key", there.url)
        for number in range(1, 4):
            friend.send(an_email(number))
        stranger.close()
        friend.close()
    assert (there.count, there.connections) == (3, 1)


def test_custom_headers_never_leak_into_the_next_mail() -> None:
    with SendGridSimulator() as there:
        channel = SendGridChannel("SG.key", there.url)
        channel.send(an_email(1, headers={"X-One": "1"}))
        channel.send(an_email(2, headers={}))
        channel.close()
    one, two = (mail["personalizations"][0].get("headers") for mail in there.mails())
    assert (one, two) == ({"X-One": "1"}, None)


# --- the event webhook -----------------------------------------------------------------------


def vector() -> dict[str, str]:
    found: dict[str, str] = json.loads(
        shared("payloads/sendgrid_oai/signature_vector.json").read_text("utf-8")
    )
    return found


def checked(vector: dict[str, str], body: bytes, **changes: str) -> bool:
    given = {**vector, **changes}
    headers = {
        "x-twilio-email-event-webhook-signature": given["signature"],
        "X-Twilio-Email-Event-Webhook-Timestamp": given["timestamp"],
    }
    keys: Any = SimpleNamespace(sendgrid_webhook_public_key=given["public_key"])
    return verify(headers, body, "https://shop.example/callbacks/sendgrid", keys)


def test_sendgrids_own_vector_verifies_and_nothing_near_it() -> None:
    known = vector()
    body = known["payload"].encode()
    assert checked(known, body)
    assert not checked(known, body.strip())
    assert not checked(known, body, signature=known["bad_signature"])
    assert not checked(known, body, public_key=known["bad_public_key"])
    assert not checked(known, body, timestamp="1600112503")
    for place in range(0, len(body), 7):
        flipped = bytearray(body)
        flipped[place] ^= 1
        assert not checked(known, bytes(flipped))


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": ""},
        {"signature": "not base64!"},
        {"signature": "AAAA"},
        {"signature": "é"},
        {"timestamp": ""},
        {"timestamp": "é\ud800"},
        {"public_key": ""},
        {"public_key": "nonsense"},
        {"public_key": "AAAA"},
    ],
)
def test_malformed_signatures_are_false_not_errors(changes: dict[str, str]) -> None:
    known = vector()
    assert not checked(known, known["payload"].encode(), **changes)
    assert not checked(known, b"\xff\xfe", **changes)


@given(st.binary(max_size=50), st.text(max_size=50), st.text(max_size=20))
@settings(max_examples=50)
def test_whatever_comes_verify_only_says_no(body: bytes, signature: str, timestamp: str) -> None:
    known = {"public_key": KEY, "signature": signature, "timestamp": timestamp}
    assert not checked(known, body)


KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+"
    "2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
)


def test_recorded_posts_become_events() -> None:
    names: list[str] = []
    lines = shared("payloads/esp_webhooks/sendgrid.jsonl").read_text("utf-8").splitlines()
    for line in lines:
        payload = json.loads(line)["payload"]
        events = parse(json.dumps(payload).encode(), "", NOW)
        assert len(events) == len(payload)
        for event, entry in zip(events, payload, strict=True):
            assert event.id == f"sendgrid:{entry['sg_event_id']}"
            assert event.time == datetime.fromtimestamp(entry["timestamp"], UTC)
            assert event.identifiers == (f"email:{entry['email']}",)
            assert event.properties["provider"] == "sendgrid"
            assert entry["email"] not in json.dumps(event.properties)
            names.append(event.name)
    assert set(names) == {
        "Email Processed",
        "Email Delivered",
        "Email Dropped",
        "Email Bounced",
        "Email Deferred",
        "Email Opened",
        "Email Clicked",
    }


def one(**fields: Any) -> list[Any]:
    entry = {"email": "A@Example.com", "timestamp": 1461095250, "sg_event_id": "e1", **fields}
    return parse(json.dumps([entry]).encode(), "", NOW)


def test_our_message_id_comes_back() -> None:
    (event,) = one(event="delivered", **{MESSAGE_ID: "m-1"}, sg_message_id="abc.filter")
    assert event.identifiers == ("email:a@example.com",)
    assert (event.properties["message_id"], event.properties["reference"]) == ("m-1", "abc.filter")


def test_blocked_is_not_bounced_for_good() -> None:
    assert one(event="bounce", type="bounce")[0].properties["permanent"] is True
    assert one(event="bounce", type="blocked")[0].properties["permanent"] is False


@pytest.mark.parametrize("kind", ["unsubscribe", "group_unsubscribe", "spamreport"])
def test_leaving_at_the_provider_withdraws_consent(kind: str) -> None:
    report, withdrawal = one(event=kind)
    assert report.name in ("Email Unsubscribed", "Email Spam Reported")
    assert withdrawal.name == "Consent Withdrawn"
    assert withdrawal.properties["channel"] == "email"
    assert withdrawal.properties["topic"] == "*"
    assert withdrawal.id != report.id


def test_times_are_never_later_than_now_and_bad_ones_are_now() -> None:
    assert one(event="open", timestamp=9_999_999_999)[0].time == NOW
    for bad in (None, "soon", 10**30, -(10**30), {}):
        assert one(event="open", timestamp=bad)[0].time == NOW


def test_what_is_about_nobody_names_nobody_and_the_rest_is_kept() -> None:
    entries = [
        {"event": "account_status_change", "timestamp": 1},
        7,
        {"event": "delivered", "email": None},
        {"event": "unheard of", "email": "a@example.com"},
        {"event": "delivered", "email": "a@example.com"},
    ]
    found = parse(json.dumps(entries).encode(), "", NOW)
    assert [(event.name, event.identifiers) for event in found] == [
        ("Email Reported", ()),
        ("Email Reported", ()),
        ("Email Reported", ("email:a@example.com",)),
        ("Email Delivered", ("email:a@example.com",)),
    ]
    assert found[2].properties["kind"] == "unheard of"
    assert [e.id for e in found] == [e.id for e in parse(json.dumps(entries).encode(), "", NOW)]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b"[", b'"x"'])
def test_a_body_that_is_no_array_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse(body, "", NOW)


def test_the_registry_knows_the_receiver() -> None:
    assert open_receiver("sendgrid").verify.__module__ == "engine.channels.sendgrid"
    assert Path("engine/channels/sendgrid.py").name in str(open_receiver("sendgrid"))
