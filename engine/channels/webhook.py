"""Webhooks: a JSON POST to the shop's own machine.

The body is signed with ``WINBACK_SECRET``: ``Winback-Signature: sha256=`` and the hexadecimal
HMAC-SHA256 of the bytes as they were sent. ``Idempotency-Key`` names the message, so that a
receiver that is asked twice can act once. Redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from urllib3.response import BaseHTTPResponse

from engine.channels.base import ChannelSettings, pause
from engine.channels.http import ANSWER_SECONDS, Pool
from engine.errors import DeliveryError, OutcomeUnknown
from engine.model.message import Call, Receipt, Rendered

SIGNATURE = "Winback-Signature"
_RETRIED = (408, 425, 429, 503)
_encode = msgspec.json.Encoder(decimal_format="number").encode


class WebhookChannel:
    """Posts to whatever http or https address the journey names. ``answer`` is how many seconds
    a receiver may take."""

    name = "webhook"

    def __init__(self, secret: str, *, answer: float = ANSWER_SECONDS) -> None:
        self._secret = secret.encode()
        self._answer = answer
        self._pools: dict[str, Pool] = {}
        self._guard = threading.Lock()

    @classmethod
    def from_settings(
        cls, settings: ChannelSettings, now: Callable[[], datetime]
    ) -> WebhookChannel:
        return cls(settings.secret)

    def send(self, rendered: Rendered) -> Receipt:
        if not isinstance(rendered, Call):
            raise DeliveryError("A webhook carries JSON, not messages.", permanent=True)
        body = _encode(rendered.body)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Winback",
            "Idempotency-Key": rendered.message_id,
            SIGNATURE: signature(self._secret, body),
        }
        pool = self._pool(rendered.to)
        try:
            answer = pool.post(rendered.to, body, headers)
        except DeliveryError as error:
            # One machine of many that cannot be reached says nothing of the others.
            raise DeliveryError(str(error), permanent=False) from error
        if 200 <= answer.status < 300:
            return Receipt(self.name)
        raise _refusal(answer)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    def _pool(self, url: str) -> Pool:
        """The connections to a machine. There are as many machines as journeys name."""
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            origin = f"{parts.scheme}://{parts.netloc}"
        except ValueError:
            usable = False
        if not usable:
            raise DeliveryError("A webhook needs an http or https address.", permanent=True)
        with self._guard:
            if origin not in self._pools:
                self._pools[origin] = Pool("The webhook", origin, size=8, answer=self._answer)
            return self._pools[origin]


def signature(secret: bytes, body: bytes) -> str:
    """What ``Winback-Signature`` must say of ``body``."""
    return f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"


def _refusal(answer: BaseHTTPResponse) -> DeliveryError | OutcomeUnknown:
    status = answer.status
    if status in _RETRIED:
        return DeliveryError(
            f"The webhook asks to be called later ({status}).",
            permanent=False,
            retry_after=pause(answer.headers, timedelta(minutes=1)),
        )
    if status >= 500:
        return OutcomeUnknown(f"The webhook failed with {status}; it may have acted.")
    if 300 <= status < 400:
        return DeliveryError(
            f"The webhook redirects ({status}): give the journey the final address.",
            permanent=True,
        )
    return DeliveryError(f"The webhook refuses the call ({status}).", permanent=True)
