"""Each provider with a simulator behind it, under one face, so that one suite holds for all."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from engine.channels.file import FileChannel
from engine.channels.sendgrid import SendGridChannel
from engine.channels.smtp import SmtpChannel
from engine.channels.twilio import TwilioChannel
from engine.model.message import Email, Rendered, Sms
from engine.ports import Channel
from engine.testing.sendgrid import SendGridSimulator
from engine.testing.simulator import CUT, DROP, HANG, answering
from engine.testing.smtp import SmtpFault, SmtpSink
from engine.testing.twilio import TwilioSimulator
from tests.shared_data import DATA

UNSUBSCRIBE = "https://shop.example/u/" + "a" * 28
SENT = datetime(2026, 11, 24, 10, tzinfo=UTC)
#: Seconds that a channel waits for an answer: long enough for a machine with much else to do.
ANSWER = 2.0


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses everything: local providers must be reached without it."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


def an_email(n: int = 1, **changes: Any) -> Email:
    values = {
        "message_id": f"00000000-0000-0000-0000-{n:012}",
        "to": f"shopper{n}@example.com",
        "from_address": "hello@shop.example",
        "from_name": "Our shop",
        "subject": "Still there",
        "text": "Hello\n",
        "html": "<p>Hello</p>",
        "headers": {
            "List-Unsubscribe": f"<{UNSUBSCRIBE}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        "journey": "left-behind",
    }
    return Email(**{**values, **changes})


def an_sms(n: int = 1, **changes: Any) -> Sms:
    values = {
        "message_id": f"00000000-0000-0000-0000-{n:012}",
        "to": f"+1415555{n:04}",
        "sender": "+15005550006",
        "body": "Still there",
    }
    return Sms(**{**values, **changes})


@dataclass
class Desk:
    """A provider under test. ``taken`` gives the subject or body of each message it took."""

    name: str
    channel: Channel
    message: Callable[..., Rendered]
    words: str
    taken: Callable[[], list[str]]
    count: Callable[[], int]
    misbehave: Callable[[str], None]
    wait: float = ANSWER


FAULTS = {
    "unknown: answer lost": HANG,
    "unknown: connection cut": CUT,
    "busy": answering(429, b"", Retry_After="7"),
    "away": answering(503, b"<html>"),
}


def _sendgrid(stack: ExitStack) -> Desk:
    spec = DATA / "specs" / "sendgrid" / "tsg_mail_v3.json"
    there = stack.enter_context(SendGridSimulator(spec=spec if spec.exists() else None))
    channel = SendGridChannel("SG.key", there.url, answer=ANSWER)
    stack.callback(channel.close)
    faults = {**FAULTS, "refused for good": answering(400, b'{"errors":[{"message":"no"}]}')}
    return Desk(
        "sendgrid",
        channel,
        an_email,
        "subject",
        lambda: [mail["subject"] for mail in there.mails()],
        lambda: there.count,
        lambda what: there.script([faults[what]]),
    )


def _twilio(stack: ExitStack) -> Desk:
    spec = DATA / "specs" / "twilio" / "twilio_api_v2010.messages.json"
    there = stack.enter_context(TwilioSimulator(spec=spec if spec.exists() else None))
    channel = TwilioChannel(
        there.account, there.token, there.url, callback="https://shop.example/cb", answer=ANSWER
    )
    stack.callback(channel.close)
    body = json.dumps({"code": 30034, "message": "not registered", "status": 400}).encode()
    faults = {**FAULTS, "refused for good": answering(400, body)}
    return Desk(
        "twilio",
        channel,
        an_sms,
        "body",
        lambda: [form["Body"] for form in there.forms()],
        lambda: there.count,
        lambda what: there.script([faults[what]]),
    )


def _smtp(stack: ExitStack, pipelining: bool) -> Desk:
    there = stack.enter_context(SmtpSink(pipelining=pipelining))
    channel = SmtpChannel("127.0.0.1", there.port, lambda: SENT, timeout=ANSWER)
    stack.callback(channel.close)
    faults = {
        "unknown: answer lost": SmtpFault("end", kind="hang"),
        "unknown: connection cut": SmtpFault("end", kind="cut"),
        "busy": SmtpFault("mail", "451 4.7.1 later"),
        "away": SmtpFault("connect", "421 4.3.2 closing"),
        "refused for good": SmtpFault("end", "554 5.7.1 spam"),
    }

    def subjects() -> list[str]:
        parse = email.message_from_bytes
        return [parse(mail.data, policy=email.policy.default)["Subject"] for mail in there.received]

    return Desk(
        "smtp",
        channel,
        an_email,
        "subject",
        subjects,
        lambda: there.count,
        lambda what: there.script([faults[what]]),
    )


def _file(stack: ExitStack, home: Path) -> Desk:
    from engine.channels.file import read_mailbox

    return Desk(
        "file",
        FileChannel(home / "mailbox", lambda: SENT),
        an_email,
        "subject",
        lambda: [letter.subject for letter in read_mailbox(home, 1000)][::-1],
        lambda: len(read_mailbox(home, 1000)),
        lambda what: pytest.skip("a folder has no such moods"),
    )


@pytest.fixture(params=["file", "smtp", "smtp without pipelining", "sendgrid", "twilio"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        match request.param:
            case "file":
                yield _file(stack, tmp_path)
            case "smtp":
                yield _smtp(stack, True)
            case "smtp without pipelining":
                yield _smtp(stack, False)
            case "sendgrid":
                yield _sendgrid(stack)
            case _:
                yield _twilio(stack)


__all__ = ["DROP"]
