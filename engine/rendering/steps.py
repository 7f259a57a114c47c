"""A bound on how often the loops of one rendering may turn.

Each loop is short (``limited_range``, the lists of an event), but loops in loops are not: three of
a thousand turns would hold a worker for hours without a character of output.
"""

from __future__ import annotations

from threading import local

from jinja2 import nodes
from jinja2.exceptions import SecurityError

from engine.rendering.generator import TURN

#: Turns of all loops in one part of one message. A mail of a hundred products needs hundreds.
MOST_TURNS = 100_000

_counted = local()


def begin() -> None:
    """A rendering begins in this thread."""
    _counted.turns = 0


def turn() -> None:
    """One turn of a loop. Raises ``SecurityError`` past ``MOST_TURNS``."""
    _counted.turns = turns = getattr(_counted, "turns", 0) + 1
    if turns > MOST_TURNS:
        raise SecurityError(f"Its loops turn more than {MOST_TURNS:,} times.")


def bound_loops(template: nodes.Template) -> None:
    """Have every loop of ``template`` count its turns, and every macro its calls: one that calls
    itself twice is a loop too."""
    loops, macros = template.find_all(nodes.For), template.find_all(nodes.Macro)
    places: list[nodes.For | nodes.Macro] = [*loops, *macros]
    for place in places:
        count = nodes.EnvironmentAttribute(TURN)
        place.body.insert(0, nodes.ExprStmt(count).set_lineno(place.lineno))
