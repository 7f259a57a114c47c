"""SendGrid, by its official SDK over pooled connections; and its event webhook.

SendGrid has no idempotency key. So our message id travels as a custom argument, comes back
with every event, and settles a message whose answer was lost.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

import msgspec
import python_http_client
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from sendgrid import SendGridAPIClient
from sendgrid.helpers.eventwebhook import EventWebhook, EventWebhookHeader

from engine.channels.base import (
    ChannelSettings,
    header,
    mail_address,
    own_address,
    slow_down,
    without_personal,
)
from engine.channels.http import Pool
from engine.channels.mime import one_line
from engine.errors import ConfigError, DeliveryError, OutcomeUnknown
from engine.model.event import Event
from engine.model.message import Email, Receipt, Rendered

#: Our id in SendGrid's custom arguments and, flattened, in its events.
MESSAGE_ID = "winback_message"


class _Answer:
    """A response in the shape of the SDK's own."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status_code, self.body, self.headers = status, body, headers


class _Client(python_http_client.Client):  # type: ignore[misc]
    """The SDK's client over our pool. Its own builds an opener and a connection per call."""

    def __init__(self, pool: Pool, **options: Any) -> None:
        self._pool = pool
        super().__init__(**options)

    def _build_client(self, name: str | None = None) -> _Client:
        return _Client(
            self._pool,
            host=self.host,
            version=self._version,
            request_headers=self.request_headers,
            url_path=[*self._url_path, name] if name else self._url_path,
        )

    def post(self, request_body: Any) -> _Answer:
        answer = self._pool.post(
            self._build_url(None),
            msgspec.json.encode(request_body),
            {**self.request_headers, "Content-Type": "application/json"},
        )
        return _Answer(answer.status, answer.data, answer.headers)


class SendGridChannel:
    """Sends mail through SendGrid's ``/v3/mail/send``. Times are in seconds."""

    name = "sendgrid"

    def __init__(self, api_key: str, base_url: str, *, answer: float = 15.0) -> None:
        if not api_key:
            raise ConfigError("SendGrid needs a key: set SENDGRID_API_KEY.")
        self._base_url = base_url.rstrip("/")
        self._pool = Pool("SendGrid", base_url, answer=answer)
        self._sdk = SendGridAPIClient(api_key, host=base_url)
        self._sdk.client = _Client(
            self._pool, host=base_url, version=3, request_headers=self._sdk._default_headers
        )

    @classmethod
    def from_settings(
        cls, settings: ChannelSettings, now: Callable[[], datetime]
    ) -> SendGridChannel:
        return cls(settings.sendgrid_api_key, settings.sendgrid_base_url)

    def send(self, rendered: Rendered) -> Receipt:
        if not isinstance(rendered, Email):
            raise DeliveryError("SendGrid carries mail, not text messages.", permanent=True)
        answer = self._sdk.send(body_of(rendered))
        if 200 <= answer.status_code < 300:
            return Receipt("sendgrid", header(answer.headers, "X-Message-Id"))
        raise _refusal(answer)

    def close(self) -> None:
        self._pool.close()


def body_of(email: Email) -> dict[str, Any]:
    """The request for one mail, as SendGrid's OpenAPI file describes it.

    Custom arguments stand in the personalization only: the file has their type wrong at the
    top level. Our own preference page makes SendGrid's subscription tracking redundant.
    """
    personalization: dict[str, Any] = {
        "to": [{"email": mail_address(email.to)}],
        "custom_args": {MESSAGE_ID: email.message_id},
    }
    if email.headers:
        personalization["headers"] = {k: one_line(v) for k, v in email.headers.items()}
    body: dict[str, Any] = {
        "personalizations": [personalization],
        "from": {"email": own_address(email.from_address)},
        "subject": one_line(email.subject),
        "content": [
            {"type": "text/plain", "value": email.text},
            {"type": "text/html", "value": email.html},
        ],
        "tracking_settings": {
            "subscription_tracking": {"enable": False},
            "click_tracking": {"enable": True, "enable_text": False},
        },
    }
    if email.from_name:
        body["from"]["name"] = one_line(email.from_name)
    if email.reply_to:
        body["reply_to"] = {"email": own_address(email.reply_to)}
    if email.journey:
        body["categories"] = [email.journey[:255]]
    return body


def _refusal(answer: _Answer) -> DeliveryError | OutcomeUnknown:
    status = answer.status_code
    if status in (401, 403):
        return DeliveryError(
            f"SendGrid refuses our key ({status}): check SENDGRID_API_KEY, its right to send "
            "mail, that the account is in good standing, and that the sender is verified.",
            permanent=True,
            fault="account",
        )
    if status in (429, 503):
        return slow_down("SendGrid", status, answer.headers, timedelta(minutes=1))
    if status >= 500:
        return OutcomeUnknown(f"SendGrid failed with {status}; it may have the message.")
    words, fields = _errors(answer.body)
    return DeliveryError(
        f"SendGrid refuses the message ({status}): {words}",
        permanent=True,
        suppress=any(".to." in f"{field}." for field in fields),
    )


