"""Mails written in Markdown: what stands in them, block by block.

The Jinja tags are marks by now (see tags.py), plain words to Markdown. A tag that gives no text and
stands in a line of its own (``{% if … %}``) is a block of its own, so that it ends a paragraph or
list. HTML is not allowed: whoever writes it wants MJML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from engine.errors import RenderError
from engine.rendering.tags import MARK, Tags

#: What stands for a piece of MJML that is put in.
PIECE = re.compile(r"zqmjml(\d+)zq")
_BUTTON = "{.button}"
_SIZE = re.compile(r"\{\s*(?:width=(\d{1,4}))?\s*(?:height=(\d{1,4}))?\s*\}")
#: Rules that a statement in a line of its own interrupts.
_ENDS = ["paragraph", "reference", "blockquote", "list"]


@dataclass(frozen=True, slots=True)
class Picture:
    """``![alt](src){width=280 height=200}``, in pixels; ``href`` where it is a link."""

    src: str
    alt: str
    width: str = ""
    height: str = ""
    href: str = ""


@dataclass(frozen=True, slots=True)
class Button:
    """``[words](href){.button}``."""

    href: str
    words: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """One thing below another. ``tokens`` are Markdown's; ``mark`` that of a statement."""

    kind: Literal["words", "heading", "list", "line", "statement", "button", "picture"]
    tokens: tuple[Token, ...] = ()
    mark: str = ""
    button: Button | None = None
    picture: Picture | None = None


def blocks_of(marked: str, tags: Tags, file: str, first_line: int) -> list[Block]:
    """The blocks of a marked text. Raises ``RenderError`` with the line of what cannot be."""
    tokens = _parser(tags).parse(marked)
    _prepare(tokens, file, first_line)
    found: list[Block] = []
    start = 0
    for end, token in enumerate(tokens):
        if token.level == 0 and token.nesting <= 0:
            found += _blocks(tokens[start : end + 1], file, first_line)
            start = end + 1
    return found


def _parser(tags: Tags) -> MarkdownIt:
    # HTML is recognised here so that it can be refused, and does not go out as it is.
    parser = MarkdownIt("commonmark", {"html": True})

    def statement(state: StateBlock, line: int, end: int, silent: bool) -> bool:
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].strip()
        found = list(MARK.finditer(text))
        alone = bool(found) and not MARK.sub("", text).strip()
        alone = alone and all(tags[int(each[1] or each[2])].statement for each in found)
        if not alone and not PIECE.fullmatch(text):
            return False
        if not silent:
            state.line = line + 1
            token = state.push("statement", "", 0)
            token.content, token.map = text, [line, line + 1]
        return True

    parser.block.ruler.before("table", "statement", statement, {"alt": _ENDS})
    return parser


def _prepare(tokens: Sequence[Token], file: str, first_line: int) -> None:
    """Refuse HTML, and give pictures the sizes behind them."""
    for token in tokens:
        line = first_line + (token.map[0] if token.map else 0)
        for each in (token, *(token.children or ())):
            if each.type in ("html_block", "html_inline"):
                raise RenderError(
                    f"HTML cannot stand in Markdown: {each.content.strip()[:30]!r}. Write the mail "
                    "in MJML, or put this into a file and include that.",
                    file=file,
                    line=line,
                )
        if token.children:
            token.children = _with_sizes(token.children, file, line)


def _with_sizes(children: Sequence[Token], file: str, line: int) -> list[Token]:
    out: list[Token] = []
    for token in children:
        picture = out[-1] if out and out[-1].type == "image" else None
        if picture is not None and token.type == "text" and token.content.startswith("{"):
            size = _SIZE.match(token.content)
            if size is None:
                words = "Behind a picture stands its size in pixels: {width=280}, or both: "
                raise RenderError(words + "{width=280 height=200}", file=file, line=line)
            for side, pixels in zip(("width", "height"), size.groups(), strict=True):
                if pixels:
                    picture.attrSet(side, pixels)
            token.content = token.content[size.end() :]
            if not token.content:
                continue
        out.append(token)
    return out


def _blocks(tokens: list[Token], file: str, first_line: int) -> Iterator[Block]:
    head = tokens[0]
    line = first_line + (head.map[0] if head.map else 0)
    if head.type != "paragraph_open":
        _refuse_buttons(tokens, file, line)
    if head.type == "statement":
        yield Block("statement", mark=head.content)
    elif head.type == "hr":
        yield Block("line")
    elif head.type == "paragraph_open":
        yield from _paragraph(tokens, file, line)
    elif head.type == "heading_open":
        yield Block("heading", tuple(tokens))
    elif head.type in ("bullet_list_open", "ordered_list_open"):
        yield Block("list", tuple(tokens))
    else:
        yield Block("words", tuple(tokens))


def _refuse_buttons(tokens: Sequence[Token], file: str, line: int) -> None:
    for token in tokens:
        if any(_BUTTON in each.content for each in token.children or () if each.type == "text"):
            words = f"A button stands alone in its line: [words](address){_BUTTON}"
            raise RenderError(words, file=file, line=line)


def _paragraph(tokens: list[Token], file: str, line: int) -> Iterator[Block]:
    """A paragraph of pictures or buttons alone is these; any other is words."""
    children = tokens[1].children or []
    made: list[Block] = []
    at = 0
    while at < len(children):
        length, block = _standing(children, at)
        if block is None:
            _refuse_buttons(tokens, file, line)
            yield Block("words", tuple(tokens))
            return
        made.append(block)
        at += length
        while at < len(children) and children[at].type in ("softbreak", "hardbreak"):
            at += 1
    yield from made


def _standing(children: list[Token], at: int) -> tuple[int, Block] | tuple[int, None]:
    """The picture or button that begins at ``at``, and how many tokens it takes."""
    first = children[at]
    if first.type == "image" and _ends(children, at + 1):
        return 1, Block("picture", picture=_picture(first))
    if first.type != "link_open":
        return 0, None
    close = next(i for i in range(at, len(children)) if children[i].type == "link_close")
    inside, href = children[at + 1 : close], str(first.attrs.get("href", ""))
    after = children[close + 1] if close + 1 < len(children) else None
    if after is not None and after.type == "text" and after.content.strip() == _BUTTON:
        return close + 2 - at, Block("button", button=Button(href, tuple(inside)))
    if len(inside) == 1 and inside[0].type == "image" and _ends(children, close + 1):
        return close + 1 - at, Block("picture", picture=_picture(inside[0], href))
    return 0, None


def _picture(image: Token, href: str = "") -> Picture:
    src, width, height = (str(image.attrs.get(key, "")) for key in ("src", "width", "height"))
    return Picture(src, image.content, width, height, href)


def _ends(children: list[Token], at: int) -> bool:
    return at >= len(children) or children[at].type in ("softbreak", "hardbreak")
