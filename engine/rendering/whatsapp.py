"""``whatsapp.<locale>.yaml``: a template that WhatsApp has approved, and what goes into it.

The words are Twilio's and WhatsApp's to keep (``content sid``); the file says what each variable
is. ``body`` is a copy of the words as they were approved, with ``{{1}}`` where a variable stands:
for previews, and so that a variable that is missing is found before WhatsApp refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError

from engine.errors import RenderError
from engine.rendering.locales import direction
from engine.rendering.parts import TEXT, Part, compile_part, one_line
from engine.rendering.tags import Flat

KEYS = ("content sid", "variables", "body")
#: The whole of a template with its variables filled in (Twilio, error 63021).
LONGEST = 1024
_SID = re.compile(r"HX[0-9a-fA-F]{32}")
#: As Twilio marks a variable. A number, or a name.
_VARIABLE = re.compile(r"\{\{\s*([\w-]+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class WhatsAppTemplate:
    """A WhatsApp message in one language. ``variables`` by their name at Twilio."""

    locale: str
    direction: Literal["ltr", "rtl"]
    content_sid: str
    variables: Mapping[str, Part]
    body: str
    file: str
    files: tuple[Path, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(self.variables.values())

    def values(self, given: Mapping[str, Any]) -> dict[str, str]:
        """The variables of one message. Raises ``RenderError`` for an empty one, which Twilio
        refuses (21656). WhatsApp takes no line breaks in them."""
        found = {}
        for name, part in self.variables.items():
            found[name] = one_line(part.render(given))
            if not found[name]:
                raise RenderError(
                    f"The variable {name} is empty, which WhatsApp does not take. Write what to "
                    "say instead: {{ … | default('…') }}",
                    file=self.file,
                    line=min((line for _, line in part.places.values()), default=0),
                )
        return found

    def shown(self, values: Mapping[str, str]) -> str:
        """What the reader will see, "" where the file has no ``body``."""
        return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), self.body).strip()


def compile_whatsapp(folder: Path, path: Path, locale: str) -> WhatsAppTemplate:
    """Compile ``path``, below the templates folder ``folder``. Raises ``RenderError``."""
    name = path.relative_to(folder).as_posix()
    given, lines = read_whatsapp(name, path)
    body = str(given.get("body") or "")
    variables = {
        key: compile_part(TEXT, _placed(text, name, lines[key]), name)
        for key, text in given["variables"].items()
    }
    _check_gaps(set(variables), set(_VARIABLE.findall(body)) if body else None, name)
    way = direction(locale)
    return WhatsAppTemplate(locale, way, given["content sid"], variables, body, name, (path,))


def read_whatsapp(name: str, path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """What the file says, its ``variables`` as text by text, and the lines these stand in."""
    try:
        given: Any = YAML(typ="rt").load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RenderError(f"Cannot read it: {error}.", file=name) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        words = f"It is no YAML: {error.problem}. Put a text with {{{{ … }}}} into quotes."
        raise RenderError(words, file=name, line=mark.line + 1 if mark else 1) from error
    if not isinstance(given, CommentedMap):
        raise RenderError("It must give 'content sid' and 'variables'.", file=name, line=1)
    for key in given:
        if key not in KEYS:
            line = given.lc.key(key)[0] + 1
            words = f"{key} is not known here: there are {', '.join(KEYS)}."
            raise RenderError(words, file=name, line=line)
    if not _SID.fullmatch(str(given.get("content sid") or "")):
        raise RenderError(
            "It needs 'content sid': the HX… of a template that WhatsApp approved, from Twilio's "
            "Content Template Builder.",
            file=name,
            line=given.lc.key("content sid")[0] + 1 if "content sid" in given else 1,
        )
    asked: Any = given.get("variables") or CommentedMap()
    if not isinstance(asked, CommentedMap):
        line = given.lc.key("variables")[0] + 1
        raise RenderError("'variables' needs a value by name: {1: …}.", file=name, line=line)
    lines = {str(key): asked.lc.value(key)[0] + 1 for key in asked}
    for key, text in asked.items():
        if not isinstance(text, str):
            words = f"Put the variable {key} into quotes."
            raise RenderError(words, file=name, line=lines[str(key)])
    variables = {str(key): str(text) for key, text in asked.items()}
    return {**given, "variables": variables}, lines


def whatsapp_parts(name: str, path: Path) -> list[Flat]:
    """The texts with Jinja in the file, each with the lines it stands in."""
    given, lines = read_whatsapp(name, path)
    return [_placed(text, name, lines[key]) for key, text in given["variables"].items()]


def _placed(text: str, name: str, line: int) -> Flat:
    rows = range(text.count("\n") + 1)
    return Flat(text, {n + 1: (name, line + n) for n in rows})


def _check_gaps(given: set[str], wanted: set[str] | None, name: str) -> None:
    """WhatsApp counts variables from 1 without a gap; the words must use the same ones."""
    numbers = sorted(int(key) for key in given if key.isdigit())
    missing = sorted(set(range(1, len(numbers) + 1)) - set(numbers))
    if missing:
        raise RenderError(
            f"There is no variable {missing[0]}, but one with a higher number: WhatsApp counts "
            "them from 1 without a gap.",
            file=name,
        )
    if wanted is None:
        return
    for key in sorted(wanted - given):
        raise RenderError(f"The body has {{{{{key}}}}}, but no variable gives it.", file=name)
    for key in sorted(given - wanted):
        raise RenderError(f"The variable {key} is not in the body.", file=name)
