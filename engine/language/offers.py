"""What is offered: by one message, or from a step on by all that follow it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from engine.language.computed import check_twice
from engine.language.context import Context
from engine.language.fields import Fields, read_duration, read_text
from engine.language.report import Report
from engine.language.tree import Mapping, Tree, plain_value, short
from engine.model.journey import AnyStep, OfferStep

_GENERATE = "generate"
_PREFIX = re.compile(r"[A-Z0-9](?:[A-Z0-9-]{0,11})")
_PERCENT = re.compile(r"([0-9]{1,3}) ?%?")


def inline_offer(report: Report, node: Tree | None) -> dict[str, Any]:
    """The ``offer`` of one message, a free mapping."""
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        _no_mapping(report, node)
        return {}
    check_twice(report, node, "'offer'")
    for entry in node.entries:
        if entry.key.text == "valid":
            read_duration(report, entry.value)
    value: dict[str, Any] = plain_value(node)
    return value


def offer_step(
    context: Context, fields: Fields, path: str, following: str | None
) -> AnyStep | None:
    """``offer: {coupon: generate WB, percent: 10, valid: 3 days}``; other keys are free. The
    terms of a generated coupon lack the key ``coupon``, for each run has its own."""
    report, node = context.report, fields.get("offer")
    if not isinstance(node, Mapping) or not node.entries:
        if node is not None:
            _no_mapping(report, node)
        return None
    check_twice(report, node, "'offer'")
    terms: dict[str, Any] = plain_value(node)
    given = {entry.key.text: entry.value for entry in node.entries}
    generate = _generate(report, given["coupon"]) if "coupon" in given else ""
    sound = generate is not None
    if generate:
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
    return OfferStep(path, following, terms, generate or "", valid) if sound else None


def _no_mapping(report: Report, node: Tree) -> None:
    hint = "write {coupon: WINTER10, valid: 3 days}"
    report.add("J007", node.place, "an offer must be a mapping", hint)


def _generate(report: Report, node: Tree) -> str | None:
    """The beginning of the codes to make; "" if the coupon is one for everybody."""
    text = read_text(report, node, "'coupon'")
    if text is None:
        return None
    words = text.split()
    if words[0] != _GENERATE:
        return ""
    if len(words) == 2 and _PREFIX.fullmatch(words[1]):
        return words[1]
    message = f"'{short(text)}' does not say how the codes begin"
    hint = "write 'generate WB': at most 12 capital letters, digits and '-'"
    report.add("J011", node.place, message, hint)
    return None


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
