"""What is offered: by one message, or from a step on by all that follow it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, NamedTuple

from engine.core.coupons import POOL_NAME
from engine.language.computed import check_twice
from engine.language.context import Context
from engine.language.fields import Fields, read_duration, read_text
from engine.language.report import Report
from engine.language.tree import Mapping, Scalar, Tree, plain_value, short
from engine.model.journey import AnyStep, OfferStep, Pool

NONE_LEFT = "if none left"

_PREFIX = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,11})")
_PERCENT = re.compile(r"([0-9]{1,3}) ?%?")
#: A code for everybody: with a capital or a digit, so that no misspelt word is taken for one.
_CODE = re.compile(r"(?=.*[A-Z0-9])[A-Za-z0-9_-]{1,40}")


class Coupon(NamedTuple):
    """How each run gets a code of its own: how the codes to make begin, or the pool."""

    generate: str = ""
    pool: Pool | None = None


class Inline(NamedTuple):
    """The offer of one message; ``terms`` lack a coupon that each run has of its own."""

    terms: dict[str, Any]
    coupon: Coupon = Coupon()


def inline_offer(context: Context, fields: Fields, path: str) -> Inline:
    """The ``offer`` of one message, a free mapping, and what to do ``if none left``."""
    report, node = context.report, fields.get("offer")
    if node is not None and not isinstance(node, Mapping):
        _no_mapping(report, node)
    if not isinstance(node, Mapping):
        _none_left(report, fields, None)
        return Inline({})
    check_twice(report, node, "'offer'")
    terms: dict[str, Any] = plain_value(node)
    coupon: Coupon | None = Coupon()
    for entry in node.entries:
        if entry.key.text == "valid":
            read_duration(report, entry.value)
        elif entry.key.text == "coupon" and _has_text(entry.value):
            coupon = _coupon(report, entry.value)
    coupon = _none_left(report, fields, coupon)
    if coupon.generate or coupon.pool is not None:
        del terms["coupon"]
    _note_pool(context, node, coupon, path)
    return Inline(terms, coupon)


def offer_step(
    context: Context, fields: Fields, path: str, following: str | None
) -> AnyStep | None:
    """``offer: {coupon: generate WB, percent: 10, valid: 3 days}``; other keys are free. The
    terms of a coupon that each run has of its own lack the key ``coupon``."""
    report, node = context.report, fields.get("offer")
    if not isinstance(node, Mapping) or not node.entries:
        if node is not None:
            _no_mapping(report, node)
        return None
    check_twice(report, node, "'offer'")
    terms: dict[str, Any] = plain_value(node)
    given = {entry.key.text: entry.value for entry in node.entries}
    coupon = _coupon(report, given["coupon"]) if "coupon" in given else Coupon()
    sound = coupon is not None
    coupon = _none_left(report, fields, coupon)
    if coupon.generate or coupon.pool is not None:
        del terms["coupon"]
    if "percent" in given:
        sound = _sound_percent(report, given["percent"]) and sound
    valid = None
    if "valid" in given:
        valid = read_duration(report, given["valid"])
        if valid == timedelta(0):
            message, hint = "this offer is never valid", "write for example '3 days'"
            report.add("J022", given["valid"].place, message, hint)
        sound = sound and bool(valid)
    _note_pool(context, node, coupon, path)
    if not sound:
        return None
    return OfferStep(path, following, terms, coupon.generate, valid, coupon.pool)


def _note_pool(context: Context, node: Mapping, coupon: Coupon, path: str) -> None:
    if coupon.pool is not None:
        given = next(entry for entry in node.entries if entry.key.text == "coupon")
        context.places[f"{path}/coupon"] = given.value.place


def _has_text(node: Tree) -> bool:
    return isinstance(node, Scalar) and bool(node.text.strip())


def _no_mapping(report: Report, node: Tree) -> None:
    hint = "write {coupon: WINTER10, valid: 3 days}"
    report.add("J007", node.place, "an offer must be a mapping", hint)


def _coupon(report: Report, node: Tree) -> Coupon | None:
    """Whose codes these are; nothing special if the coupon is one for everybody. None: it says so
    in words that cannot be read."""
    text = read_text(report, node, "'coupon'")
    if text is None:
        return None
    words = text.split()
    if words[0] == "generate":
        if len(words) == 2 and _PREFIX.fullmatch(words[1]):
            return Coupon(words[1])
        message = f"'{short(text)}' does not say how the codes begin"
        hint = "write 'generate WB': at most 12 capital letters, digits and '-'"
    elif words[0] == "pool":
        if len(words) == 2 and POOL_NAME.fullmatch(words[1]):
            return Coupon(pool=Pool(words[1]))
        message = f"'{short(text)}' does not name a pool"
        hint = "write 'pool winter': small letters, digits and '-'"
    else:
        return Coupon()
    report.add("J011", node.place, message, hint)
    return None


def _none_left(report: Report, fields: Fields, coupon: Coupon | None) -> Coupon:
    """The coupon with what happens when its pool is empty, where it is of a pool."""
    node = fields.get(NONE_LEFT)
    if node is None or coupon is None:
        return coupon or Coupon()
    text = read_text(report, node, f"'{NONE_LEFT}'")
    if text is None:
        return coupon
    pool, text = coupon.pool, text.strip()
    if pool is None:
        message = f"'{NONE_LEFT}' is for coupons of a pool"
        report.add("J011", fields.key_place(NONE_LEFT), message, "write coupon: pool winter")
    elif text in ("skip", "exit"):
        return Coupon(pool=Pool(pool.name, "exit" if text == "exit" else "skip"))
    elif _CODE.fullmatch(text):
        return Coupon(pool=Pool(pool.name, "instead", text))
    else:
        message = f"'{NONE_LEFT}' cannot be '{short(text)}'"
        hint = "write 'skip', 'exit' or a code for everybody: SORRY5"
        report.add("J011", node.place, message, hint)
    return coupon


def _sound_percent(report: Report, node: Tree) -> bool:
    text = read_text(report, node, "'percent'")
    if text is None:
        return False
    found = _PERCENT.fullmatch(text.strip())
    if found is None or not 1 <= int(found[1]) <= 100:
        message = f"'{short(text)}' is no discount in percent"
        report.add("J009", node.place, message, "write a whole number from 1 to 100")
        return False
    return True
