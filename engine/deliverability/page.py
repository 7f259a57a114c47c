"""What a mail's HTML holds, as far as a mailbox provider looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

#: What mail programs take out or filters count against the sender.
_ACTIVE = frozenset({"script", "form", "iframe", "object", "embed", "applet", "input"})
_UNREAD = frozenset({"style", "script", "title", "head"})


@dataclass(slots=True)
class Page:
    """``links`` (address, text that the reader sees); ``images`` their attributes; ``active``
    tags that do something; ``text`` all that is read; ``lang`` and ``dir`` of the root."""

    links: list[tuple[str, str]] = field(default_factory=list)
    images: list[dict[str, str]] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    text: str = ""
    lang: str = ""
    dir: str = ""


def read_page(html: str) -> Page:
    """Read ``html``; never raises: what is broken is read as a browser would."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    reader.page.text = " ".join(" ".join(reader.words).split())
    return reader.page


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.words: list[str] = []
        self._hidden = 0
        self._link: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.page.lang, self.page.dir = values.get("lang", ""), values.get("dir", "")
        elif tag == "img":
            self.page.images.append(values)
        elif tag == "a" and "href" in values:
            self._link = values["href"], []
        if tag in _ACTIVE:
            self.page.active.add(tag)
        if tag in _UNREAD:
            self._hidden += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNREAD and self._hidden:
            self._hidden -= 1
        if tag == "a" and self._link is not None:
            address, words = self._link
            self.page.links.append((address, " ".join(" ".join(words).split())))
            self._link = None

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)
            if self._link is not None:
                self._link[1].append(data)
