"""Pooled HTTP to an ad platform, which tells "never reached" from "maybe taken".

Nothing that is sent or answered is ever put into an error: both may hold hashes or keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec
import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ProxyError
from urllib3.response import BaseHTTPResponse

from engine.errors import DeliveryError, OutcomeUnknown

CONNECT_SECONDS = 5.0
#: A request of 10,000 members is some MB, and the platforms look through it before they answer.
ANSWER_SECONDS = 30.0
_UNREACHED = (NewConnectionError, ConnectTimeoutError, ProxyError)


class MembersRefused(DeliveryError):
    """The platform took nothing, because of some members: by place in the request, why."""

    def __init__(self, message: str, places: Mapping[int, str]) -> None:
        super().__init__(message, permanent=False, retry_after=timedelta(seconds=1))
        self.places = dict(places)


class Http:
    """Kept-alive connections to one platform. Proxies as the environment says, but never for
    this machine. Times are in seconds."""

    def __init__(self, platform: str, base_url: str, *, answer: float = ANSWER_SECONDS) -> None:
        self.platform = platform
        self.base_url = base_url.rstrip("/")
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        proxy = getproxies().get(parts.scheme)
        local = host == "localhost" or host.startswith("127.") or host == "::1"
        options: dict[str, Any] = {
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=answer),
            "retries": False,
        }
        self.pool: urllib3.PoolManager = (
            urllib3.ProxyManager(proxy, **options)
            if proxy and not local and not proxy_bypass(host)
            else urllib3.PoolManager(**options)
        )

    def call(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> BaseHTTPResponse:
        """The platform's answer, whatever its status; never tries twice.

        Raises ``DeliveryError`` when no connection came about, ``OutcomeUnknown`` when the
        request may have arrived but no answer did.
        """
        try:
            return self.pool.request(
                method, f"{self.base_url}{path}", body=body, headers=headers, redirect=False
            )
        except (HTTPError, OSError) as error:
            kind = type(error).__name__
            if isinstance(error, _UNREACHED):
                raise DeliveryError(
                    f"{self.platform} cannot be reached ({kind})", permanent=False, fault="away"
                ) from None
            raise OutcomeUnknown(
                f"{self.platform} did not answer ({kind}); it may have the members."
            ) from None

    def close(self) -> None:
        self.pool.clear()


def json_of(answer: BaseHTTPResponse) -> dict[str, Any]:
    """The answer's JSON object, empty when it is none."""
    try:
        found = msgspec.json.decode(answer.data)
    except (msgspec.DecodeError, UnicodeError):
        return {}
    return found if isinstance(found, dict) else {}


def retry_after(answer: BaseHTTPResponse, otherwise: float) -> timedelta:
    """How long the platform wants to be left alone: its Retry-After, at most an hour."""
    text = answer.headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() else otherwise
    return timedelta(seconds=min(max(seconds, 1.0), 3600.0))
