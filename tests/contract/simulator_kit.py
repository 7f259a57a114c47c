"""A shop that a simulator reports to: what it was told, and whether it believes it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from engine.channels import open_receiver
from engine.model.event import Event
from engine.testing.sendgrid import SendGridSimulator
from engine.testing.simulator import Request, Simulator
from engine.testing.twilio import TwilioSimulator

#: Later than whatever a test does, so that no time is cut short to it.
LATER = datetime(2100, 1, 1, tzinfo=UTC)


class Shop:
    """Reads what was posted to ``inbox`` with the engine's own code."""

    def __init__(self, inbox: Simulator, there: SendGridSimulator | TwilioSimulator) -> None:
        self._inbox, self._there = inbox, there
        self._receiver = open_receiver(there.provider)
        self._keys: Any = SimpleNamespace(
            sendgrid_webhook_public_key=getattr(there, "public_key", ""),
            twilio_auth_token=getattr(there, "token", ""),
        )

    @property
    def posts(self) -> list[Request]:
        return list(self._inbox.received)

    def believes(self, post: Request, changed: Callable[[bytes], bytes] = bytes) -> bool:
        return self._receiver.verify(
            post.headers, changed(plain(post)), f"{self._inbox.url}{post.path}", self._keys
        )

    def events(self) -> list[Event]:
        """The events of all posts, in the order of their coming, repeats included."""
        found: list[Event] = []
        for post in self.posts:
            assert self.believes(post)
            found += self._receiver.parse(plain(post), f"{self._inbox.url}{post.path}", LATER)
        return found


def plain(post: Request) -> bytes:
    packed = post.headers.get("content-encoding") == "gzip"
    return gzip.decompress(post.body) if packed else post.body


def form(post: Request) -> dict[str, str]:
    return dict(parse_qsl(post.body.decode(), keep_blank_values=True, strict_parsing=True))
