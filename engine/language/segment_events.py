"""Rules about what a shopper did, and what became of the messages to them."""

from __future__ import annotations

from decimal import Decimal

from engine.language.context import CHANNELS
from engine.language.fields import Fields
from engine.language.moments import read_moment
from engine.language.segment_reading import Reading, read_test
from engine.language.sense_names import check_name
from engine.language.spans import read_span
from engine.language.tree import Tree
from engine.model.journey import Condition
from engine.model.segment import Did, Measure, Nth, Rule, Span, Window

WINDOW = ("within", "longer ago than", "since", "before")
#: What is calculated of the events' values, by the key that names the value.
MEASURES: dict[str, Measure] = {
    "sum of": "sum",
    "average of": "average",
    "smallest": "smallest",
    "largest": "largest",
}
#: What a message was, and the events that tell, by channel.
FATES: dict[str, dict[str, tuple[str, ...]]] = {
    "delivered": {
        "email": ("Email Delivered",),
        "sms": ("SMS Delivered",),
        "whatsapp": ("WhatsApp Delivered",),
    },
    "opened": {"email": ("Email Opened",), "sms": ("SMS Read",), "whatsapp": ("WhatsApp Read",)},
    "clicked": {
        "email": ("Email Clicked",),
        "sms": ("SMS Clicked",),
        "whatsapp": ("WhatsApp Clicked",),
    },
    "bounced": {
        "email": ("Email Bounced", "Email Dropped"),
        "sms": ("SMS Failed",),
        "whatsapp": ("WhatsApp Failed",),
    },
    "reported as spam": {"email": ("Email Spam Reported",), "sms": (), "whatsapp": ()},
}
ANY_CHANNEL = "any"
_ONCE, _NEVER = Span(low=Decimal(1), text="at least 1"), Span(Decimal(0), Decimal(0), text="0")


def did(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    event, window = _event(reading, fields, kind), _window(reading, fields)
    condition = _test(reading, fields.get("if"), f"{path}/if", event)
    span: Span | None = _NEVER if kind == "did not" else _ONCE
    measure: Measure = "times"
    value = None
    if kind == "did":
        span, measure, value = _measure(reading, fields, path, event)
    if event is None or window is None or span is None:
        return None
    return Did((event,), window, span, measure, condition, value, path)


def _measure(
    reading: Reading, fields: Fields, path: str, event: str | None
) -> tuple[Span | None, Measure, Condition | None]:
    report = reading.report
    given = [name for name in ("times", *MEASURES) if name in fields]
    if len(given) > 1:
        message = f"'{given[0]}' and '{given[1]}' are two questions"
        report.add("S002", fields.key_place(given[1]), message, "make two rules")
        return None, "times", None
    name = given[0] if given else "times"
    node = fields.get(name)
    if name == "times":
        if "is" in fields:
            hint = "write 'times: at least 2', or 'sum of: event.revenue' beside 'is'"
            report.add("J005", fields.key_place("is"), "'is' of what?", hint)
            return None, "times", None
        return (_ONCE if node is None else read_span(report, node, "'times'")), "times", None
    value = _test(reading, node, f"{path}/{name}", event)
    test = fields.get("is")
    if test is None:
        message = f"'{name}' needs 'is'"
        report.add("J006", fields.key_place(name), message, "add 'is: more than 500'")
        return None, MEASURES[name], value
    span = read_span(report, test, "'is'")
    return (None if value is None else span), MEASURES[name], value


def nth(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    event, window = _event(reading, fields, kind), _window(reading, fields)
    condition = _test(reading, fields.get("if"), f"{path}/if", event)
    if event is None or window is None:
        return None
    return Nth("first" if kind == "first" else "last", event, window, condition, path)


def message(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    channel = fields.choice("message", (*CHANNELS, ANY_CHANNEL))
    given = [name for name in ("was", "was not") if name in fields]
    if len(given) != 1:
        hint = "write 'was: clicked' or 'was not: opened'"
        reading.report.add("J006", fields.place, "rule 'message' needs one of two keys", hint)
        return None
    fate = fields.choice(given[0], tuple(FATES))
    window = _window(reading, fields)
    condition = _test(reading, fields.get("if"), f"{path}/if", None)
    times, span = fields.get("times"), _ONCE if given[0] == "was" else _NEVER
    if times is not None:
        if given[0] == "was not":
            said, hint = "'times' means nothing beside 'was not'", "delete it"
            reading.report.add("J005", fields.key_place("times"), said, hint)
            return None
        found = read_span(reading.report, times, "'times'")
        if found is None:
            return None
        span = found
    if channel is None or fate is None or window is None:
        return None
    by = FATES[fate]
    names = [n for c in (CHANNELS if channel == ANY_CHANNEL else (channel,)) for n in by[c]]
    if not names:
        message = f"nobody tells of {channel} that it was {fate}"
        reading.report.add("J011", fields.key_place(given[0]), message, "write 'message: email'")
        return None
    return Did(tuple(names), window, span, "times", condition, None, path)


def _test(reading: Reading, node: Tree | None, path: str, event: str | None) -> Condition | None:
    return read_test(reading, node, path, ("event", "profile"), event=event)


def _event(reading: Reading, fields: Fields, kind: str) -> str | None:
    name, node = fields.text(kind), fields.get(kind)
    if name is not None and node is not None:
        check_name(reading.report, name, node.place)
    return name


def _window(reading: Reading, fields: Fields) -> Window | None:
    """When the events count; None after a finding."""
    report = reading.report
    within, ago = (
        fields.duration(name) if name in fields else None for name in ("within", "longer ago than")
    )
    since, before = (
        None if node is None else read_moment(report, node, f"'{name}'", reading.zone)
        for name, node in ((name, fields.get(name)) for name in ("since", "before"))
    )
    read = {"within": within, "longer ago than": ago, "since": since, "before": before}
    if any(value is None for name, value in read.items() if name in fields):
        return None
    if within is not None and ago is not None and ago >= within:
        message = "no event can be longer ago than that and within this time"
        hint = "make 'within' the longer of the two"
        report.add("S006", fields.key_place("longer ago than"), message, hint)
        return None
    if since is not None and before is not None and since >= before:
        message = "'before' is not after 'since'"
        report.add("S006", fields.key_place("before"), message, "exchange the two dates")
        return None
    window = Window(within=within, since=since, before=before)
    return window if ago is None else Window(within, ago, since, before)
