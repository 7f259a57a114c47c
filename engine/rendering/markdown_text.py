"""The plain text of a mail in Markdown: the Markdown itself, without what only a screen shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markdown_it.token import Token

from engine.rendering.markdown import Block, Button
from engine.rendering.plaintext import tidy

_EMPHASIS = {"strong_open": "*", "strong_close": "*", "em_open": "_", "em_close": "_"}


def text_of(blocks: Sequence[Block]) -> str:
    """``blocks`` as marked text: a link as ``words (address)``, a button in a line of its own;
    of a picture nothing, but for one that is a link."""
    out: list[str] = []
    for number, block in enumerate(blocks):
        before = blocks[number - 1].kind if number else ""
        after = blocks[number + 1].kind if number + 1 < len(blocks) else ""
        if block.kind == "statement":
            out.append(block.mark)
            continue
        text = _block(block)
        # A loop makes one list a turn: no empty lines in between.
        turn = block.kind == "list" and before == after == "statement"
        if text:
            out += ("\n" if before == "statement" and not turn else "", text)
            out.append("\n" if turn else "\n\n")
    return tidy("".join(out)).rstrip("\n")


def _block(block: Block) -> str:
    match block.kind:
        case "line":
            return "- - -"
        case "button" if block.button is not None:
            return _button(block.button)
        case "picture" if block.picture is not None:
            picture = block.picture
            return _linked(picture.alt, picture.href) if picture.href else ""
    return _nested(block.tokens)


def _button(button: Button) -> str:
    words = _inline(button.words)
    return f"{words}:\n{button.href}" if words else button.href


def _nested(tokens: Iterable[Token]) -> str:
    """Lists with their dashes and numbers, quotes with their signs."""
    lines: list[str] = []
    quote, bullet, numbers = "", "", [0]
    for token in tokens:
        match token.type:
            case "ordered_list_open":
                numbers.append(int(token.attrs.get("start", 1)))
            case "bullet_list_open":
                numbers.append(0)
            case "ordered_list_close" | "bullet_list_close":
                numbers.pop()
            case "list_item_open":
                number = numbers[-1]
                bullet = f"{number}. " if number else "- "
                numbers[-1] += 1 if number else 0
            case "blockquote_open":
                quote += "> "
            case "blockquote_close":
                quote = quote[:-2]
            case "inline" | "fence" | "code_block" | "statement":
                text = _inline(token.children or ()) if token.children else token.content.rstrip()
                # No indents: the text of a mail is tidied line by line.
                first, *rest = text.split("\n")
                lines += [f"{quote}{bullet}{first}", *(quote + line for line in rest)]
                bullet = ""
    return "\n".join(lines)


def _inline(children: Iterable[Token]) -> str:
    out: list[str] = []
    starts: list[tuple[int, str]] = []
    for token in children:
        if token.type == "link_open":
            starts.append((len(out), str(token.attrs.get("href", ""))))
        elif token.type == "link_close":
            start, href = starts.pop()
            words = "".join(out[start:])
            out[start:] = [_linked(words, href)]
        elif token.type in ("softbreak", "hardbreak"):
            out.append("\n")
        elif token.type == "image":
            out.append(token.content if starts else "")
        else:
            out.append(_EMPHASIS.get(token.type) or token.content)
    return "".join(out).strip()


def _linked(words: str, href: str) -> str:
    address = href.removeprefix("mailto:")
    return words if words == address else f"{words} ({address})" if words else address
