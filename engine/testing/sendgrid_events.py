"""SendGrid's event webhook: what its entries look like, how they are gathered and signed."""

from __future__ import annotations

import gzip
import re
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.testing.poster import Poster
from engine.testing.stories import Callbacks

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
#: SendGrid posts when this much has gathered (docs, "Event Webhook").
LARGEST_POST = 768_000

_BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15"
_BOUNCES = {
    "bounce": ("5.1.1", "550 5.1.1 The email account does not exist.", "Invalid Address"),
    "blocked": ("4.7.1", "421 4.7.1 Our system is busy, try later.", "Reputation"),
    "expired": ("4.0.0", "Unable to deliver within 72 hours.", "Mailbox Unavailable"),
}


class Signer:
    """A key pair made for the occasion."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def public_key(self) -> str:
        """As SendGrid shows it: base64 of the DER form."""
        form = PublicFormat.SubjectPublicKeyInfo
        return b64encode(self._key.public_key().public_bytes(Encoding.DER, form)).decode()

    def headers(self, body: bytes) -> dict[str, str]:
        """What is posted along with ``body``. Signed by the machine's own time: a shop refuses
        what was signed long ago, and its fast clock is not for that."""
        stamp = str(int(time.time()))
        signature = self._key.sign(stamp.encode() + body, ec.ECDSA(SHA256()))
        return {SIGNATURE: b64encode(signature).decode(), TIMESTAMP: stamp}


def entry(
    word: str, number: int, address: str, reference: str, at: float, mail: dict[str, Any]
) -> dict[str, Any]:
    """One event. ``mail`` holds the custom ``arguments``, ``categories``, ``link`` and ``group``
    of the message; ``word`` may say more after a colon."""
    kind, _, more = word.partition(":")
    stamp = sha256(f"{reference}/{address}/{number}/{word}".encode()).digest()[:16]
    made: dict[str, Any] = {
        "email": address,
        "timestamp": int(at),
        "smtp-id": f"<{reference}@geopod-ismtpd-1>",
        "event": kind,
        "sg_event_id": urlsafe_b64encode(stamp).decode().rstrip("="),
        "sg_message_id": f"{reference}.recvd-simulated-1.0",
        **mail["arguments"],
    }
    if mail["categories"]:
        made["category"] = mail["categories"]
    match kind:
        case "delivered":
            made |= {"response": "250 2.0.0 OK", "ip": "198.51.100.7", "tls": 1}
        case "deferred":
            made |= {"response": "421 4.7.0 try again later", "attempt": "1"}
        case "bounce":
            kind_of = more or "bounce"
            status, reason, classification = _BOUNCES[kind_of]
            made |= {"type": kind_of, "status": status, "reason": reason}
            made |= {"bounce_classification": classification, "ip": "198.51.100.7", "tls": 1}
        case "dropped":
            made |= {"reason": more or "Bounced Address", "status": "5.0.0"}
        case "open" | "click":
            made |= {"useragent": _BROWSER, "ip": "203.0.113.9"}
            if kind == "open":
                made |= {"sg_machine_open": more == "machine", "sg_content_type": "html"}
            else:
                made |= {"url": mail["link"], "url_offset": {"index": 0, "type": "html"}}
        case "group_unsubscribe" | "group_resubscribe":
            made |= {"asm_group_id": mail["group"] or 1, "useragent": _BROWSER}
            made |= {"ip": "203.0.113.9", "url": "https://example.com/preferences"}
    return made


_LINK = re.compile(r"""href=["'](https?://[^"']+)""")


def about(mail: dict[str, Any], personalization: dict[str, Any]) -> dict[str, Any]:
    """What events say of a message: its custom arguments and so on."""
    html = next((part["value"] for part in mail["content"] if part["type"] == "text/html"), "")
    link = _LINK.search(html)
    return {
        "arguments": {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in personalization.get("custom_args", {}).items()
        },
        "categories": list(mail.get("categories", ())),
        "link": link[1].replace("&amp;", "&") if link else "https://example.com/",
        "group": (mail.get("asm") or {}).get("group_id", 0),
    }


class Batches:
    """Gathers events and posts them as signed arrays, again and again until one is taken."""

    def __init__(
        self,
        callbacks: Callbacks,
        poster: Poster,
        signer: Signer,
        told: Callable[[list[dict[str, Any]]], None],
    ) -> None:
        """``told`` is called with the events of a post that was answered with 2xx."""
        self._callbacks, self._poster, self._signer = callbacks, poster, signer
        self._told = told
        self._events: list[dict[str, Any]] = []
        self._lines: list[bytes] = []
        self._size = 0
        self.events = 0

    async def add(self, event: dict[str, Any]) -> None:
        """One more event, posted with others within ``callbacks.every`` seconds."""
        line = msgspec.json.encode(event)
        if self._size + len(line) > LARGEST_POST:
            self._flush()
        self._events.append(event)
        self._lines.append(line)
        self._size += len(line) + 1
        if len(self._events) >= self._callbacks.batch:
            self._flush()
        elif len(self._events) == 1:
            first = event

            async def flush() -> None:
                if self._events and self._events[0] is first:
                    self._flush()

            self._poster.later(self._callbacks.every, flush)

    def _flush(self) -> None:
        events, lines = self._events, self._lines
        self._events, self._lines, self._size = [], [], 0
        # SendGrid's bodies end in a line break, and whoever strips it breaks the signature.
        body = b"[" + b",".join(lines) + b"]\r\n"
        self.events += len(events)
        self._poster.later(0, lambda: self._post(body, events, 0))

    async def _post(self, body: bytes, events: list[dict[str, Any]], number: int) -> None:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "SendGrid Event API",
            **self._signer.headers(body),
        }
        sent = body
        if self._callbacks.gzip:
            headers["Content-Encoding"] = "gzip"
            sent = gzip.compress(body, 5, mtime=0)
        status = await self._poster.post(self._callbacks.url, sent, headers)
        if 200 <= status < 300:
            self._told(events)
        elif number < len(self._callbacks.again):
            self._poster.repeats += 1
            wait = self._callbacks.again[number]
            self._poster.later(wait, lambda: self._post(body, events, number + 1))
        else:
            self._poster.given_up += 1