def _errors(body: bytes) -> tuple[str, list[str]]:
    """The messages and field names of an error body, which may be a proxy's HTML."""
    try:
        errors = msgspec.json.decode(body)["errors"]
        words = "; ".join(str(e.get("message")) for e in errors)
        return without_personal(words), [str(e.get("field") or "") for e in errors]
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return "no reason given", []


@lru_cache(maxsize=4)
def _key(public_key: str) -> EllipticCurvePublicKey:
    key: EllipticCurvePublicKey = EventWebhook(public_key).public_key
    return key


def verify(
    headers: Mapping[str, str], raw_body: bytes, url: str, settings: ChannelSettings
) -> bool:
    """Whether SendGrid signed exactly these bytes (ECDSA over timestamp and body).

    False without ``SENDGRID_WEBHOOK_PUBLIC_KEY``: posts are unsigned unless the account asks
    for signatures, and anyone could send those.
    """
    if not settings.sendgrid_webhook_public_key:
        return False
    signature = header(headers, EventWebhookHeader.SIGNATURE)
    timestamp = header(headers, EventWebhookHeader.TIMESTAMP)
    try:
        _key(settings.sendgrid_webhook_public_key).verify(
            b64decode(signature, validate=True), timestamp.encode() + raw_body, ECDSA(SHA256())
        )
    except (
        InvalidSignature,
        UnsupportedAlgorithm,
        Base64Error,
        ValueError,
        TypeError,
        AttributeError,
    ):
        return False
    return True


def signed_at(headers: Mapping[str, str]) -> int | None:
    """When SendGrid says that it signed (Unix time); the signature covers it. None: it does not."""
    stamp = header(headers, EventWebhookHeader.TIMESTAMP)
    return int(stamp[:12]) if stamp.isascii() and stamp.isdigit() else None


#: SendGrid's event -> ours. ``bounce`` is split by its type: "blocked" is temporary.
_NAMES = {
    "processed": "Email Processed",
    "deferred": "Email Deferred",
    "delivered": "Email Delivered",
    "bounce": "Email Bounced",
    "dropped": "Email Dropped",
    "open": "Email Opened",
    "click": "Email Clicked",
    "unsubscribe": "Email Unsubscribed",
    "group_unsubscribe": "Email Unsubscribed",
    "group_resubscribe": "Email Resubscribed",
    "spamreport": "Email Spam Reported",
}
_WITHDRAWS = frozenset({"unsubscribe", "group_unsubscribe", "spamreport"})
#: What is kept of an event, by the name it gets. Addresses and the like are not.
_KEPT = {
    MESSAGE_ID: "message_id",
    "sg_message_id": "reference",
    "reason": "reason",
    "response": "reason",
    "status": "status",
    "type": "type",
    "bounce_classification": "classification",
    "attempt": "attempt",
    "url": "url",
    "useragent": "user_agent",
    "sg_machine_open": "machine",
    "asm_group_id": "group",
}


def parse(raw_body: bytes, url: str, received_at: datetime) -> list[Event]:
    """The events of one post. One of a kind that we do not know is "Email Reported"; one about
    no address (a notice to the account) names nobody.

    Event ids come from ``sg_event_id``, so that SendGrid's many repeats count once. Raises
    ``ValueError`` when the body is not a JSON array.
    """
    entries = msgspec.json.decode(raw_body)
    if not isinstance(entries, list):
        raise ValueError("SendGrid posts a JSON array of events.")
    return [e for entry in entries if isinstance(entry, dict) for e in _events(entry, received_at)]


def _events(entry: dict[str, Any], received_at: datetime) -> Iterator[Event]:
    address, kind = entry.get("email"), entry.get("event")
    stamp = entry.get("sg_event_id") or sha256(msgspec.json.encode(entry)).hexdigest()
    try:
        time = min(datetime.fromtimestamp(int(entry["timestamp"]), UTC), received_at)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        time = received_at
    if not isinstance(address, str) or "@" not in address:
        # About nobody: kept aside as it came, for its reader to make sense of.
        yield Event(f"sendgrid:{stamp}", "track", "Email Reported", time, received_at, (), entry)
        return
    properties = {ours: entry[theirs] for theirs, ours in _KEPT.items() if theirs in entry}
    properties["provider"] = "sendgrid"
    if kind not in _NAMES:
        properties["kind"] = str(kind)[:100]
    if kind == "bounce":
        properties["permanent"] = entry.get("type", "bounce") == "bounce"
    identifiers = (f"email:{address.strip().lower()}",)
    event_id = f"sendgrid:{str(stamp)[:100]}"
    name = _NAMES.get(str(kind), "Email Reported")
    yield Event(event_id, "track", name, time, received_at, identifiers, properties)
    if kind in _WITHDRAWS:
        yield Event(
            f"{event_id}:consent",
            "track",
            "Consent Withdrawn",
            time,
            received_at,
            identifiers,
            {"channel": "email", "topic": "*", "source": f"sendgrid {kind}"},
        )
