"""The sandbox that templates run in: data in, text out, nothing else.

Templates see mappings, lists and values. No attribute or method of a Python object is within
reach, nothing can be called but the loop helpers and macros, and output and repetition are
bounded, so that a slip in a template costs one message and not a worker.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from itertools import islice
from typing import Any, NoReturn

from jinja2 import ChainableUndefined, Undefined, UndefinedError
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.nodes import Template
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace
from markupsafe import Markup, escape

from engine.rendering.generator import Generator
from engine.rendering.steps import bound_loops, turn

#: Characters of one rendered part. Gmail clips a mail at about 102 KB.
LONGEST_OUTPUT = 500_000
LONGEST_RANGE = 1_000
LONGEST_REPEAT = 10_000
_AT_ONCE = 100

_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

_OPEN = (LoopContext, Namespace, TemplateReference, TemplateModule)
_OF_LOOP = frozenset({"index", "index0", "first", "last", "length"})
_CALLABLE = (Macro, BlockReference, Joiner)
_HELPERS = (LoopContext, Cycler, Joiner)

#: Of Jinja's filters those that reach into objects, roll dice or pad without bound.
_WITHHELD = frozenset({"attr", "center", "format", "indent", "pprint", "random", "slice"})


class Missing(ChainableUndefined):
    """A name without a value: false in a test, empty in a loop, an error where it is printed.

    A mail that says "Dear ," is worse than one that fails where its author can see it.
    """

    __slots__ = ()

    def __str__(self) -> str:
        self._fail()

    def __html__(self) -> str:
        self._fail()

    def _compare(self, *other: Any) -> Any:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _compare

    def _fail(self) -> NoReturn:
        name = self._undefined_name
        raise UndefinedError(
            f"{name!r} has no value here. Write {{{{ … {name} | default('…') }}}}, or put it in "
            f"{{% if … %}}."
        )


def limited_range(*args: int) -> range:
    """``range`` of at most 1,000 steps."""
    numbers = range(*args)
    if len(numbers) > LONGEST_RANGE:
        raise SecurityError(f"range of {len(numbers)} steps: at most {LONGEST_RANGE} are allowed.")
    return numbers


def limited_join(pieces: Iterable[str]) -> str:
    """Join what a template gives, and stop it once it gives too much."""
    size, kept, rest = 0, [], iter(pieces)
    # By the hundred: a look at each piece would cost as much as all that the template does.
    while some := list(islice(rest, _AT_ONCE)):
        kept.append("".join(some))
        size += len(kept[-1])
        if size > LONGEST_OUTPUT:
            raise SecurityError(f"The output grew beyond {LONGEST_OUTPUT:,} characters.")
    return "".join(kept)


def showable(text: str) -> str:
    """``text`` without control characters and lone surrogates: no mail and no phone shows them."""
    return text if text.isprintable() else _UNSHOWABLE.sub("", text)


def _printable(value: Any) -> Any:
    if value.__class__ is str:
        return value if value.isprintable() else _UNSHOWABLE.sub("", value)
    if isinstance(value, Markup):
        return value if value.isprintable() else Markup(_UNSHOWABLE.sub("", value))
    if isinstance(value, str):
        return showable(value)
    if isinstance(value, (int, float, Undefined)):
        return value
    if value is None:
        return Missing(name="None")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (Mapping, list, tuple, set)):
        raise SecurityError("A list or mapping cannot be printed: loop over it, or take one part.")
    return value


def in_html(value: Any) -> str:
    """A printed value as it stands in HTML."""
    if value.__class__ is str:
        text: str = value if value.isprintable() else _UNSHOWABLE.sub("", value)
        # Most have none of these, and to look for them takes a fifth of the time of an escape.
        if "&" in text or "<" in text or ">" in text or '"' in text or "'" in text:
            return escape(text)
        return text
    shown = _printable(value)
    return shown if shown.__class__ is Markup else escape(shown)


def in_text(value: Any) -> str:
    """A printed value as it stands in plain text."""
    if value.__class__ is str and value.isprintable():
        return value
    return str(_printable(value))


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja for one kind of output. ``filters`` are added to Jinja's own harmless ones."""

    intercepted_binops = frozenset({"*", "**", "%"})
    concat = staticmethod(limited_join)
    code_generator_class = Generator
    in_html = staticmethod(in_html)
    in_text = staticmethod(in_text)
    turn = staticmethod(turn)

    def __init__(self, *, autoescape: bool, filters: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=Missing,
            finalize=_printable,
            extensions=["jinja2.ext.loopcontrols"],
            cache_size=0,
        )
        self.globals = {
            "range": limited_range,
            "namespace": Namespace,
            "cycler": Cycler,
            "joiner": Joiner,
        }
        self.filters = {k: v for k, v in self.filters.items() if k not in _WITHHELD}
        self.filters.update(filters)

    def _generate(
        self,
        source: Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,
    ) -> str:
        bound_loops(source)
        return super()._generate(source, name, filename, defer_init)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if obj.__class__ is dict:
            value = obj.get(attribute)
            return self.undefined(obj=obj, name=attribute) if value is None else value
        if obj.__class__ is LoopContext and attribute in _OF_LOOP:
            return builtins.getattr(obj, attribute)
        if isinstance(obj, Undefined):
            return obj
        if isinstance(obj, Mapping):
            return self._item(obj, attribute)
        if isinstance(obj, _OPEN) and not attribute.startswith("_"):
            return super().getattr(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if obj.__class__ is dict or isinstance(obj, Mapping):
            return self._item(obj, argument)
        if isinstance(obj, Undefined):
            return obj
        if (
            isinstance(obj, (list, tuple, str))
            and isinstance(argument, int)
            and -len(obj) <= argument < len(obj)
        ):
            return obj[argument]
        return self.undefined(obj=obj, name=str(argument))

    def _item(self, mapping: Mapping[str, Any], name: str) -> Any:
        value = mapping.get(name)
        return self.undefined(obj=mapping, name=name) if value is None else value

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return isinstance(obj, _OPEN) and not attr.startswith("_")

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, _CALLABLE) or obj in self.globals.values():
            return True
        return isinstance(getattr(obj, "__self__", None), _HELPERS)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and (abs(right) > 64 or abs(left) > 10**9):
            raise SecurityError("This power is too large.")
        if operator == "%" and isinstance(left, (str, bytes)):
            raise SecurityError("% does not format text here: put the values in with {{ … }}.")
        if operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(one, (str, list, tuple)) and len(one) * times > LONGEST_REPEAT:
                    raise SecurityError("This repetition is too long.")
        return super().call_binop(context, operator, left, right)
