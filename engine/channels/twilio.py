"""Twilio, by its official SDK over pooled connections; its callbacks and what shoppers answer.

Twilio has no idempotency key either. Our message id travels in the address that Twilio reports
to, and comes back in it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import escape

import msgspec
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import (
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    add_port,
    get_signature_algorithm,
    remove_port,
)
from twilio.rest import Client
from urllib3 import make_headers

from engine.channels import twilio_codes as codes
from engine.channels import twilio_lookup
from engine.channels.base import (
    ChannelSettings,
    header,
    is_number,
    slow_down,
    without_personal,
)
from engine.channels.http import Pool
from engine.channels.twilio_form import WHATSAPP, fields_of
from engine.errors import ConfigError, DeliveryError, OutcomeUnknown
from engine.model.event import Event
from engine.model.lookup import Asked, Found
from engine.model.message import Receipt, Rendered, Sms, WhatsApp

_LATER = timedelta(minutes=5)


class _Http(HttpClient):  # type: ignore[misc]
    """The SDK's HTTP over our pool. Judges what the SDK's exceptions no longer tell: headers
    of a refusal, and whether an error came from Twilio or from something before it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        sent = dict(headers or {})
        if auth:
            sent |= make_headers(basic_auth=":".join(auth))
        if method == "GET":
            query = urlencode(params or {}, doseq=True)
            answer = self._pool.get(f"{uri}?{query}" if query else uri, sent)
        else:
            answer = self._pool.post(uri, urlencode(data or {}, doseq=True).encode(), sent)
        status, text = answer.status, answer.data.decode("utf-8", "replace")
        if status in (429, 503):
            raise slow_down("Twilio", status, answer.headers, timedelta(seconds=30))
        if status >= 500 and not _from_twilio(text):
            raise OutcomeUnknown(f"Twilio failed with {status}; it may have the message.")
        return Response(status, text, answer.headers)


def _from_twilio(text: str) -> bool:
    try:
        return "code" in msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError):
        return False


class TwilioChannel:
    """Sends text and WhatsApp messages through Twilio's Messages resource. Times are in seconds.

    ``callback`` is the address for status reports, "" for none.
    """

    name = "twilio"

    def __init__(
        self, sid: str, token: str, base_url: str, *, callback: str = "", answer: float = 15.0
    ) -> None:
        if not sid or not token:
            raise ConfigError("Twilio needs TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN.")
        self._pool = Pool("Twilio", base_url, answer=answer)
        client = Client(sid, token, http_client=_Http(self._pool))
        client.api.base_url = base_url
        self._messages = client.messages
        self._callback = callback

    @classmethod
    def from_settings(cls, settings: ChannelSettings, now: Callable[[], datetime]) -> TwilioChannel:
        return cls(
            settings.twilio_account_sid,
            settings.twilio_auth_token,
            settings.twilio_base_url,
            callback=f"{settings.public_url}/callbacks/twilio",
        )

    def send(self, rendered: Rendered) -> Receipt:
        fields = fields_of(rendered)
        if self._callback:
            query = urlencode({"message": rendered.message_id})
            fields["status_callback"] = f"{self._callback}?{query}"
        try:
            sent = self._messages.create(**fields)
        except (TwilioRestException, TwilioServiceException) as error:
            raise _refusal(error) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutcomeUnknown("Twilio's answer cannot be read; it may have it.") from error
        if not sent.sid:
            raise OutcomeUnknown("Twilio's answer names no message; it may have it.")
        return Receipt("twilio", sent.sid)

    def trace(self, rendered: Rendered) -> str:
        if isinstance(rendered, WhatsApp):
            return twilio_lookup.whatsapp_trace(rendered.to)
        assert isinstance(rendered, Sms)
        return twilio_lookup.trace(rendered.to, rendered.body)

    def look_up(self, asked: Asked) -> Found:
        """Look through Twilio's list of what went to the number since the call."""
        return twilio_lookup.look_up(self._messages, asked)

    def close(self) -> None:
        self._pool.close()


def _refusal(error: TwilioRestException | TwilioServiceException) -> DeliveryError:
    status, code = int(error.status), int(error.code or 0)
    words = error.msg if isinstance(error, TwilioRestException) else error.detail or error.title
    text = f"Twilio refuses the message ({code or status}): {without_personal(str(words))}"
    if code in codes.DEAD:
        return DeliveryError(text, permanent=True, suppress=True)
    if code in codes.ACCOUNT or status in (401, 402, 403):
        advice = "check TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and the sender in Twilio's console"
        return DeliveryError(f"{text}: {advice}.", permanent=True, fault="account")
    if code == codes.QUEUE_FULL:
        return DeliveryError(text, permanent=False, retry_after=_LATER, fault="busy")
    if code in codes.MISCONFIGURED:
        return DeliveryError(f"{text}: see Twilio's console.", permanent=True)
    if status >= 500:
        return DeliveryError(text, permanent=False, retry_after=_LATER, fault="away")
    return DeliveryError(text, permanent=False, retry_after=_LATER)


