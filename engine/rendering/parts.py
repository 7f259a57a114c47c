"""One compiled piece of text: a subject, a plain-text part, the HTML of a mail."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateError, TemplateSyntaxError
from jinja2.exceptions import SecurityError

from engine.errors import RenderError
from engine.rendering.filters import FILTERS
from engine.rendering.sandbox import Sandbox, showable
from engine.rendering.steps import begin
from engine.rendering.tags import Flat

HTML = Sandbox(autoescape=True, filters=FILTERS)
TEXT = Sandbox(autoescape=False, filters=FILTERS)

_RLM = "\u200f"


@dataclass(frozen=True, slots=True)
class Part:
    """A template ready to render. ``places``: by its 1-based line of the flat ``source``, where
    that was written."""

    template: Template
    source: str
    places: Mapping[int, tuple[str, int]]
    file: str
    #: the text where it says the same to everybody
    fixed: str | None = None

    def render(self, variables: Mapping[str, Any]) -> str:
        """The text, in Unicode's NFC. Raises ``RenderError`` with the author's file and line."""
        if self.fixed is not None:
            return self.fixed
        begin()
        try:
            text = self.template.render(variables)
        except (TemplateError, SecurityError) as error:
            raise self._error(str(error.message), error) from error
        except RecursionError as error:
            raise self._error("It calls itself without an end.", error) from error
        except (TypeError, ValueError, ArithmeticError, KeyError, AttributeError) as error:
            raise self._error(f"{error.__class__.__name__}: {error}", error) from error
        return _normal(text)

    def _error(self, message: str, error: BaseException) -> RenderError:
        line = _line_of(error.__traceback__, self.template.filename or "")
        file, line = self.places.get(line, (self.file, 0))
        return RenderError(message, file=file, line=line)


def compile_part(sandbox: Sandbox, flat: Flat, file: str) -> Part:
    """Compile a flat template that came from ``file``. Raises ``RenderError``."""
    try:
        # What is printed is looked through as it is printed, what is written is here, once.
        code = sandbox.compile(showable(flat.source), file, f"<{file}>")
    except TemplateSyntaxError as error:
        place, line = flat.places.get(error.lineno, (file, 0))
        raise RenderError(str(error.message), file=place, line=line) from error
    except TemplateError as error:
        raise RenderError(str(error.message), file=file) from error
    template = Template.from_code(sandbox, code, dict(sandbox.globals))
    part = Part(template, flat.source, flat.places, file)
    return part if "{" in flat.source else replace(part, fixed=part.render({}))


def _normal(text: str) -> str:
    """``text`` in NFC. What fits into Latin-1 is so already, and that is told in a tenth of the
    time."""
    if text.isascii():
        return text
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return unicodedata.normalize("NFC", text)
    return text


def one_line(text: str) -> str:
    """Text for a header: every run of white space or line ends is one blank."""
    return " ".join(text.split())


def starting_right_to_left(text: str, *, always: bool) -> str:
    """Each line of right-to-left text led by an RLM (U+200F), so that a line that begins with
    a price or a Latin name still reads from the right. ``always`` False: only those lines."""
    lines = text.split("\n")
    for i, line in enumerate(lines):
        if line.strip() and not line.startswith(_RLM) and (always or not _leads_rtl(line)):
            lines[i] = _RLM + line
    return "\n".join(lines)


def _leads_rtl(line: str) -> bool:
    for character in line:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return True
        if kind in ("L", "LRI", "FSI", "RLI"):
            return False
    return True


def _line_of(traceback: TracebackType | None, filename: str) -> int:
    """Line of the innermost frame in ``filename``; Jinja has put template lines into it."""
    line = 0
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
