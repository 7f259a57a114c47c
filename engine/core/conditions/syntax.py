"""From the text of a condition to Jinja's syntax tree, with places and hints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from engine.errors import WinbackError

#: Longer than any condition a person can read; bounds the work of compiling one.
LONGEST: Final = 2000


class ConditionSyntaxError(WinbackError):
    """The condition is not one.

    ``offset`` counts characters from the start of the source to the place of the mistake, None
    where it is not known. ``hint`` says what to do.
    """

    def __init__(self, message: str, offset: int | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.offset = offset
        self.hint = hint


class _Environment(Environment):
    """Jinja's, but a token's ``lineno`` is its offset in the source, and so is every node's:
    Jinja knows no columns, and a line number is of no use in an expression of one line."""

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        def with_offsets() -> Iterator[tuple[int, str, str]]:
            offset = 0
            try:
                for _, kind, value in self.lexer.tokeniter(source, name, filename, state):
                    yield offset, kind, value
                    offset += len(value)
            except TemplateSyntaxError as error:
                message = (error.message or "").partition(" at ")[0]
                raise TemplateSyntaxError(message, offset) from error

        return TokenStream(self.lexer.wrap(with_offsets(), name, filename), name, filename)


_JINJA = _Environment()


def parse(source: str) -> nodes.Expr:
    if not source.strip():
        raise ConditionSyntaxError("the condition is empty", 0)
    if source.lstrip().startswith("{{"):
        raise ConditionSyntaxError(
            "'{{' is for templates", source.index("{{"), "write the expression without {{ }}"
        )
    if len(source) > LONGEST:
        raise ConditionSyntaxError(f"the condition is longer than {LONGEST} characters", 0)
    try:
        parser = Parser(_JINJA, source, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            rest = parser.stream.current
            raise ConditionSyntaxError(
                f"did not expect '{rest.value}' here", rest.lineno, _slip(str(rest.value))
            )
    except TemplateSyntaxError as error:
        message = error.message or "not an expression"
        if "end of template" in message:
            message = "the condition ends too early"
        raise ConditionSyntaxError(message, error.lineno, _slip(message)) from error
    except RecursionError as error:
        raise ConditionSyntaxError("the condition is nested too deep", 0) from error
    except ValueError as error:
        raise ConditionSyntaxError(f"cannot be read: {error}", 0) from error
    return expression


_SLIPS: Final[Mapping[str, str]] = {
    "'='": "to compare, write '=='",
    "assign": "to compare, write '=='",
    "&": "write 'and'",
    "!": "write 'not', or '!=' to compare",
}
_WORDS: Final[Mapping[str, str]] = {
    "=": "to compare, write '=='",
    "and": "write 'and' in small letters",
    "or": "write 'or' in small letters",
    "not": "write 'not' in small letters",
}


def _slip(text: str) -> str:
    """What somebody meant who wrote it as in another language."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return next((hint for written, hint in _SLIPS.items() if written in text), "")
