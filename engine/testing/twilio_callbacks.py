"""What Twilio posts to a shop: the status of messages, and what shoppers write."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha1
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

from engine.rendering.segments import segments_of
from engine.testing.poster import UNANSWERED, UNREACHED, Poster

#: One word alone, in any case (https://www.twilio.com/docs, "Advanced Opt-Out").
STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"})
START = frozenset({"START", "YES", "UNSTOP"})
HELP = frozenset({"HELP", "INFO"})


def opt_out_type(text: str) -> str:
    """How Twilio reads a text: STOP, START, HELP, or "" for anything else."""
    word = text.strip().upper()
    kinds = {"STOP": STOP, "START": START, "HELP": HELP}
    return next((kind for kind, words in kinds.items() if word in words), "")


def sign(token: str, url: str, form: Mapping[str, str]) -> str:
    """``X-Twilio-Signature``: HMAC-SHA1 over the address and the fields in order of name.

    Reference: https://www.twilio.com/docs/usage/security, "Validating requests".
    """
    text = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    return b64encode(hmac.new(token.encode(), text.encode(), sha1).digest()).decode()


def status_form(
    message: Mapping[str, Any], status: str, code: int | None, now: datetime
) -> dict[str, str]:
    """The report that a message has come to ``status``."""
    form = {
        "MessageSid": message["sid"],
        "SmsSid": message["sid"],
        "MessageStatus": status,
        "SmsStatus": status,
        "To": message["to"],
        "From": message["from"] or "+15005550006",
        "AccountSid": message["account_sid"],
        "ApiVersion": message["api_version"],
    }
    if message["messaging_service_sid"]:
        form["MessagingServiceSid"] = message["messaging_service_sid"]
    if code is not None:
        form |= {"ErrorCode": str(code), "ErrorMessage": f"Error {code}"}
    if message["to"].startswith("whatsapp:"):
        form |= {"ChannelPrefix": "whatsapp", "ChannelToAddress": message["to"][9:]}
        form |= {"StructuredMessage": "false", "EventType": status.upper()}
    elif status in ("delivered", "undelivered"):
        form["RawDlrDoneDate"] = f"{now:%y%m%d%H%M}"
    return form


def text_form(
    account: str, sender: str, to: str, text: str, kind: str, service: str
) -> dict[str, str]:
    """The report that a shopper wrote ``text``. ``kind`` is its ``OptOutType``."""
    sid = f"SM{uuid4().hex}"
    form = {
        "MessageSid": sid,
        "SmsSid": sid,
        "SmsMessageSid": sid,
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "From": sender,
        "To": to,
        "Body": text,
        "NumMedia": "0",
        "NumSegments": str(segments_of(text).parts),
        "SmsStatus": "received",
    }
    if service:
        form["MessagingServiceSid"] = service
    if sender.startswith("whatsapp:"):
        form |= {"WaId": sender.removeprefix("whatsapp:+"), "ProfileName": "A shopper"}
        form["ChannelPrefix"] = "whatsapp"
    if kind:
        form["OptOutType"] = kind
    return form


class Courier:
    """Posts signed forms, and repeats them as Twilio does: once, and only when no connection
    came about; or as the address asks for after ``#`` (``rc`` how often, ``rp`` on what)."""

    def __init__(self, token: str, poster: Poster) -> None:
        self._token, self._poster = token, poster
        self.reports = 0

    async def deliver(
        self, url: str, form: Mapping[str, str], told: Callable[[], None] | None = None
    ) -> None:
        """``told`` is called once the shop has taken it."""
        address, _, wishes = url.partition("#")
        asked = parse_qs(wishes)
        repeats = int(asked.get("rc", ["1"])[0])
        on = set(asked.get("rp", ["ct"])[0].split(","))
        body = urlencode(form).encode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": sign(self._token, address, form),
            "I-Twilio-Idempotency-Token": str(uuid4()),
        }
        self.reports += 1
        for left in range(repeats, -1, -1):
            status = await self._poster.post(address, body, headers)
            if 200 <= status < 300:
                if told is not None:
                    told()
                return
            if not left or not ({"all", _reason(status)} & on):
                break
            self._poster.repeats += 1
        self._poster.given_up += 1


def _reason(status: int) -> str:
    if status in (UNREACHED, UNANSWERED):
        return "ct" if status == UNREACHED else "rt"
    return f"{status // 100}xx"
