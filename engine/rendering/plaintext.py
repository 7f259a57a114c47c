"""The plain-text part of a mail, made from its HTML where the author wrote none.

Works on marked HTML (see tags.py), once per template, so that loops and conditions are still
loops and conditions in the text.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from engine.rendering.tags import MARK

_BLOCKS = frozenset(
    """address article blockquote center div footer h1 h2 h3 h4 h5 h6 header hr li main ol p pre
    section table tr ul""".split()  # noqa: SIM905
)
_APART = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "hr"})
_SILENT = frozenset({"head", "style", "script", "title"})
_VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"})
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)


def to_text(html: str) -> str:
    """Readable text of ``html``: a line a block, links in brackets after their words."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return tidy("".join(reader.out))


def tidy(text: str) -> str:
    """No blanks at the ends of lines, no more than one empty line in a row."""
    text = "\n".join([line.strip(" \t") for line in text.split("\n")])
    if "\n\n\n" in text:
        text = re.sub(r"\n{3,}", "\n\n", text)
    return text.strip() + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self._silent: list[str] = []
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        hidden = tag in _SILENT or _HIDDEN.search(given.get("style") or "")
        if self._silent or hidden:
            if tag not in _VOID:
                self._silent.append(tag)
            return
        if tag == "a":
            self._links.append((given.get("href") or "", len(self.out)))
        elif tag == "br":
            self.out.append("\n")
        elif tag == "img" and self._links and given.get("alt"):
            self.out.append(given["alt"] or "")
        elif tag in ("td", "th"):
            self.out.append(" ")
        elif tag in _BLOCKS:
            self.out.append("\n\n" if tag in _APART else "\n")
            if tag == "li":
                self.out.append("- ")

    def handle_endtag(self, tag: str) -> None:
        if self._silent:
            if tag in self._silent:
                while self._silent.pop() != tag:
                    pass
            return
        if tag == "a" and self._links:
            address, start = self._links.pop()
            words = "".join(self.out[start:]).strip()
            if address and address != words and not address.startswith("#"):
                self.out.append(f" ({address})" if words else address)
        elif tag in _BLOCKS:
            self.out.append("\n\n" if tag in _APART else "\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.out.append(re.sub(r"\s+", " ", data))

    def handle_comment(self, data: str) -> None:
        if not self._silent and MARK.fullmatch(data):
            self.out.append(data)
