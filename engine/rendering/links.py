"""The links in a message that let its reader leave: short, opaque, forgeable by nobody.

A token names a profile, a channel and a topic, and is signed with the shop's secret. It never
expires: a mail read next year must still let its reader go. The whole link stays within 75
characters, because Python's email package rewrites a longer List-Unsubscribe header into
something that no mail program understands (seen in 3.11 to 3.13).
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b, sha256
from typing import NamedTuple

from engine.errors import ConfigError

#: What fits in a List-Unsubscribe header, measured with the stdlib's EmailMessage.
LONGEST_URL = 75

_CHANNELS = {"email": 1, "sms": 2, "whatsapp": 3, "push": 4}
_CHANNEL_NAMES = {code: name for name, code in _CHANNELS.items()}
_SIGNATURE = 9  # bytes: 72 bits, so a forger needs about 2^71 requests
_BODY = 8 + 1 + 3
_LENGTH = 28  # characters of 21 bytes in base64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Grant(NamedTuple):
    """What the holder of a token may change: one profile's consent.

    ``topic`` is what the message was about; "*" where that was transactional or the topic is
    no longer configured, for then only "everything" can be meant.
    """

    profile_id: int
    channel: str
    topic: str


class Asked(NamedTuple):
    """What the holder of a link confirms: a yes about ``topic`` ("*": all) said at ``yes_at``."""

    profile_id: int
    channel: str
    topic: str
    yes_at: datetime


class Links:
    """Makes and reads the tokens.

    ``topics`` are the names of the topics whose consent a shopper can withdraw. Raises
    ``ConfigError`` when ``public_url`` leaves no room for a token or two topics cannot be told
    apart.
    """

    def __init__(self, secret: str, public_url: str, topics: Iterable[str]) -> None:
        if len(secret) < 16:
            raise ConfigError("The secret that signs links has fewer than 16 characters.")
        self._key = sha256(b"winback links\0" + secret.encode()).digest()
        self._confirming = sha256(b"winback confirmations\0" + secret.encode()).digest()
        self._base = public_url.rstrip("/")
        room = LONGEST_URL - len("/u/") - _LENGTH
        if len(self._base) > room or not self._base.isascii():
            raise ConfigError(
                f"WINBACK_PUBLIC_URL is {len(self._base)} characters long: links in mails have "
                f"room for {room} plain ASCII characters. Use a shorter host name."
            )
        self._topics: dict[bytes, str] = {}
        for name in topics:
            other = self._topics.setdefault(_mark(name), name)
            if other != name:
                raise ConfigError(
                    f"Topics {other!r} and {name!r} look alike in a link: rename one."
                )

    def token(self, profile_id: int, channel: str, topic: str) -> str:
        """The token for one profile, channel and topic: 28 characters fit for a URL.

        Raises ``KeyError`` for a channel that has no code here.
        """
        mark = _mark(topic)
        if mark not in self._topics:
            mark = bytes(3)
        body = profile_id.to_bytes(8) + bytes([_CHANNELS[channel]]) + mark
        return urlsafe_b64encode(body + self._sign(body)).decode()

    def read(self, token: str) -> Grant | None:
        """What ``token`` allows; None for anything that we did not make."""
        if len(token) != _LENGTH or not token.isascii():
            return None
        try:
            raw = urlsafe_b64decode(token)
        except (Base64Error, ValueError):
            return None
        body, signature = raw[:_BODY], raw[_BODY:]
        if not hmac.compare_digest(signature, self._sign(body)):
            return None
        topic = self._topics.get(body[9:], "*")
        return Grant(int.from_bytes(body[:8]), _CHANNEL_NAMES[body[8]], topic)

    def unsubscribe(self, token: str) -> str:
        """Where a mail program posts, and a person lands, to leave."""
        return f"{self._base}/u/{token}"

    def preferences(self, token: str) -> str:
        """Where a person chooses what to get."""
        return f"{self._base}/preferences/{token}"

    def confirmation(self, asked: Asked) -> str:
        """Where the owner of an address confirms a yes. Longer than the others, and never in a
        header. Raises ``KeyError`` for a channel or topic that has no code here."""
        mark = _mark(asked.topic)
        if asked.topic != "*" and mark not in self._topics:
            raise KeyError(asked.topic)
        when = (asked.yes_at - _EPOCH) // timedelta(microseconds=1)
        body = asked.profile_id.to_bytes(8) + bytes([_CHANNELS[asked.channel]]) + mark
        body += when.to_bytes(8)
        token = urlsafe_b64encode(body + self._confirmed(body)).decode().rstrip("=")
        return f"{self._base}/confirm/{token}"

    def read_confirmation(self, token: str) -> Asked | None:
        """What ``token`` confirms; None for anything that we did not make."""
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (Base64Error, ValueError):
            return None
        body, signature = raw[:-_SIGNATURE], raw[-_SIGNATURE:]
        signed = hmac.compare_digest(signature, self._confirmed(body))
        if len(body) != _BODY + 8 or not signed:
            return None
        mark = body[9:_BODY]
        topic = "*" if mark == _mark("*") else self._topics.get(mark)
        if topic is None:
            return None
        yes_at = _EPOCH + timedelta(microseconds=int.from_bytes(body[_BODY:]))
        return Asked(int.from_bytes(body[:8]), _CHANNEL_NAMES[body[8]], topic, yes_at)

    def _confirmed(self, body: bytes) -> bytes:
        return hmac.digest(self._confirming, body, "sha256")[:_SIGNATURE]

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_SIGNATURE]


def _mark(topic: str) -> bytes:
    """A topic in a token: part of a hash, so that adding or reordering topics in the
    configuration does not change what the tokens already sent mean."""
    return blake2b(topic.encode(), digest_size=3).digest()
