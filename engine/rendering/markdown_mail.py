"""A mail in Markdown as MJML, in the frame of the shop's other mails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

from engine.errors import RenderError
from engine.rendering.markdown import PIECE, Block, Button, Picture, blocks_of
from engine.rendering.markdown_text import text_of
from engine.rendering.parts import TEXT, compile_part
from engine.rendering.tags import Tags

#: ``layout: none`` asks for the plain frame.
NONE = "none"
_CONTENT = "zqcontentzq"
#: A line that puts a piece of MJML in: ``{% include "_product.mjml" %}``.
_INCLUDE = re.compile(r"^([ \t]*)\{%-?\s*include\s+[\"'][^\"']+\.mjml[\"']\s*-?%\}[ \t]*$", re.M)
_PLACE = "zqmjml{}zq"
_SECTION = '<mj-section css-class="card" padding="0"><mj-column>{}</mj-column></mj-section>'
_EDGE = (
    '<mj-section css-class="card" border-radius="{}" padding="0"><mj-column>'
    '<mj-spacer height="{}px" /></mj-column></mj-section>'
)
_LINE = '<mj-divider border-width="1px" border-color="#c9ccd1" padding="8px 32px 24px" />'
_SIZES = {"h1": 26, "h2": 21, "h3": 18}
_STYLES = {
    "bullet_list_open": "margin:0;padding:0 24px",
    "ordered_list_open": "margin:0;padding:0 24px",
    "blockquote_open": "margin:0;padding:0 16px;border-left:3px solid #c9ccd1",
    "paragraph_open": "margin:0 0 8px",
    "fence": "white-space:pre-wrap",
    "code_block": "white-space:pre-wrap",
}

#: Where the shop has no layout. It has no words, for it does not know the reader's language.
PLAIN = """<mjml><mj-head><mj-title>{{ subject }}</mj-title>
<mj-raw><meta name="color-scheme" content="light dark" /></mj-raw>
<mj-attributes>
<mj-all font-family="'Helvetica Neue', Helvetica, Arial, sans-serif" />
<mj-text font-size="16px" line-height="1.6" color="#2b2d33" padding="0 32px 16px" />
<mj-section background-color="#ffffff" padding="0" />
<mj-button background-color="#2b2d33" color="#ffffff" border-radius="6px" font-size="16px"
 inner-padding="14px 32px" padding="8px 32px 24px" />