class _Form(dict[str, list[str]]):
    """Form fields as the SDK's validator reads them: every value of a repeated one."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def verify(
    headers: Mapping[str, str], raw_body: bytes, url: str, settings: ChannelSettings
) -> bool:
    """Whether Twilio signed this request. ``url`` is the public address that Twilio called.

    HMAC over the address and the form fields (SHA-1, or SHA-256 where the request says so);
    for other bodies over the address, which then carries the body's hash. False without
    ``TWILIO_AUTH_TOKEN``.
    """
    if not settings.twilio_auth_token:
        return False
    try:
        given = header(headers, SIGNATURE_HEADER).encode()
        algorithm = get_signature_algorithm(header(headers, SIGNATURE_SETTINGS_HEADER))
        parts = urlsplit(url)
        hashes = parse_qs(parts.query).get("bodySHA256")
        fields = _Form()
        if hashes:
            actual = sha256(raw_body).hexdigest()
            if not hmac.compare_digest(actual.encode(), hashes[0].lower().encode()):
                return False
        else:
            for name, value in _fields(raw_body):
                fields.setdefault(name, []).append(value)
        validator = RequestValidator(settings.twilio_auth_token)
        # Twilio itself is not consistent about the port.
        return any(
            hmac.compare_digest(
                validator.compute_signature(address, fields, algorithm).encode(), given
            )
            for address in (url, remove_port(parts), add_port(parts))
        )
    except (ValueError, UnicodeError):
        return False


def signed_at(headers: Mapping[str, str]) -> int | None:
    """None: Twilio signs no time. A copy of a report counts once, by its MessageSid."""
    return None


def _fields(raw_body: bytes) -> list[tuple[str, str]]:
    return parse_qsl(raw_body.decode("utf-8"), keep_blank_values=True, max_num_fields=200)


STATUS_NAMES = {
    "sent": "Sent",
    "delivered": "Delivered",
    "read": "Read",
    "failed": "Failed",
    "undelivered": "Failed",
    "canceled": "Failed",
}


def parse(raw_body: bytes, url: str, received_at: datetime) -> list[Event]:
    """The event of one post: a status report or an incoming message.

    Ids are MessageSid and status, so that repeats count once. Statuses on the way to these
    say nothing new and give no event. Raises ``ValueError`` when the body is not a form.
    """
    form = dict(_fields(raw_body))
    sid = form.get("MessageSid") or form.get("SmsSid")
    if not sid:
        raise ValueError("Twilio posts a form with a MessageSid.")
    status = form.get("MessageStatus") or form.get("SmsStatus") or "received"
    if status in ("received", "receiving"):
        return _incoming(form, sid, received_at)
    if status not in STATUS_NAMES:
        return []
    properties: dict[str, Any] = {"provider": "twilio", "reference": sid, "status": status}
    message = parse_qs(urlsplit(url).query).get("message")
    if message:
        properties["message_id"] = message[0]
    code = form.get("ErrorCode", "")
    if code.isascii() and code.isdigit():
        properties["code"] = int(code)
        properties["permanent"] = int(code) in codes.DEAD
    to = form.get("To", "")
    name = f"{_kind(to)} {STATUS_NAMES[status]}"
    return _about(to, f"{sid}:{status}", name, received_at, properties)


def _kind(number: str) -> str:
    return "WhatsApp" if number.startswith(WHATSAPP) else "SMS"


def _incoming(form: Mapping[str, str], sid: str, received_at: datetime) -> list[Event]:
    """What a shopper wrote, to which of our numbers. What it asks for is for the shop's own table
    of keywords to say (``engine.core.keywords``); Twilio's reading of it comes along."""
    kind = _kind(form.get("From", ""))
    properties: dict[str, Any] = {
        "provider": "twilio",
        "reference": sid,
        "channel": kind.lower(),
        "to": form.get("To", "").removeprefix(WHATSAPP),
        "body": form.get("Body", ""),
    }
    if form.get("OptOutType"):
        properties["opt_out_type"] = form["OptOutType"]
    return _about(form.get("From", ""), sid, f"{kind} Replied", received_at, properties)


def answer(text: str) -> tuple[str, str]:
    """What Twilio sends back to whoever wrote, as the answer to its post: body and type (TwiML).
    An empty text answers nothing."""
    message = f"<Message>{escape(text)}</Message>" if text else ""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{message}</Response>', "text/xml"


def _about(
    number: str, event_id: str, name: str, received_at: datetime, properties: dict[str, Any]
) -> list[Event]:
    """The event of one phone number; none for a short code or a name."""
    number = number.removeprefix(WHATSAPP)
    if not is_number(number):
        return []
    identifiers = (f"phone:{number}",)
    return [
        Event(
            f"twilio:{event_id}", "track", name, received_at, received_at, identifiers, properties
        )
    ]
