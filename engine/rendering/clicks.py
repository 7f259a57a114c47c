"""Links that count their clicks: ours on the way there, the shop's own on arrival.

In a mail the link carries where it leads, signed together with the message, so that it needs no
table, never expires, and nobody can make one that leads elsewhere (no open redirect). In a text
message, where characters cost money, it is a code that the shop remembers.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from hashlib import sha256
from html import escape, unescape
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from uuid import UUID

from engine.model.links import LinkRules, ShortLink
from engine.model.message import Message
from engine.model.policy import Shop

_SIGNATURE = 9  # bytes: 72 bits, as in the links to leave
_BODY = 8 + 16
_CODE = 6  # bytes: 48 bits, of which a shop that sends a million a day uses few
_ANCHOR = re.compile(r"""<a\s(?:[^>"']|"[^"]*"|'[^']*')*>""", re.I)
_HREF = re.compile(r"""(\shref\s*=\s*)("([^"]*)"|'([^']*)')""", re.I)
#: Written into an ``<a>`` by an author who wants that link left alone.
_LEFT_ALONE = re.compile(r"\sdata-untracked(?=[\s=>/])", re.I)
_URL = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
#: What answers under our own address and must be reached as it is.
_OURS = ("/u/", "/unsubscribe/", "/preferences/", "/confirm/", "/c/", "/s/")


class Click(NamedTuple):
    """Whose click it is."""

    profile_id: int
    message_id: str


class ClickLinks:
    """Makes and reads the links of one shop.

    ``secret`` signs them. ``public_url``: where our pages are. ``rules``: see ``LinkRules``.
    """

    def __init__(self, secret: str, public_url: str, rules: LinkRules, shop: Shop) -> None:
        self._key = sha256(b"winback clicks\0" + secret.encode()).digest()
        self._base = public_url.rstrip("/")
        self._rules = rules
        self._shop = (urlsplit(shop.url).hostname or "").removeprefix("www.")

    def in_html(self, html: str, message: Message) -> str:
        """``html`` with its ``<a href>`` counted; those to leave or to choose stay as they are."""
        if not (self._rules.track or self._rules.utm):
            return html
        made: dict[str, str] = {}

        def anchor(found: re.Match[str]) -> str:
            if _LEFT_ALONE.search(found[0]):
                return _LEFT_ALONE.sub("", found[0])
            return _HREF.sub(href, found[0], count=1)

        def href(found: re.Match[str]) -> str:
            url = unescape(found[3] if found[3] is not None else found[4]).strip()
            if url not in made:
                made[url] = self._counted(url, message, self._signed)
            return f'{found[1]}"{escape(made[url])}"'

        return _ANCHOR.sub(anchor, html)

    def in_text(self, text: str, message: Message) -> tuple[str, tuple[ShortLink, ...]]:
        """``text`` of a text message with its links short, and what is to be remembered."""
        if not (self._rules.track or self._rules.utm):
            return text, ()
        made: dict[str, ShortLink] = {}

        def shortened(url: str, message: Message) -> str:
            if not self._rules.shorten:
                return self._signed(url, message)
            link = made.setdefault(url, ShortLink(self._code(url, message), url))
            return f"{self._base}/s/{link.code}"

        new = _URL.sub(lambda found: self._counted(found[0], message, shortened), text)
        return new, tuple(made.values())

    def read(self, token: str, url: str) -> Click | None:
        """Whose click on a link to ``url`` it is; None for a link that we did not make."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii"))
        except (Base64Error, ValueError):
            return None
        body, signature = raw[:_BODY], raw[_BODY:]
        if not hmac.compare_digest(signature, self._sign(body + url.encode("utf-8", "replace"))):
            return None
        return Click(int.from_bytes(body[:8]), str(UUID(bytes=body[8:])))

    def _counted(self, url: str, message: Message, way: Callable[[str, Message], str]) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        if parts.scheme not in ("http", "https") or not parts.hostname or self._is_ours(url):
            return url
        if self._rules.utm and parts.hostname.removeprefix("www.") == self._shop:
            url = self._with_utm(url, message)
        return way(url, message) if self._rules.track else url

    def _is_ours(self, url: str) -> bool:
        return url.startswith(tuple(self._base + place for place in _OURS))

    def _with_utm(self, url: str, message: Message) -> str:
        parts = urlsplit(url)
        told = {
            "journey": message.journey,
            "channel": message.channel,
            "template": message.template,
            "step": message.step,
        }
        more = [
            (f"utm_{name}", value.format_map(told))
            for name, value in self._rules.utm.items()
            if f"utm_{name}=" not in parts.query
        ]
        query = "&".join(filter(None, (parts.query, urlencode(more))))
        return urlunsplit(parts._replace(query=query))

    def _signed(self, url: str, message: Message) -> str:
        body = message.profile_id.to_bytes(8) + UUID(message.id).bytes
        signature = self._sign(body + url.encode("utf-8", "replace"))
        token = urlsafe_b64encode(body + signature).decode()
        return f"{self._base}/c/{token}?u={quote(url, safe='')}"

    def _code(self, url: str, message: Message) -> str:
        body = b"short\0" + UUID(message.id).bytes + url.encode("utf-8", "replace")
        return urlsafe_b64encode(hmac.digest(self._key, body, "sha256")[:_CODE]).decode()

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_SIGNATURE]
