"""Rules about who a shopper is: fields, dates, journeys, consent, places, scores, lists."""

from __future__ import annotations

import re
from decimal import Decimal

from engine.core.regions import country_code
from engine.language.context import CHANNELS
from engine.language.fields import Fields, did_you_mean, read_text
from engine.language.segment_reading import Reading, read_test
from engine.language.spans import read_span
from engine.language.tree import Listing, Tree, short
from engine.model.segment import (
    Bucketed,
    Consented,
    Dated,
    If,
    InSegment,
    Journeyed,
    Listed,
    Located,
    Rule,
    Says,
    Scored,
    Span,
)

_FREE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
PLACES = ("country", "state", "city")
SCORES = ("recency", "frequency", "monetary")
SAYS: tuple[Says, ...] = ("yes", "no", "pending", "nothing")
#: A share of all shoppers, or a part of the hundred.
RANDOM = r"^\s*(?:([0-9]{1,3})\s*%?\s*(?:-|–|to)\s*)?([0-9]{1,3})\s*%\s*$"


def whether(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    condition = read_test(reading, fields.get("if"), path, ("profile",), history=True)
    return None if condition is None else If(condition, path)


def dated(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    date = read_test(reading, fields.get("date"), path, ("profile",))
    given = [name for name in ("in the next", "in the last") if name in fields]
    if len(given) != 1:
        hint = "write 'in the next: 7 days' or 'in the last: 30 days'"
        reading.report.add("J006", fields.place, "rule 'date' needs one of two keys", hint)
        return None
    length = fields.duration(given[0])
    if date is None or length is None:
        return None
    ahead, past = (length, None) if given[0] == "in the next" else (None, length)
    return Dated(date, ahead, past, path)


def journeyed(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    name, node = fields.text(kind), fields.get(kind)
    within = fields.duration("within") if "within" in fields else None
    if name is None or node is None:
        return None
    if reading.journeys is not None and name not in reading.journeys:
        hint = did_you_mean(name, reading.journeys, otherwise="see that it is written right")
        reading.report.add("S051", node.place, f"there is no journey '{short(name)}'", hint)
    match kind:
        case "in journey":
            return Journeyed("in", name, None, path)
        case "was in journey":
            return Journeyed("was", name, within, path)
    return Journeyed("goal", name, within, path)


def consented(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    channel = fields.choice("consent", (*CHANNELS, "ads"), "J017")
    topic, says = fields.text("topic") or "*", fields.choice("says", SAYS) or "yes"
    topics, node = reading.topics, fields.get("topic")
    if topics is not None and node is not None and topic not in topics:
        hint = did_you_mean(topic, topics, otherwise=f"choose {', '.join(topics)}")
        reading.report.add("J016", node.place, f"unknown topic '{short(topic)}'", hint)
    return None if channel is None else Consented(channel, topic, says, path)  # type: ignore[arg-type]


def located(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    node = fields.get(kind)
    if node is None:
        return None
    places = Fields(reading.report, node, "'lives in'", PLACES)
    found: dict[str, tuple[str, ...]] = {}
    for name in PLACES:
        value = places.get(name)
        if value is None:
            continue
        items = value.items if isinstance(value, Listing) else [value]
        texts = [(item, read_text(reading.report, item, f"'{name}'")) for item in items]
        if name == "country":
            found[name] = tuple(_country(reading, item, t) for item, t in texts if t is not None)
        else:
            found[name] = tuple(t.strip().casefold() for _, t in texts if t is not None)
    if not any(found.values()):
        if places.sound:
            hint = "write for example {country: GB}"
            reading.report.add("J006", node.place, "'lives in' needs a place", hint)
        return None
    countries, states, cities = (found.get(name, ()) for name in PLACES)
    return Located(countries, states, cities, path)


def _country(reading: Reading, node: Tree, text: str) -> str:
    code = country_code(text)
    if not code:
        hint = "write two capital letters, such as GB, or the English name"
        reading.report.add("J011", node.place, f"'{short(text)}' is no country", hint)
    return code or ""


def in_segment(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    name, node = fields.text(kind), fields.get(kind)
    if name is None or node is None:
        return None
    reading.names.setdefault(name, node.place)
    return InSegment(name, None, path)


def scored(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    node = fields.get(kind)
    if node is None:
        return None
    scores = Fields(reading.report, node, "'rfm'", SCORES)
    spans: dict[str, Span | None] = {}
    for name in SCORES:
        value = scores.get(name)
        if value is None:
            continue
        span = spans[name] = read_span(reading.report, value, f"'{name}'")
        if span is not None and not any(span.holds(score) for score in range(1, 6)):
            message = f"no score is '{short(span.text)}'"
            reading.report.add("S005", value.place, message, "scores go from 1 to 5")
    if not spans:
        if scores.sound:
            hint = "write for example {recency: at least 4}"
            reading.report.add("J006", node.place, "'rfm' needs a score", hint)
        return None
    if None in spans.values():
        return None
    recency, frequency, monetary = (spans.get(name) for name in SCORES)
    return Scored(recency, frequency, monetary, path)


def listed(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    name, node = fields.text(kind), fields.get(kind)
    if name is None or node is None:
        return None
    if not _FREE.fullmatch(name):
        hint = "use small letters, digits and '-'"
        reading.report.add("S008", node.place, f"'{short(name)}' cannot be a list", hint)
        return None
    if reading.lists is not None and not (reading.lists / f"{name}.txt").is_file():
        known = [file.stem for file in reading.lists.glob("*.txt")]
        hint = did_you_mean(name, known, otherwise=f"write config/segments/lists/{name}.txt")
        reading.report.add("S008", node.place, f"there is no list '{name}'", hint)
        return None
    return Listed(name, path)


def bucketed(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    text, node = fields.text(kind), fields.get(kind)
    salt = fields.text("of") or reading.name
    if text is None or node is None:
        return None
    found = re.search(RANDOM, text)
    low, high = (int(found[1] or 0), int(found[2])) if found else (0, 0)
    if not low < high <= 100:
        hint = "write 10%, or a part of the hundred: 10% to 20%"
        reading.report.add("J009", node.place, f"'{short(text)}' is no share of shoppers", hint)
        return None
    return Bucketed(salt, Decimal(low), Decimal(high), path)