</mj-attributes>
<mj-style>:root { color-scheme: light dark; } a { color: inherit; }
@media (prefers-color-scheme: dark) {
body, .page, .page > table { background-color: #15171a !important; }
.card, .card > table { background-color: #202328 !important; }
.ink div, .ink td { color: #eceae6 !important; } }</mj-style></mj-head>
<mj-body background-color="#f3f1ed" css-class="page">
<mj-section background-color="#f3f1ed" css-class="page" padding="28px 0 20px"><mj-column>
<mj-text css-class="ink" align="center" font-size="20px" font-weight="700">{{ shop.name }}</mj-text>
</mj-column></mj-section>
{% block content %}{% endblock %}
<mj-section background-color="#f3f1ed" css-class="page" padding="20px 0 32px"><mj-column>
<mj-text css-class="ink" align="center" font-size="13px">{{ shop.name }}\
{% if shop.address %}, {{ shop.address }}{% endif %}</mj-text>
</mj-column></mj-section></mj-body></mjml>"""
_PLAIN_NAME = "(the plain frame)"
_FOOTER = "--\n{{ shop.name }}{% if shop.address %}, {{ shop.address }}{% endif %}\n"
_LEAVE = "{{ unsubscribe_url }}\n"


class Mail(NamedTuple):
    """The whole mail as marked MJML, its text as marked text, and files that would matter if
    they were there."""

    mjml: str
    text: str
    wanted: tuple[Path, ...]


def to_mjml(
    tags: Tags, folder: Path, name: str, body: str, first_line: int, layout: str, locale: str
) -> Mail:
    """``body`` (of the file ``name``, from ``first_line`` on) in its frame: ``layout``, a file of
    ``folder``, or the shop's of ``locale`` where it is "". Raises ``RenderError``."""
    includes: list[str] = []

    def keep(found: re.Match[str]) -> str:
        includes.append(found[0].strip())
        return found[1] + _PLACE.format(len(includes) - 1)

    own = re.search(rf"{PIECE.pattern}|{_CONTENT}", body)
    if own:
        line = first_line + body.count("\n", 0, own.start())
        raise RenderError(f"{own[0]} cannot be written here.", file=name, line=line)
    source = _INCLUDE.sub(keep, body)
    if re.search(r"\{%-?\s*extends\b", source):
        words = "A mail in Markdown says at the top which frame it wants: layout: …"
        raise RenderError(words, file=name, line=first_line)
    marked = tags.resolve(name, source, first_line)
    # What is not closed is said here, before it is mixed with the frame.
    compile_part(TEXT, tags.restore(marked), name)
    blocks = blocks_of(marked, tags, name, first_line)
    pieces = [tags.resolve(name, text) for text in includes]
    frame, footer, wanted = _frame(tags, folder, name, layout, locale)
    if frame.count(_CONTENT) != 1:
        words = "The layout has no {% block content %}, where a mail in Markdown would stand."
        raise RenderError(words, file=name, line=1)
    if sum(bool(PIECE.fullmatch(block.mark)) for block in blocks) < len(pieces):
        words = "A piece of MJML is put in between paragraphs, not within a list or quote."
        raise RenderError(words, file=name, line=first_line)
    text = PIECE.sub("", text_of(blocks))
    content = PIECE.sub(lambda found: pieces[int(found[1])], _Writer().content(blocks))
    return Mail(frame.replace(_CONTENT, content), f"{text}\n\n{footer}", wanted)


def _frame(
    tags: Tags, folder: Path, name: str, layout: str, locale: str
) -> tuple[str, str, tuple[Path, ...]]:
    """The marked frame with a place for the content, the marked end of the text, and the layouts
    that were looked for."""
    block = f"{{% block content %}}{_CONTENT}{{% endblock %}}"
    usual = [f"_layout.{tag}.mjml" for tag in dict.fromkeys((locale, locale.split("-")[0]))]
    looked_for = [] if layout == NONE else [layout] if layout else usual
    found = next((one for one in looked_for if (folder / one).is_file()), None)
    wanted = tuple(folder / one for one in looked_for)
    if layout and layout != NONE and found is None:
        raise RenderError(f"There is no {layout} in {folder.name}/.", file=name, line=1)
    if found is None:
        if not any("unsubscribe_url" in tag.text for tag in tags):
            words = "Without a layout the mail itself needs a link to leave by, in the reader's "
            words += "language: [Unsubscribe]({{ unsubscribe_url }})"
            raise RenderError(words, file=name, line=1)
        frame = tags.resolve(_PLAIN_NAME, PLAIN.replace("{% block content %}{% endblock %}", block))
        return frame, tags.resolve(_PLAIN_NAME, _FOOTER), wanted
    frame = tags.resolve(name, f'{{% extends "{found}" %}}{block}')
    end = found.replace("_layout", "_footer").removesuffix(".mjml") + ".txt"
    if (folder / end).is_file():
        return frame, tags.resolve(name, f'{{% include "{end}" %}}'), wanted
    return frame, tags.resolve(name, _FOOTER + _LEAVE), (*wanted, folder / end)


class _Writer:
    """Blocks as sections of a card. A statement stands between sections, where a loop or
    condition may hold whole ones."""

    def __init__(self) -> None:
        self._markdown = MarkdownIt("commonmark")

    def content(self, blocks: Sequence[Block]) -> str:
        out = [_EDGE.format("10px 10px 0 0", 36)]
        for number, block in enumerate(blocks):
            following = blocks[number + 1].kind if number + 1 < len(blocks) else ""
            if block.kind == "statement":
                out.append(block.mark)
            else:
                # A list that a loop makes has an item a turn.
                close = block.kind == "list" and following == "statement"
                out.append(_SECTION.format(self._element(block, close)))
        return "".join([*out, _EDGE.format("0 0 10px 10px", 20)])

    def _element(self, block: Block, close: bool) -> str:
        match block.kind:
            case "line":
                return _LINE
            case "button" if block.button is not None:
                return self._button(block.button)
            case "picture" if block.picture is not None:
                return _picture(block.picture)
            case "heading":
                size = _SIZES.get(block.tokens[0].tag, 16)
                more = f' font-size="{size}px" line-height="1.3" font-weight="700"'
            case _:
                more = ' padding="0 32px 4px"' if close else ""
        return f'<mj-text css-class="ink"{more}>{self._words(block.tokens)}</mj-text>'

    def _button(self, button: Button) -> str:
        words = self._inline(button.words)
        return f'<mj-button href="{escape(button.href)}">{words}</mj-button>'

    def _words(self, tokens: Iterable[Token]) -> str:
        """HTML with its styles inline; of a paragraph or heading what is in it."""
        made = list(tokens)
        if made[0].type in ("paragraph_open", "heading_open"):
            return self._inline(made[1].children or ())
        for token in made:
            if token.type == "statement":
                token.type = "text"
            if token.type in _STYLES:
                token.attrSet("style", _STYLES[token.type])
        return self._render(made)

    def _inline(self, children: Iterable[Token]) -> str:
        return self._render([Token("inline", "", 0, children=list(children))])

    def _render(self, tokens: list[Token]) -> str:
        for token in (each for one in tokens for each in one.children or ()):
            if token.type == "image":
                token.attrSet("style", "max-width:100%;vertical-align:middle")
        html: str = self._markdown.renderer.render(tokens, self._markdown.options, {})
        return html.strip()


def _picture(picture: Picture) -> str:
    given = {
        "src": picture.src,
        "alt": picture.alt,
        "width": f"{picture.width}px" if picture.width else "",
        "height": f"{picture.height}px" if picture.height else "",
        "href": picture.href,
    }
    attributes = "".join(
        f' {key}="{escape(value)}"' for key, value in given.items() if value or key == "alt"
    )
    return f'<mj-image{attributes} align="center" padding="0 32px 16px" />'
