"""Pictures in mails that lack what a reader needs: words where pictures are off, and a width, so
that nothing jumps when they come."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.errors import RenderError
from engine.rendering.front import mail_front
from engine.rendering.tags import Tags

_MAIL = re.compile(r"email(?:\.[\w-]+)?\.(?:mjml|html|md)")
_PICTURE = re.compile(r"""<(mj-image|img)\b((?:[^>"']|"[^"]*"|'[^']*')*)>|!\[\s*\]\(""", re.I)


class Lacking(NamedTuple):
    """The picture at ``line`` and ``column`` of ``file`` (below the templates folder) has no
    ``what``: ``alt`` or ``width``."""

    file: str
    line: int
    column: int
    what: str


def lacking(folder: Path, template: str) -> list[Lacking]:
    """What the pictures of a template's mails lack, those of its layouts and pieces too. MJML
    gives every ``mj-image`` a width; ``alt=""`` is an answer, for pictures that say nothing."""
    found: dict[Lacking, None] = {}
    for path in sorted((folder / template).iterdir()):
        if _MAIL.fullmatch(path.name):
            for file in _files(folder, path):
                found.update(dict.fromkeys(_in_file(folder, file)))
    return list(found)


def _files(folder: Path, path: Path) -> list[Path]:
    """The file itself and what it includes. What cannot be read is reported by others."""
    name = path.relative_to(folder).as_posix()
    try:
        _, body, first_line = mail_front(name, path.read_text("utf-8"))
        tags = Tags(folder)
        tags.resolve(name, body, first_line)
    except (OSError, UnicodeDecodeError, RenderError):
        return []
    return [path, *tags.files]


def _in_file(folder: Path, file: Path) -> Iterator[Lacking]:
    source = file.read_text("utf-8")
    name = file.resolve().relative_to(folder.resolve()).as_posix()
    for found in _PICTURE.finditer(source):
        line = source.count("\n", 0, found.start()) + 1
        column = found.start() - source.rfind("\n", 0, found.start())
        attributes = re.sub(r"\"[^\"]*\"|'[^']*'", '""', found[2] or "").lower()
        wanted = ["alt"] if found[1] is None or found[1].lower() == "mj-image" else ["alt", "width"]
        for what in wanted:
            if not re.search(rf"(?:^|\s){what}\s*=", attributes):
                yield Lacking(name, line, column, what)
