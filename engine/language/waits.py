"""The steps that wait: for a time, until a moment, for an event."""

from __future__ import annotations

import re
from datetime import timedelta

from engine.language.context import Context
from engine.language.fields import Fields, read_condition, read_duration
from engine.language.moments import (
    CLOCK,
    DAYS,
    ISO,
    WEEKDAYS,
    iso_moment,
    read_days,
    read_shift,
    read_time,
)
from engine.language.report import Report
from engine.language.tree import Mapping, Scalar, Tree, kind_of, short
from engine.model.journey import AnyStep, Condition, Wait, WaitUntil

_DATES = "write '18:00', profile.subscription_ends or '2026-11-27'"
#: A moment without an offset, which is meant by the shopper's own clock.
_LOCAL = re.compile(r"([0-9-]{10})[T ]([0-9]{2}:[0-9]{2})")
UNTIL = ("until", "on", "at", "shift")


def read_wait(report: Report, node: Tree | None) -> timedelta | None:
    """A duration longer than nothing."""
    duration = None if node is None else read_duration(report, node)
    if node is not None and duration == timedelta(0):
        report.add(
            "J022", node.place, "this is no time at all", "leave the wait out, or make it longer"
        )
        return None
    return duration


def wait(context: Context, fields: Fields, path: str, following: str | None) -> AnyStep | None:
    node = fields.get("wait")
    if isinstance(node, Mapping):
        return _wait_until(context, node, path, following)
    duration = read_wait(context.report, node)
    return None if duration is None else Wait(path, following, duration)


def _wait_until(
    context: Context, node: Mapping, path: str, following: str | None
) -> AnyStep | None:
    report = context.report
    fields = Fields(report, node, "'wait'", UNTIL, ("until",))
    until = fields.get("until")
    at, on, shift = fields.get("at"), fields.get("on"), fields.get("shift")
    clock = None if at is None else read_time(report, at, "'at'")
    days = None if on is None else read_days(report, on, "'on'")
    offset = None if shift is None else read_shift(report, shift)
    if until is None:
        return None
    if isinstance(until, Scalar) and CLOCK.fullmatch(until.text.strip()):
        clock = read_time(report, until, "'until'")
        _reject(fields, ("at", "shift"), "beside a time of day", "it goes with a date")
        weekdays = tuple(WEEKDAYS.index(day) for day in days or ())
        return None if clock is None else WaitUntil(path, following, clock, weekdays)
    _reject(fields, ("on",), "beside a date", "it goes with a time of day: until: '10:00'")
    if isinstance(until, Scalar) and (moment := _LOCAL.fullmatch(until.text.strip())):
        _reject(fields, ("at",), "beside a date that has a time", "write it there")
        clock = read_time(report, Scalar(until.place, moment[2], False), "'until'")
        until = Scalar(until.place, moment[1], False)
    date = read_date(context, until, f"{path}/wait/until")
    if date is None:
        return None
    return WaitUntil(path, following, clock, (), date, offset or timedelta(0))


def _reject(fields: Fields, names: tuple[str, ...], where: str, hint: str) -> None:
    for name in names:
        if name in fields:
            message = f"'{name}' means nothing {where}"
            fields.report.add("J005", fields.key_place(name), message, hint)


def read_date(context: Context, node: Tree, path: str, hint: str = _DATES) -> Condition | None:
    """A date in the data, an expression; or one day for all, ``2026-11-27``."""
    report = context.report
    if not isinstance(node, Scalar) or not node.text.strip():
        report.add("J007", node.place, f"a date must be a text, not {kind_of(node)}", hint)
        return None
    text = node.text.strip()
    context.texts[path] = node
    if ISO.fullmatch(text):
        if iso_moment(text) is None:
            report.add("J025", node.place, f"there is no day '{short(text)}'", hint)
            return None
        return read_condition(report, Scalar(node.place, repr(text), node.plain), path)
    if text.lower() in DAYS:
        instead = f"write {{until: '10:00', on: {text.lower()}}}" if hint == _DATES else hint
        report.add("J025", node.place, f"'{short(text)}' is no date", instead)
        return None
    if text[0].isdigit():
        report.add("J025", node.place, f"'{short(text)}' is neither a time nor a date", hint)
        return None
    return context.condition(node, path)
