"""Marketing sense of offers: a coupon is valid when the shopper reads of it, and not for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from engine.core.durations import DurationError, parse_duration, show_duration
from engine.language.context import Context
from engine.language.ways import soonest
from engine.model.journey import Journey, OfferStep, Send

_OTHER_FILE = re.compile(r"""["'](_?[\w][\w./-]*)["']""")


def check_offers(context: Context, journey: Journey) -> None:
    """Warn of offers that end too early, never, or that nobody hears of."""
    for step in journey.steps.values():
        if isinstance(step, OfferStep):
            _check_step(context, journey, step)
        elif isinstance(step, Send) and context.is_promotion(step.topic):
            _check_inline(context, journey, step)


def _check_inline(context: Context, journey: Journey, step: Send) -> None:
    """Warn if a later message makes the same offer when it cannot be valid any more."""
    try:
        valid = parse_duration(str(step.offer["valid"]))
    except (KeyError, DurationError):  # without an end, or reported when it was read
        return
    for later, passed in _later(journey, step):
        if passed > valid and _same(later, step):
            _ended(context, f"{later.path}/offer", step.path, passed, valid)


def _same(one: Send, other: Send) -> bool:
    if one.pool is not None or other.pool is not None:  # each message takes a code of its own
        return False
    coupon = one.offer.get("coupon")
    return one.offer == other.offer or (coupon is not None and coupon == other.offer.get("coupon"))


def _check_step(context: Context, journey: Journey, step: OfferStep) -> None:
    place = context.places[step.path]
    shown = [
        (later, passed)
        for later, passed in _later(journey, step)
        if not (later.offer or later.pool or later.generate) and _shows_offer(context, later)
    ]
    if not shown:
        hint = "put it before the message that speaks of it"
        context.report.add("J059", place, "no message shows this offer", hint)
    if step.valid is None:
        hint = "add 'valid: 3 days'"
        context.report.add("J058", place, "an offer that never ends", hint)
        return
    for later, passed in shown:
        if passed > step.valid:
            _ended(context, later.path, step.path, passed, step.valid)


def _later(journey: Journey, step: Send | OfferStep) -> Iterator[tuple[Send, timedelta]]:
    for path, passed in soonest(journey, step).items():
        later = journey.steps.get(path)
        if isinstance(later, Send):
            yield later, passed


def _ended(context: Context, where: str, made: str, passed: timedelta, valid: timedelta) -> None:
    message = f"this offer ended {show_duration(passed - valid)} before this message"
    line = context.places[made].line
    hint = f"it is made in line {line} and valid for {show_duration(valid)}"
    context.report.add("J054", context.places[where], message, hint)


def _shows_offer(context: Context, step: Send) -> bool:
    """Whether the message's template speaks of the offer, itself or by what it includes; where
    that cannot be known, it does."""
    if context.templates is None:
        return True
    folder = context.templates / step.template
    work = list(folder.glob(f"{step.channel}.*")) if folder.is_dir() else []
    if not work:  # no such template, which is reported where it is named
        return True
    seen: set[Path] = set()
    while work:
        file = work.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return True
        if re.search(r"\boffer\b", text):
            return True
        work += [context.templates / name for name in _OTHER_FILE.findall(text)]
    return False
