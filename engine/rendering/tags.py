"""Jinja tags kept aside while other tools work on the markup around them.

MJML and CSS tools know nothing of Jinja. So each tag is replaced by a mark of plain letters,
the tools run once per template, and the marks are turned back into tags. Layouts, blocks and
includes are resolved by Jinja itself while every other tag is marked. What comes out is one
flat template, of which each tag is known by the file and line its author wrote.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from jinja2 import BaseLoader, Environment, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import LRUCache

from engine.errors import RenderError

#: A mark, bare or as the comment that stands for a statement among elements. HTML tools give
#: a bare attribute an empty value.
MARK = re.compile(r'<!--zq(\d+)qz-->|zq(\d+)qz(?:="")?')

#: Tags that Jinja resolves before the markup is looked at.
_RESOLVED = frozenset({"extends", "block", "endblock", "include"})
_UNAVAILABLE = frozenset({"import", "from"})
_STATEMENT = re.compile(r"\{%[-+]?\s*(\w+)(\s+\w+\s*=)?")
_BLOCK_CALL = re.compile(r"\{\{[-+]?\s*(?:super|self\.\w+)\s*\(")


class Tag(NamedTuple):
    """A tag as its author wrote it."""

    text: str
    file: str = ""
    line: int = 0

    @property
    def statement(self) -> bool:
        """``{% … %}``: gives no text itself."""
        return self.text.startswith("{%")


@dataclass(slots=True)
class Flat:
    """A flat Jinja template and, by its 1-based line, where that line was written."""

    source: str
    places: dict[int, tuple[str, int]] = field(default_factory=dict)


class Tags:
    """The tags of one template and of all it extends and includes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._tags: dict[int, Tag] = {}
        self._lead: list[str] = []
        #: every file beside the template itself that took part, for noticing changes
        self.files: list[Path] = []

    def __getitem__(self, number: int) -> Tag:
        return self._tags[number]

    def __iter__(self) -> Iterator[Tag]:
        return iter(self._tags.values())

    def add(self, text: str, file: str = "", line: int = 0) -> str:
        """Keep one more tag; gives its mark: the same for the same tag, whichever template it is
        read for, so that what Jinja compiled of a shared layout serves them all."""
        tag = Tag(text, file, line)
        number = zlib.crc32(repr(tag).encode())
        while self._tags.setdefault(number, tag) != tag:
            number += 1
        return f"zq{number}qz"

    def resolve(self, name: str, source: str, first_line: int = 1) -> str:
        """``source`` (of the file ``name``, from ``first_line`` on) with its layout and
        includes in place and every other tag marked. Raises ``RenderError``."""
        jinja = SandboxedEnvironment(
            loader=_Loader(self, name, source, first_line),
            keep_trailing_newline=True,
            cache_size=0,
            bytecode_cache=_COMPILED,
        )
        try:
            resolved = jinja.get_template(name).render()
        except TemplateNotFound as error:
            raise RenderError(
                f"There is no {error.name}: extends and include take the path of a file inside "
                f"{self._folder.name}/, in quotes.",
                file=name,
            ) from error
        except TemplateSyntaxError as error:
            line = error.lineno + (first_line - 1 if error.name == name else 0)
            raise RenderError(str(error.message), file=error.name or name, line=line) from error
        except TemplateError as error:
            raise RenderError(str(error.message), file=name) from error
        return "".join(self._lead) + resolved

    def read(self, name: str) -> str:
        """The text of a file inside the templates folder. Raises ``TemplateNotFound``."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            raise TemplateNotFound(name)
        self.files.append(path)
        return path.read_text("utf-8")

    def mark(self, jinja: Environment, name: str, source: str, first_line: int = 1) -> str:
        """``source`` with a mark for each tag but those that Jinja resolves. Comments go."""
        out: list[str] = []
        pending: list[str] = []
        start, depth, extends, raw = 0, 0, False, False
        for line, kind, value in jinja.lexer.tokeniter(source, name):
            if kind == "data" and not pending:
                if own := MARK.search(value):
                    text = f"{own[0]} cannot be written here: it is a mark of our own."
                    raise TemplateSyntaxError(text, line, name)
                out.append(value)
                continue
            if kind.startswith("comment"):
                continue
            start = start if pending else line
            pending.append(value)
            raw = raw or kind == "raw_begin"
            if kind != "raw_end" and (raw or kind not in ("block_end", "variable_end")):
                continue
            text, pending, raw = "".join(pending), [], False
            found = _STATEMENT.match(text)
            keyword, assigns = (found[1], bool(found[2])) if found else ("", False)
            if keyword in _UNAVAILABLE:
                raise TemplateSyntaxError(
                    f"{keyword} is not available in mails: use include or extends.", start, name
                )
            extends = extends or keyword == "extends"
            depth += (keyword == "block") - (keyword == "endblock")
            if keyword in _RESOLVED or _BLOCK_CALL.match(text):
                out.append(text)
                continue
            mark = self.add(text, name, start + first_line - 1)
            # Jinja runs what a child sets outside its blocks before the layout.
            leads = extends and depth == 0 and keyword == "set" and assigns
            (self._lead if leads else out).append(mark)
        return "".join(out)

    def restore(self, marked: str) -> Flat:
        """Turn the marks back into tags, each on a line of its own: a line break inside a tag
        means nothing to Jinja and tells us later which tag an error came from."""
        flat = Flat("")
        pieces: list[str] = []
        line, end = 1, 0
        for found in MARK.finditer(marked):
            tag = self._tags[int(found[1] or found[2])]
            before, text = marked[end : found.start()], tag.text
            if not _STATEMENT.match(text) or "raw" not in text[:9]:
                opening = 3 if text[2] in "-+" else 2
                text = f"{text[:opening]}\n{text[opening:]}"
            line += before.count("\n")
            breaks = text.count("\n")
            if tag.file:
                for offset in range(1, breaks + 1):
                    flat.places[line + offset] = (tag.file, tag.line + offset - 1)
            line += breaks
            pieces += (before, text)
            end = found.end()
        flat.source = "".join(pieces) + marked[end:]
        return flat


class _Compiled(BytecodeCache):
    """What Jinja made of a marked file, by its name and content."""

    def __init__(self, files: int) -> None:
        self._kept = LRUCache(files)

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._kept.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key, bucket.checksum] = bucket.code


_COMPILED = _Compiled(files=200)


class _Loader(BaseLoader):
    """Gives Jinja the template itself and the files of the templates folder, marked."""

    def __init__(self, tags: Tags, name: str, source: str, first_line: int) -> None:
        self._tags, self._name = tags, name
        self._source, self._first_line = source, first_line

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:
        if template == self._name:
            text = self._tags.mark(environment, template, self._source, self._first_line)
        else:
            text = self._tags.mark(environment, template, self._tags.read(template))
        return text, template, None
