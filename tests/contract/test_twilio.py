"""Twilio: requests by its own specification, error codes, signatures, answers of shoppers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.channels.twilio import TwilioChannel, answer, parse, verify
from engine.channels.twilio_codes import ACCOUNT, DEAD, MISCONFIGURED
from engine.errors import DeliveryError, OutcomeUnknown
from engine.testing.simulator import answering
from engine.testing.twilio import TwilioSimulator
from tests.contract.conftest import an_sms
from tests.shared_data import shared

NOW = datetime(2026, 11, 24, tzinfo=UTC)
URL = "https://shop.example/callbacks/twilio"


@pytest.fixture
def there() -> Any:
    with TwilioSimulator() as simulator:
        yield simulator


@pytest.fixture
def channel(there: TwilioSimulator) -> Any:
    channel = TwilioChannel(there.account, there.token, there.url, callback=URL)
    yield channel
    channel.close()


def test_a_text_is_what_twilios_own_specification_wants() -> None:
    with TwilioSimulator(spec=shared("specs/twilio/twilio_api_v2010.messages.json")) as there:
        channel = TwilioChannel(there.account, there.token, there.url, callback=URL)
        receipt = channel.send(an_sms(7, body="آپ کی شال & more"))
        channel.send(an_sms(8, sender="MG" + "a" * 32))
        channel.close()
    first, second = there.forms()
    assert first == {
        "To": "+14155550007",
        "From": "+15005550006",
        "Body": "آپ کی شال & more",
        "StatusCallback": f"{URL}?message={an_sms(7).message_id}",
    }
    assert second["MessagingServiceSid"] == "MG" + "a" * 32
    assert "From" not in second
    assert receipt.reference.startswith("SM")
    assert there.connections == 1


@pytest.mark.parametrize(
    ("number", "permanent", "suppress"),
    [
        ("+15005550001", True, True),  # 21211 invalid
        ("+15005550009", True, True),  # 21614 no mobile
        ("+15005550004", True, True),  # 21610 opted out
        ("+15005550003", True, False),  # 21408 region off
        ("+15005550002", False, False),  # 21612: not in our table, so passing
    ],
)
def test_what_an_error_code_means(
    channel: TwilioChannel, number: str, permanent: bool, suppress: bool
) -> None:
    with pytest.raises(DeliveryError) as refused:
        channel.send(an_sms(to=number))
    assert (refused.value.permanent, refused.value.suppress) == (permanent, suppress)
    assert permanent or refused.value.retry_after
    assert number not in str(refused.value)


def test_the_code_table_does_not_contradict_itself() -> None:
    assert not DEAD & MISCONFIGURED
    assert not ACCOUNT & (DEAD | MISCONFIGURED)


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (401, 20003, "account"),
        (403, 20005, "account"),
        (400, 30002, "account"),
        (400, 21606, "account"),
        (400, 21659, "account"),
        (402, 99999, "account"),
        (400, 21611, "busy"),
        (500, 20500, "away"),
        (400, 30034, ""),
        (400, 21610, ""),
    ],
)
def test_whose_fault_it_is(
    there: TwilioSimulator, channel: TwilioChannel, status: int, code: int, fault: str
) -> None:
    body = json.dumps({"code": code, "message": "no", "status": status}).encode()
    there.script([answering(status, body)])
    with pytest.raises(DeliveryError) as refused:
        channel.send(an_sms())
    assert refused.value.fault == fault


def test_a_wrong_token_is_said_plainly(there: TwilioSimulator) -> None:
    channel = TwilioChannel(there.account, "wrong", there.url)
    with pytest.raises(DeliveryError, match="TWILIO_AUTH_TOKEN") as refused:
        channel.send(an_sms())
    channel.close()
    assert refused.value.permanent and not refused.value.suppress


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (b"<html>bad gateway</html>", False),
        (b"", False),
        (json.dumps({"code": 20500, "message": "we failed", "status": 500}).encode(), True),
    ],
)
def test_a_failure_is_known_only_when_twilio_itself_says_so(
    there: TwilioSimulator, channel: TwilioChannel, body: bytes, known: bool
) -> None:
    there.script([answering(500, body)])
    with pytest.raises(DeliveryError if known else OutcomeUnknown) as failed:
        channel.send(an_sms())
    assert not known or not failed.value.permanent


def test_a_problem_document_is_read_too(there: TwilioSimulator, channel: TwilioChannel) -> None:
    document = {"type": "t", "title": "Opted out", "status": 400, "code": 21610}
    there.script([answering(400, json.dumps(document).encode())])
    with pytest.raises(DeliveryError, match="21610") as refused:
        channel.send(an_sms())
    assert refused.value.suppress


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"'])
def test_an_answer_that_cannot_be_read_is_unknown(
    there: TwilioSimulator, channel: TwilioChannel, body: bytes
) -> None:
    there.script([answering(201, body)])
    with pytest.raises(OutcomeUnknown):
        channel.send(an_sms())


@pytest.mark.parametrize("changes", [{"body": ""}, {"body": "x" * 1601}, {"sender": ""}])
def test_what_cannot_be_sent_is_refused_before_twilio_is_asked(
    there: TwilioSimulator, channel: TwilioChannel, changes: dict[str, str]
) -> None:
    with pytest.raises(DeliveryError) as refused:
        channel.send(an_sms(**changes))
    assert refused.value.permanent and not refused.value.suppress
    assert there.requests == 0


# --- signatures ------------------------------------------------------------------------------


def signed(token: str, url: str, body: bytes, signature: str, **headers: str) -> bool:
    keys: Any = SimpleNamespace(twilio_auth_token=token)
    given = {
        "x-twilio-signature": signature,
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    return verify(given, body, url, keys)


def vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        shared("payloads/twilio/signature_vectors.json").read_text("utf-8")
    )
    return found


def test_twilios_own_vectors_verify_and_nothing_near_them() -> None:
    known = vectors()
    first = known["cases"][0]["params"]
    for case in known["cases"]:
        params = case["params"] if isinstance(case["params"], list) else first
        body = urlencode([tuple(pair) for pair in params]).encode()
        assert signed(known["auth_token"], case["url"], body, case["signature"]) == case["valid"]
        assert not signed("54321", case["url"], body, case["signature"])
        assert not signed(known["auth_token"], case["url"] + "x", body, case["signature"])
        for place in range(len(body)):
            flipped = bytearray(body)
            flipped[place] ^= 1
            assert not signed(known["auth_token"], case["url"], bytes(flipped), case["signature"])


def test_a_json_body_is_held_by_its_hash() -> None:
    known = vectors()
    case = known["body_case"]
    body = case["body"].encode()
    assert signed(known["auth_token"], case["url"], body, case["signature"])
    assert not signed(known["auth_token"], case["url"], body + b" ", case["signature"])
    assert not signed(
        known["auth_token"], case["url"].replace("0a1f", "0a1e"), body, case["signature"]
    )


def test_sha256_is_used_where_the_request_says_so() -> None:
    known = json.loads(shared("vectors/vectors.json").read_text("utf-8"))["twilio_signature"]
    body = urlencode(known["params"]).encode()
    setting = {"X_Twilio_Webhooks_Signature_Settings": "key=k,algorithm=HMAC_SHA256"}
    given = (known["auth_token"], known["url"], body, known["hmac_sha256_of_same_form"])
    assert signed(*given, **setting)
    assert not signed(*given)
    assert not signed(*given, **{"X_Twilio_Webhooks_Signature_Settings": "algorithm=HMAC_MD5"})


@given(st.binary(max_size=60), st.text(max_size=60), st.text(max_size=40))
@settings(max_examples=100)
def test_whatever_comes_verify_only_says_no(body: bytes, url: str, signature: str) -> None:
    assert not signed("token", url, body, signature)
    assert not signed("", url, body, signature)


# --- callbacks -------------------------------------------------------------------------------


def form(url: str = URL, **fields: str) -> list[Any]:
    return parse(urlencode(fields).encode(), url, NOW)


def test_a_status_report_names_our_message() -> None:
    (event,) = form(
        f"{URL}?message=m-1", MessageSid="SM1", MessageStatus="delivered", To="+14155550001"
    )
    assert (event.name, event.id) == ("SMS Delivered", "twilio:SM1:delivered")
    assert event.identifiers == ("phone:+14155550001",)
    assert event.properties["message_id"] == "m-1"
    assert event.properties["reference"] == "SM1"
    again = form(
        f"{URL}?message=m-1", MessageSid="SM1", MessageStatus="delivered", To="+14155550001"
    )
    assert again[0].id == event.id


@pytest.mark.parametrize(
    ("code", "permanent"), [("30005", True), ("30003", False), ("99999", False)]
)
def test_a_failure_says_whether_the_number_is_dead(code: str, permanent: bool) -> None:
    (event,) = form(
        MessageSid="SM1", MessageStatus="undelivered", To="+14155550001", ErrorCode=code
    )
    assert event.name == "SMS Failed"
    assert event.properties["permanent"] is permanent


@pytest.mark.parametrize("status", ["queued", "sending", "accepted", "scheduled", "new one"])
def test_steps_on_the_way_are_no_events(status: str) -> None:
    assert form(MessageSid="SM1", MessageStatus=status, To="+14155550001") == []


@pytest.mark.parametrize(
    ("sender", "channel", "name"),
    [
        ("+14155550001", "sms", "SMS Replied"),
        ("whatsapp:+14155550001", "whatsapp", "WhatsApp Replied"),
    ],
)
def test_what_a_shopper_writes_comes_as_it_is(sender: str, channel: str, name: str) -> None:
    to = sender[: -len("+14155550001")] + "+18005550000"
    (event,) = form(MessageSid="SM2", From=sender, To=to, Body=" Stop it! ")
    assert (event.name, event.identifiers) == (name, ("phone:+14155550001",))
    said = event.properties
    assert (said["channel"], said["to"], said["body"]) == (channel, "+18005550000", " Stop it! ")
    assert "opt_out_type" not in said


def test_twilios_own_reading_of_a_keyword_comes_along() -> None:
    (event,) = form(MessageSid="S", From="+14155550001", Body="adieu", OptOutType="STOP")
    assert event.properties["opt_out_type"] == "STOP"


def test_an_answer_is_twiml() -> None:
    body, kind = answer("Loom & Co: write to <help@x.de>")
    assert kind == "text/xml"
    assert ElementTree.fromstring(body).findtext("Message") == "Loom & Co: write to <help@x.de>"
    assert ElementTree.fromstring(answer("")[0]).find("Message") is None


def test_a_short_code_or_name_is_no_shopper() -> None:
    assert form(MessageSid="S", From="LOOM", Body="hi") == []
    assert form(MessageSid="S", From="whatsapp:+14155550001", Body="hi")[0].identifiers == (
        "phone:+14155550001",
    )


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{}", b"A=1&" * 500])
def test_a_body_that_is_no_such_form_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        parse(body, URL, NOW)
