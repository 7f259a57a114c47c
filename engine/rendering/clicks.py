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
from functools import lru_cache
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
_USUAL = 500  # characters of a link, longer ones are not kept
_ANCHOR = re.compile(r"""<[aA]\s[^>"']*(?:"[^"]*"[^>"']*|'[^']*'[^>"']*)*>""")
_HREF = re.compile(r"""(\shref\s*=\s*)("([^"]*)"|'([^']*)')""", re.I)
#: Written into an ``<a>`` by an author who wants that link left alone.
_LEFT_ALONE = re.compile(r"\sdata-untracked(?=[\s=>/])", re.I)
_URL = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")
#: What answers under our own address and must be reached as it is.
_OURS = ("/u/", "/unsubscribe/", "/preferences/", "/confirm/", "/c/", "/s/", "/w/")


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
        self.base = public_url.rstrip("/")
        self._ours = tuple(self.base + place for place in _OURS)
        self._rules = rules
        self._shop = (urlsplit(shop.url).hostname or "").removeprefix("www.")
        self._utm = lru_cache(maxsize=1024)(self._told)

    def in_html(self, html: str, message: Message) -> str:
        """``html`` with its ``<a href>`` counted; those to leave or to choose stay as they are."""
        if not (self._rules.track or self._rules.utm):
            return html
        one = _One(self, message)
        made: dict[str, str] = {}

        def anchor(found: re.Match[str]) -> str:
            if _LEFT_ALONE.search(found[0]):
                return _LEFT_ALONE.sub("", found[0])
            return _HREF.sub(href, found[0], count=1)

        def href(found: re.Match[str]) -> str:
            raw = found[3] if found[3] is not None else found[4]
            if raw not in made:
                made[raw] = escape(self._counted(unescape(raw).strip(), one, one.signed))
            return f'{found[1]}"{made[raw]}"'

        return _ANCHOR.sub(anchor, html)

    def in_text(self, text: str, message: Message) -> tuple[str, tuple[ShortLink, ...]]:
        """``text`` of a text message with its links to the shop short, and what is to be
        remembered."""
        if not (self._rules.track or self._rules.utm):
            return text, ()
        one = _One(self, message)
        way = one.shortened if self._rules.shorten else one.signed
        new = _URL.sub(lambda found: self._counted(found[0], one, way, shop_only=True), text)
        return new, tuple(one.short.values())

    def read(self, token: str, url: str) -> Click | None:
        """Whose click on a link to ``url`` it is; None for a link that we did not make."""
        try:
            raw = urlsafe_b64decode(token.encode("ascii"))
        except (Base64Error, ValueError):
            return None
        body, signature = raw[:_BODY], raw[_BODY:]
        if not hmac.compare_digest(signature, self.sign(body + url.encode("utf-8", "replace"))):
            return None
        return Click(int.from_bytes(body[:8]), str(UUID(bytes=body[8:])))

    def sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_SIGNATURE]

    def utm(self, message: Message) -> str:
        """What the shop's analytics are told of a link in ``message``, as a query."""
        return self._utm(message.journey, message.channel, message.template, message.step)

    def _told(self, journey: str, channel: str, template: str, step: str) -> str:
        told = {"journey": journey, "channel": channel, "template": template, "step": step}
        values = {f"utm_{n}": value.format_map(told) for n, value in self._rules.utm.items()}
        return urlencode(values)

    def _counted(
        self, url: str, one: _One, way: Callable[[_Place], str], *, shop_only: bool = False
    ) -> str:
        if not url.startswith(("http://", "https://")) or url.startswith(self._ours):
            return url
        known = _place if len(url) <= _USUAL else _place.__wrapped__
        place = known(url, one.utm, self._shop)
        # In plain text a link may stand in the name of a shopper or product, which a browser told
        # us: the shop's address must not vouch for it.
        of_shop = place.host == self._shop or place.host.endswith("." + self._shop)
        if not place.host or (shop_only and not of_shop):
            return url
        return way(place) if self._rules.track else place.url


class _One:
    """The links of one message: what they share is worked out once."""

    def __init__(self, links: ClickLinks, message: Message) -> None:
        self._links = links
        self._base = links.base
        self._id = UUID(message.id).bytes
        self._body = message.profile_id.to_bytes(8) + self._id
        self._short = "w" if message.channel == "whatsapp" else "s"
        self.utm = links.utm(message)
        self.short: dict[str, ShortLink] = {}

    def signed(self, place: _Place) -> str:
        signature = self._links.sign(self._body + place.url.encode("utf-8", "replace"))
        token = urlsafe_b64encode(self._body + signature).decode()
        return f"{self._base}/c/{token}?u={place.quoted}"

    def shortened(self, place: _Place) -> str:
        url = place.url
        link = self.short.get(url)
        if link is None:
            whole = self._links.sign(b"short\0" + self._id + url.encode("utf-8", "replace"))
            link = ShortLink(urlsafe_b64encode(whole[:_CODE]).decode(), url)
            self.short[url] = link
        return f"{self._base}/{self._short}/{link.code}"


class _Place(NamedTuple):
    """A link's host ("" for none), and the link with the query that analytics are told, as it is
    and as a parameter."""

    host: str
    url: str
    quoted: str


@lru_cache(maxsize=4096)
def _place(url: str, utm: str, shop: str) -> _Place:
    """Cached, for a shop has far fewer pages than it sends mails."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return _Place("", url, url)
    if utm and host == shop:
        url = urlunsplit(parts._replace(query=_joined(parts.query, utm)))
    return _Place(host, url, quote(url, safe=""))


def _joined(query: str, utm: str) -> str:
    """``utm`` behind ``query``, but for what that says already."""
    if "utm_" in query:
        said = {part.partition("=")[0] for part in query.split("&")}
        utm = "&".join(part for part in utm.split("&") if part.partition("=")[0] not in said)
    return "&".join(filter(None, (query, utm)))
