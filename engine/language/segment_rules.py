"""The rules of a segment, each beginning with the word that a person reads aloud."""

from __future__ import annotations

from collections.abc import Callable

from engine.language import segment_events as events
from engine.language import segment_people as people
from engine.language.fields import Fields, did_you_mean, read_list
from engine.language.segment_events import MEASURES, WINDOW
from engine.language.segment_reading import Reading
from engine.language.tree import Listing, Mapping, Tree, kind_of, short
from engine.model.segment import All, Either, Not, Rule

#: The keys of each kind of rule, the one that names it first.
KINDS: dict[str, tuple[str, ...]] = {
    "all": ("all",),
    "any": ("any",),
    "not": ("not",),
    "did": ("did", "times", *MEASURES, "is", "if", *WINDOW),
    "did not": ("did not", "if", *WINDOW),
    "first": ("first", "if", *WINDOW),
    "last": ("last", "if", *WINDOW),
    "date": ("date", "in the next", "in the last"),
    "in journey": ("in journey",),
    "was in journey": ("was in journey", "within"),
    "reached goal of": ("reached goal of", "within"),
    "message": ("message", "was", "was not", "times", "if", *WINDOW),
    "consent": ("consent", "topic", "says"),
    "lives in": ("lives in",),
    "in segment": ("in segment",),
    "rfm": ("rfm",),
    "on list": ("on list",),
    "random": ("random", "of"),
    "if": ("if",),
}


def read_rules(reading: Reading, node: Tree, path: str) -> Rule | None:
    """One rule, or a list of which all must hold."""
    if isinstance(node, Listing):
        return _together(reading, node, path, All)
    return read_rule(reading, node, path)


def read_rule(reading: Reading, node: Tree, path: str) -> Rule | None:
    kind = _kind(reading, node)
    if kind is None:
        return None
    fields = Fields(reading.report, node, f"rule '{kind}'", KINDS[kind], (kind,))
    return _READERS[kind](reading, fields, kind, path)


def _kind(reading: Reading, node: Tree) -> str | None:
    report = reading.report
    if not isinstance(node, Mapping):
        hint = "write for example 'did: Order Completed'"
        report.add("S001", node.place, f"a rule is a mapping, not {kind_of(node)}", hint)
        return None
    keys = {entry.key.text.replace("_", " "): entry.key for entry in node.entries}
    given = [key for key in keys if key in KINDS and key != "if"]
    if len(given) > 1:
        first, second = given[:2]
        message = f"'{first}' and '{second}' are two rules"
        report.add("S002", keys[second].place, message, "begin a new entry with '- '")
        return None
    if given:
        return given[0]
    if "if" in keys:
        return "if"
    place = node.entries[0].key.place if node.entries else node.place
    word = node.entries[0].key.text if node.entries else ""
    hint = did_you_mean(word, KINDS, otherwise=f"begin with one of {', '.join(KINDS)}")
    if word.lower().startswith("never"):
        hint = "write 'did not: …'"
    report.add("S001", place, f"'{short(word)}' is no rule" if word else "an empty rule", hint)
    return None


def _together(
    reading: Reading, node: Listing, path: str, kind: Callable[[tuple[Rule, ...], str], Rule]
) -> Rule | None:
    if not node.items:
        hint = "write at least one rule, each beginning with '- '"
        reading.report.add("J007", node.place, "there is no rule in this list", hint)
        return None
    parts = [read_rule(reading, item, f"{path}/{n}") for n, item in enumerate(node.items)]
    sound = tuple(part for part in parts if part is not None)
    return kind(sound, path) if len(sound) == len(parts) else None


def _all_or_any(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    node = fields.get(kind)
    if not isinstance(node, Listing):
        if node is not None:
            read_list(reading.report, node, f"'{kind}'")  # says so
        return None
    return _together(reading, node, f"{path}/{kind}", All if kind == "all" else Either)


def _not(reading: Reading, fields: Fields, kind: str, path: str) -> Rule | None:
    node = fields.get(kind)
    if isinstance(node, Listing) and len(node.items) > 1:
        hint = "say which: 'not: {any: [...]}' or 'not: {all: [...]}'"
        reading.report.add("J007", node.place, "'not' is about one rule, not a list", hint)
        return None
    part = None if node is None else read_rules(reading, node, f"{path}/not")
    return None if part is None else Not(part, path)


_READERS: dict[str, Callable[[Reading, Fields, str, str], Rule | None]] = {
    "all": _all_or_any,
    "any": _all_or_any,
    "not": _not,
    "did": events.did,
    "did not": events.did,
    "first": events.nth,
    "last": events.nth,
    "if": people.whether,
    "date": people.dated,
    "in journey": people.journeyed,
    "was in journey": people.journeyed,
    "reached goal of": people.journeyed,
    "message": events.message,
    "consent": people.consented,
    "lives in": people.located,
    "in segment": people.in_segment,
    "rfm": people.scored,
    "on list": people.listed,
    "random": people.bucketed,
}
