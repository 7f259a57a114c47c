"""Pooled HTTP for the providers' SDKs, which tells "never reached" from "maybe taken".

The SDKs' own plumbing has no timeout, and SendGrid's opens a new TLS connection for every
mail (17 to 27 ms of CPU against 0.3 pooled). Both are given this pool instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from engine.errors import DeliveryError, OutcomeUnknown

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0


class Unreached(HTTPError):
    """No connection came about, so no request was sent."""


class _Plain(HTTPConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            raise Unreached(str(error)) from error


class _Tls(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            raise Unreached(str(error)) from error


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _Tls


class Pool:
    """Kept-alive connections to one provider, shared by any number of threads.

    Proxies are taken from the environment as the SDKs would, but never for this machine.
    ``size`` is how many idle connections are kept. Times are in seconds.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        *,
        size: int = 64,
        connect: float = CONNECT_SECONDS,
        answer: float = ANSWER_SECONDS,
    ) -> None:
        self._provider = provider
        parts = urlsplit(base_url)
        host = parts.hostname or ""
        proxy = getproxies().get(parts.scheme)
        local = host == "localhost" or host.startswith("127.") or host == "::1"
        options: dict[str, Any] = {
            "num_pools": 2,
            "maxsize": size,
            "timeout": urllib3.Timeout(connect=connect, read=answer),
            "retries": False,
        }
        self._manager: urllib3.PoolManager
        if proxy and not local and not proxy_bypass(host):
            self._manager = urllib3.ProxyManager(proxy, **options)
        else:
            self._manager = urllib3.PoolManager(**options)
        self._manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """The provider's answer, whatever its status.

        Raises ``DeliveryError`` when no connection came about, ``OutcomeUnknown`` when the
        request may have arrived but no answer did. Never tries twice.
        """
        return self._request("POST", url, body, headers)

    def get(self, url: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """The same without a body."""
        return self._request("GET", url, None, headers)

    def _request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        try:
            return self._manager.request(
                method, url, body=body, headers=headers, redirect=False, retries=False
            )
        except (HTTPError, OSError) as error:
            if _unreached(error):
                raise DeliveryError(
                    f"{self._provider} cannot be reached: {_reason(error)}",
                    permanent=False,
                    fault="away",
                ) from error
            raise OutcomeUnknown(
                f"{self._provider} did not answer: {_reason(error)}; it may have the message."
            ) from error

    def close(self) -> None:
        self._manager.clear()


def _unreached(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, Unreached):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: BaseException) -> str:
    """The error's last words: what is useful of "…Pool(host=…): … (Caused by …)"."""
    words = re.sub(r"\(_ssl\.c.*", "", str(error)).rpartition(": ")[2]
    return words.strip("()'\" ")[:120] or type(error).__name__
