"""A template file as it is written, compiled to parts that render fast.

``email.<locale>.mjml``, ``.html`` or ``.md`` begins with a YAML block that gives ``subject`` and,
if wanted, ``preheader`` (the line that mail programs show beside the subject). MJML is compiled
and CSS inlined here, once, with the Jinja tags kept aside.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import css_inline

from engine.errors import RenderError
from engine.model.texts import Transliterate
from engine.rendering import mjml
from engine.rendering.front import mail_front, sms_front
from engine.rendering.locales import direction
from engine.rendering.markdown_mail import to_mjml
from engine.rendering.parts import HTML, TEXT, Part, compile_part
from engine.rendering.plaintext import to_text
from engine.rendering.tags import MARK, Flat, Tags

_TAG = re.compile(r"""<!--.*?-->|<[A-Za-z/!](?:[^<>"']|"[^"]*"|'[^']*')*>""", re.DOTALL)
_inliner = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)


@dataclass(frozen=True, slots=True)
class EmailTemplate:
    """A mail in one language. ``files``: all that it was made from."""

    locale: str
    direction: Literal["ltr", "rtl"]
    subject: Part
    preheader: Part | None
    html: Part
    text: Part
    files: tuple[Path, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(filter(None, (self.subject, self.preheader, self.html, self.text)))


@dataclass(frozen=True, slots=True)
class SmsTemplate:
    """A text message in one language. ``transliterate`` None: as the shop says."""

    locale: str
    direction: Literal["ltr", "rtl"]
    body: Part
    files: tuple[Path, ...]
    transliterate: Transliterate | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.body,)


def compile_sms(folder: Path, path: Path, locale: str) -> SmsTemplate:
    """Compile ``sms.<locale>.txt``. ``folder``: the templates folder. Raises ``RenderError``."""
    name = path.relative_to(folder).as_posix()
    how, source, first_line = sms_front(name, _read(path, name))
    tags = Tags(folder)
    body = compile_part(TEXT, tags.restore(tags.resolve(name, source, first_line)), name)
    return SmsTemplate(locale, direction(locale), body, (path, *tags.files), how)


def compile_email(folder: Path, path: Path, text_path: Path | None, locale: str) -> EmailTemplate:
    """Compile a mail and its plain text (from ``text_path``, else made from the mail).

    Raises ``RenderError`` with file and line as far as they are known.
    """
    name = path.relative_to(folder).as_posix()
    front, body, first_line = mail_front(name, _read(path, name))
    head = {key: _line(front, key, name) for key in front if key != "layout"}
    tags = Tags(folder)
    wanted: tuple[Path, ...] = ()
    plain = None
    if path.suffix == ".md":
        layout = front["layout"][0] if "layout" in front else ""
        marked, plain, wanted = to_mjml(tags, folder, name, body, first_line, layout, locale)
    else:
        marked = tags.resolve(name, body, first_line)
    preheader = tags.add("{{ preheader }}") if "preheader" in front else ""
    way = direction(locale)
    if path.suffix in (".mjml", ".md"):
        try:
            html = mjml.to_html(marked, tags, locale, way, preheader)
        except mjml.MarkupError as error:
            place = _find(error.tag, name, body, first_line, tags)
            raise RenderError(str(error), file=place[0], line=place[1]) from error
    else:
        html = _finish_html(marked, tags, locale, way, preheader)
    files = (path, *wanted, *tags.files)
    if text_path:
        text = _text_file(tags, folder, text_path)
        files = (*files, text_path, *tags.files)
    else:
        text = compile_part(TEXT, tags.restore(plain or to_text(html)), name)
    return EmailTemplate(
        locale=locale,
        direction=way,
        subject=head["subject"],
        preheader=head.get("preheader"),
        html=compile_part(HTML, tags.restore(html), name),
        text=text,
        files=tuple(dict.fromkeys(files)),
    )


def _read(path: Path, name: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"Cannot read it: {error}.", file=name) from error


def _text_file(tags: Tags, folder: Path, path: Path) -> Part:
    name = path.relative_to(folder).as_posix()
    return compile_part(TEXT, tags.restore(tags.resolve(name, _read(path, name))), name)


def _line(front: dict[str, tuple[Any, int]], key: str, name: str) -> Part:
    text, line = front[key]
    breaks = text.count("\n") + 1
    return compile_part(
        TEXT, Flat(text, {n: (name, line + n - 1) for n in range(1, breaks + 1)}), name
    )


def _finish_html(marked: str, tags: Tags, locale: str, way: str, preheader: str) -> str:
    """Inline the CSS of a plain HTML mail and say its language where every client sees it."""
    html = _outside_tags(marked, lambda text: mjml.comment_statements(text, tags))
    lead = ""
    root = re.search(r"<(!doctype|html)\b", html, re.IGNORECASE)
    if root:
        lead = "".join(m[0] for m in MARK.finditer(html[: root.start()]))
        html = html[root.start() :]
    else:
        html = f'<html><head><meta charset="utf-8"></head><body>{html}</body></html>'
    if html[:9].lower() != "<!doctype":
        html = "<!DOCTYPE html>" + html
    html = _inliner.inline(mjml.with_row_group(html))
    html = re.sub(r"<html\b[^>]*>", f'<html lang="{locale}" dir="{way}">', html, count=1)
    hidden = (
        '<div style="display:none;font-size:1px;line-height:1px;max-height:0;overflow:hidden">'
        f"{preheader}</div>"
        if preheader
        else ""
    )
    style = ' style="direction:rtl;text-align:right"' if way == "rtl" else ""
    wrapper = f'<div lang="{locale}" dir="{way}"{style}>'
    html = re.sub(r"(<body\b[^>]*>)", rf"\1{hidden}{wrapper}", html, count=1)
    return lead + re.sub(r"</body>", "</div></body>", html, count=1)


def _outside_tags(html: str, change: Callable[[str], str]) -> str:
    out: list[str] = []
    end = 0
    for found in _TAG.finditer(html):
        out += (change(html[end : found.start()]), found[0])
        end = found.end()
    return "".join(out) + change(html[end:])


def _find(tag: str, name: str, body: str, first_line: int, tags: Tags) -> tuple[str, int]:
    """Where an element is first written: in the template itself, else in what it includes."""
    if not tag:
        return name, 0
    at = re.search(rf"</?{re.escape(tag)}\b", body)
    if at:
        return name, first_line + body.count("\n", 0, at.start())
    for path in tags.files:
        text = path.read_text("utf-8")
        at = re.search(rf"</?{re.escape(tag)}\b", text)
        if at:
            return f"{path.parent.name}/{path.name}", text.count("\n", 0, at.start()) + 1
    return name, 0
