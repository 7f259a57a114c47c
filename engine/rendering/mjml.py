"""MJML to HTML, with the marks of Jinja tags where they may stand.

mrml is quick and forgiving: an element it does not know goes through as it is and shows up
as a broken mail. So the structure is checked here first, and a statement that stands between
elements (a loop around a column, say) is wrapped in ``mj-raw``, which mrml leaves alone.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import NamedTuple

import mrml

from engine.rendering.tags import MARK, Tags

#: Elements whose content is HTML or text, not MJML.
_TEXTUAL = frozenset(
    """mj-text mj-button mj-table mj-raw mj-title mj-preview mj-style mj-accordion-title
    mj-accordion-text mj-navbar-link mj-social-element""".split()  # noqa: SIM905
)
_STRUCTURE = frozenset(
    """mjml mj-head mj-body mj-attributes mj-all mj-class mj-breakpoint mj-font
    mj-html-attributes mj-html-attribute mj-selector mj-section mj-column mj-group mj-wrapper
    mj-hero mj-image mj-divider mj-spacer mj-social mj-navbar mj-accordion mj-accordion-element
    mj-carousel mj-carousel-image""".split()  # noqa: SIM905
)
_KNOWN = _TEXTUAL | _STRUCTURE
_ATTRIBUTES_ONLY = frozenset({"mj-attributes", "mj-html-attributes", "mj-selector"})
_TABLE = re.compile(
    r"<(/)?((?:mj-)?table)\b[^>]*>(?=(\s*(?:<!--zq\d+qz-->\s*)*<tr\b)?)", re.IGNORECASE
)
_PIECE = re.compile(
    r"""<!--.*?-->|<(/?)([A-Za-z][\w-]*)((?:[^<>"']|"[^"]*"|'[^']*')*?)(/?)>""", re.DOTALL
)

#: What right-to-left mail needs beyond ``dir``, which some clients drop: set as defaults,
#: before the template's own.
_RTL_DEFAULTS = (
    '<mj-attributes><mj-section direction="rtl"/><mj-column direction="rtl"/>'
    '<mj-group direction="rtl"/><mj-wrapper direction="rtl"/><mj-text align="right"/>'
    '<mj-table align="right"/></mj-attributes>'
)


class MarkupError(ValueError):
    """The MJML cannot be used. ``tag`` is the element it is about."""

    def __init__(self, message: str, tag: str = "") -> None:
        super().__init__(message)
        self.tag = tag


class _Open(NamedTuple):
    name: str
    textual: bool


def to_html(source: str, tags: Tags, locale: str, direction: str, preheader: str) -> str:
    """The HTML of a marked MJML document. ``preheader``: the mark of the text that mail
    programs show beside the subject. Raises ``MarkupError``."""
    lead, body = _place_marks(source, tags)
    body = re.sub(r"<mjml\b[^>]*>", f'<mjml lang="{locale}" dir="{direction}">', body, count=1)
    head = _RTL_DEFAULTS if direction == "rtl" else ""
    if preheader and "<mj-preview" not in body:
        head += f"<mj-preview>{preheader}</mj-preview>"
    if re.search(r"<mj-head\b[^>/]*>", body):
        body = re.sub(r"(<mj-head\b[^>/]*>)", rf"\1{head}", body, count=1)
    else:
        body = re.sub(r"<mj-head\s*/>", "", body)
        body = re.sub(r"(<mjml\b[^>]*>)", rf"\1<mj-head>{head}</mj-head>", body, count=1)
    try:
        html: str = mrml.to_html(with_row_group(body)).content
    except OSError as error:
        raise MarkupError(f"MJML: {error}.") from error
    if direction == "rtl":
        html = html.replace(
            f' lang="{locale}" dir="rtl">',
            f' lang="{locale}" dir="rtl" style="direction:rtl;text-align:right">',
        )
    return lead + html


def _place_marks(source: str, tags: Tags) -> tuple[str, str]:
    """Marks outside the root, and the document with the others in places mrml keeps."""
    out: list[str] = []
    lead: list[str] = []
    stack: list[_Open] = []
    end = 0
    for found in _PIECE.finditer(source):
        _text(source[end : found.start()], stack, tags, out, lead)
        end = found.end()
        closing, name, _, empty = found.groups()
        out.append(found[0])
        if name is None or (stack and stack[-1].textual and name != stack[-1].name):
            continue
        if closing:
            _close(name, stack)
            continue
        if name not in _KNOWN:
            near = get_close_matches(name, _KNOWN, 1)
            hint = f": did you mean <{near[0]}>?" if near else " outside mj-text or mj-raw."
            raise MarkupError(f"<{name}> is no MJML element{hint}", name)
        if not empty:
            stack.append(_Open(name, name in _TEXTUAL))
    _text(source[end:], stack, tags, out, lead)
    if stack:
        raise MarkupError(f"<{stack[-1].name}> is never closed.", stack[-1].name)
    if "<mj-body" not in source:
        raise MarkupError("There is no <mj-body>: nothing would be shown.")
    return "".join(lead), "".join(out)


def _close(name: str, stack: list[_Open]) -> None:
    if not stack or stack[-1].name != name:
        wanted = f"</{stack[-1].name}>" if stack else "the end"
        raise MarkupError(f"</{name}> stands where {wanted} is expected.", name)
    stack.pop()


def _text(text: str, stack: list[_Open], tags: Tags, out: list[str], lead: list[str]) -> None:
    if not text:
        return
    if not stack or stack[-1].name == "mjml":
        lead += MARK.findall(text) and [m[0] for m in MARK.finditer(text)]
        left = MARK.sub("", text)
        if left.strip() and stack:
            raise MarkupError(f"{left.strip()[:30]!r} stands outside mj-body.")
        out.append(left if stack else "")
        return
    if stack[-1].textual:
        out.append(comment_statements(text, tags))
        return
    if stack[-1].name in _ATTRIBUTES_ONLY and MARK.search(text):
        raise MarkupError(
            f"A Jinja tag cannot stand in {stack[-1].name}: put it into an attribute's value.",
            stack[-1].name,
        )
    left = MARK.sub("", text).strip()
    if left:
        raise MarkupError(
            f"The text {left[:30]!r} stands straight in <{stack[-1].name}>: put it into mj-text.",
            stack[-1].name,
        )
    out.append(MARK.sub(lambda m: f"<mj-raw>{comment_statements(m[0], tags)}</mj-raw>", text))


def with_row_group(html: str) -> str:
    """Say ``<tbody>`` where rows stand straight in a table. An HTML parser would put it around
    the first row only, and a loop would then repeat half of it."""
    pending: list[bool] = []

    def one(found: re.Match[str]) -> str:
        if not found[1]:
            pending.append(bool(found[3]))
            return f"{found[0]}<tbody>" if found[3] else found[0]
        return f"</tbody>{found[0]}" if pending and pending.pop() else found[0]

    return _TABLE.sub(one, html)


def comment_statements(text: str, tags: Tags) -> str:
    """Marks of statements as comments: what HTML parsers leave in place even among table rows,
    where they would move a text out."""

    def one(found: re.Match[str]) -> str:
        number = found[1] or found[2]
        return f"<!--zq{number}qz-->" if tags[int(number)].statement else found[0]

    return MARK.sub(one, text)
