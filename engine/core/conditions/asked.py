"""What a condition asks a property to be."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import nodes

from engine.core.conditions.syntax import parse


@lru_cache(maxsize=1024)
def wanted(source: str, holder: str, name: str) -> frozenset[str] | None:
    """The texts of which ``holder.name`` must be one for the condition to hold, as far as can be
    seen: ``{"vip"}`` of ``event.segment == 'vip' and event.price``. None: it may be anything."""
    return _of(parse(source), holder, name)


def _of(node: nodes.Node, holder: str, name: str) -> frozenset[str] | None:
    if isinstance(node, nodes.And | nodes.Or):
        left, right = _of(node.left, holder, name), _of(node.right, holder, name)
        if isinstance(node, nodes.Or):
            return None if left is None or right is None else left | right
        return left if right is None else right if left is None else left & right
    if not isinstance(node, nodes.Compare) or len(node.ops) != 1:
        return None
    one, other, how = node.expr, node.ops[0].expr, node.ops[0].op
    if how == "eq" and _is(other, holder, name):
        one, other = other, one
    if not _is(one, holder, name):
        return None
    if how == "eq":
        items = [other]
    elif how == "in" and isinstance(other, nodes.List | nodes.Tuple):
        items = other.items
    else:
        return None
    found = [item.value for item in items if isinstance(item, nodes.Const)]
    texts = frozenset(value for value in found if isinstance(value, str))
    return texts if len(found) == len(items) else None


def _is(node: nodes.Node, holder: str, name: str) -> bool:
    """Whether it is ``holder.name`` or ``holder['name']``."""
    if isinstance(node, nodes.Getattr):
        said = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        said = node.arg.value
    else:
        return False
    return isinstance(node.node, nodes.Name) and node.node.name == holder and said == name
