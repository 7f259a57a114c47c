"""Which values a template asks for, and where it does so without a thought for their absence.

A value that is missing is an error only where it is printed. So a use is guarded where it stands
in a test, in ``or``, before ``default``, or below an ``if`` that asks for the same value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jinja2 import TemplateError, nodes

from engine.errors import RenderError
from engine.rendering.front import mail_front, sms_front
from engine.rendering.parts import TEXT, Part
from engine.rendering.tags import Flat, Tags
from engine.rendering.whatsapp import whatsapp_parts

#: What every template sees (engine.rendering.renderer), besides what it sets itself.
VARIABLES = frozenset(
    {
        *("event", "profile", "shop", "offer", "key", "journey", "unsubscribe_url"),
        *("preferences_url", "locale", "dir", "number_locale", "timezone"),
        *("confirm_url", "confirm_title"),
        *("subject", "preheader", "loop", "caller", "varargs", "kwargs"),
    }
)

_FILES = {
    "email": re.compile(r"email(?:\.[\w-]+)?\.(?:mjml|html|md|txt)"),
    "sms": re.compile(r"sms(?:\.[\w-]+)?\.txt"),
    "whatsapp": re.compile(r"whatsapp(?:\.[\w-]+)?\.yaml"),
}
#: Filters that make something of nothing (engine.rendering.filters, jinja2).
_MEND = frozenset(
    {"default", "d", "link", "picture", "length", "count", "list", "first", "last", "join"}
)


#: By line of a flat template: the file and line where it was written.
Places = Mapping[int, tuple[str, int]]


class Use(NamedTuple):
    """``holder.name`` ("" for the holder itself) in a line of a file below the folder."""

    holder: str
    name: str
    file: str
    line: int


def uses(folder: Path, template: str, channel: str) -> list[Use]:
    """The values that ``channel`` of a template prints whether or not they are there, in all its
    languages. What cannot be compiled is left to ``Renderer.check``."""
    found: dict[Use, None] = {}
    for path in sorted((folder / template).iterdir()):
        if _FILES[channel].fullmatch(path.name):
            for flat in _parts(folder, path):
                file = path.relative_to(folder).as_posix()
                found.update(dict.fromkeys(_in_part(flat.source, flat.places, file)))
    return list(found)


def uses_of(parts: Iterable[Part]) -> list[Use]:
    """The same, of a template that is compiled already: what it took is not done again."""
    found: dict[Use, None] = {}
    for part in parts:
        found.update(dict.fromkeys(_in_part(part.source, part.places, part.file)))
    return list(found)


def _parts(folder: Path, path: Path) -> Iterator[Flat]:
    name = path.relative_to(folder).as_posix()
    try:
        if path.suffix == ".yaml":
            yield from whatsapp_parts(name, path)
            return
        source = path.read_text("utf-8")
        first_line = 1
        if path.name.startswith("sms"):
            _, source, first_line = sms_front(name, source)
        elif path.suffix != ".txt":
            front, source, first_line = mail_front(name, source)
            for text, line in front.values():
                lines = range(text.count("\n") + 1)
                yield Flat(text, {n + 1: (name, line + n) for n in lines})
        tags = Tags(folder)
        yield tags.restore(tags.resolve(name, source, first_line))
    except (OSError, UnicodeDecodeError, RenderError):
        return


def _in_part(source: str, places: Places, file: str) -> Iterator[Use]:
    try:
        tree = TEXT.parse(source)
    except TemplateError:
        return
    own = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    own |= {macro.name for macro in tree.find_all(nodes.Macro)}
    for holder, name, line in _printed(tree, frozenset()):
        if holder not in own and holder not in TEXT.globals:
            place, number = places.get(line, (file, 0))
            yield Use(holder, name, place, number)


_Value = tuple[str, str]


def _printed(node: nodes.Node, sure: frozenset[_Value]) -> Iterator[tuple[str, str, int]]:
    """The values that are printed below ``node``, but for those of which one is ``sure``."""
    match node:
        case nodes.If() | nodes.CondExpr():
            yield from _either(node, sure)
        case nodes.Output():
            for shown in node.nodes:
                yield from _shown(shown, sure)
        case nodes.For():
            inside = sure | _asked(node.iter)
            for part in (*node.body, *node.else_):
                yield from _printed(part, inside)
        case _:
            for child in node.iter_child_nodes():
                yield from _printed(child, sure)


def _either(
    node: nodes.If | nodes.CondExpr, sure: frozenset[_Value]
) -> Iterator[tuple[str, str, int]]:
    inside = sure | _asked(node.test)
    if isinstance(node, nodes.CondExpr):
        for child in (node.expr1, node.expr2):
            if child is not None:
                yield from _shown(child, inside)
        return
    for part in (*node.body, *node.elif_, *node.else_):
        yield from _printed(part, inside)


def _shown(node: nodes.Node, sure: frozenset[_Value]) -> Iterator[tuple[str, str, int]]:
    """The values that an expression needs so that it can be printed."""
    match node:
        case nodes.CondExpr():
            yield from _either(node, sure)
        case nodes.Or() | nodes.And() | nodes.Not() | nodes.Test() | nodes.Compare():
            return
        case nodes.Filter() if node.name in _MEND:
            return
        case nodes.Filter():
            # What is given to a filter beside the value, such as a currency, it can do without.
            if node.node is not None:
                yield from _shown(node.node, sure)
        case _:
            value = _value(node)
            if value is None:
                for child in node.iter_child_nodes():
                    yield from _shown(child, sure)
            elif not _is_sure(value, sure):
                yield (*value, node.lineno)


def _is_sure(value: _Value, sure: frozenset[_Value]) -> bool:
    holder, _ = value
    if holder == "offer":  # all of an offer is there or nothing
        return any(asked == holder for asked, _ in sure)
    return value in sure or (holder, "") in sure


def _asked(test: nodes.Node) -> frozenset[_Value]:
    """The values that a test looks at."""
    return frozenset(_values(test))


def _values(node: nodes.Node) -> Iterable[_Value]:
    value = _value(node)
    if value is not None:
        return [value]
    return [found for child in node.iter_child_nodes() for found in _values(child)]


def _value(node: nodes.Node) -> _Value | None:
    """``event.name`` of ``event.name``, ``event['name']`` and ``event.name[0].x``."""
    names: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        if isinstance(node, nodes.Getattr):
            names.append(node.attr)
        elif isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            names.append(node.arg.value)
        else:
            names.append("")
        node = node.node
    if not isinstance(node, nodes.Name):
        return None
    return node.name, names[-1] if names else ""
