"""How messages go out, from config/winback.yaml: providers and who stands in for them, limits,
warm-up, and when a journey or provider pauses itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import TypeVar

from engine.core.durations import UNITS
from engine.language.fields import Fields, did_you_mean, read_choice, read_text
from engine.language.report import Report
from engine.language.tree import Entry, Listing, Scalar, Tree, short
from engine.language.tree import Mapping as Map
from engine.model.sending import AutoPause, Rate, Sending, WarmUp

WARM_UP = ("from", "first day", "doubling every")
AUTO_PAUSE = ("complaints", "bounces", "within", "at least")
UNKNOWN_OUTCOMES = ("close after",)
OFF = "off"
_UNIT = "|".join(UNITS)
#: ``100 per second``, ``3000 per 10 minutes``: for the loader and, as it is, for the schema.
RATE = rf"^\s*([1-9][0-9]{{0,6}}) per (?:([1-9][0-9]{{0,3}}) )?({_UNIT})s?\s*$"
#: An address, a number or a messaging service; the name of a provider is the other choice.
SENDER = r"^(?:[^\s@<>]+@[^\s@<>]+|\+[0-9]{3,15}|MG[0-9a-fA-F]{32})$"
SHARE = r"^\s*([0-9]{1,2}(?:\.[0-9]{1,3})?)\s*%\s*$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
COUNT = r"^[1-9][0-9]{0,8}$"
#: A warm-up that doubles more often than daily would not be one.
_A_DAY = timedelta(days=1)

T = TypeVar("T")


def read_sending(
    report: Report, fields: Fields, entries: list[Entry], known: Mapping[str, tuple[str, ...]]
) -> Sending:
    """The keys ``limits``, ``warm up`` and ``auto pause``, and who stands in for the providers.

    ``entries`` are those of ``providers``, ``known`` the providers of each channel.
    """
    carriers = {name for names in known.values() for name in names}
    return Sending(
        fallbacks=_fallbacks(report, entries, known),
        limits=_by_sender(report, fields, "limits", carriers, _rate),
        warm_up=_by_sender(report, fields, "warm up", carriers, _warm_up),
        auto_pause=_auto_pause(report, fields.get("auto pause")),
        close_after=_close_after(report, fields.get("unknown outcomes")),
    )


def first_provider(node: Tree) -> Tree:
    """Of ``email: [sendgrid, smtp]`` the one that carries the mail while all is well."""
    return node.items[0] if isinstance(node, Listing) and node.items else node


def _fallbacks(
    report: Report, entries: list[Entry], known: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, value in entries:
        if not isinstance(value, Listing) or key.text not in known:
            continue
        names: list[str] = []
        for item in value.items:
            name = read_choice(report, item, f"'{key.text}'", known[key.text])
            if name in names:
                report.add("J011", item.place, f"'{name}' stands in for itself")
            elif name is not None:
                names.append(name)
        if names[1:]:
            found[key.text] = tuple(names[1:])
    return found


def _by_sender(
    report: Report,
    fields: Fields,
    what: str,
    carriers: set[str],
    read: Callable[[Report, Tree, str], T | None],
) -> dict[str, T]:
    """A mapping by provider or sender."""
    node = fields.get(what)
    if node is None:
        return {}
    found: dict[str, T] = {}
    for key, value in _free(report, node, f"'{what}'"):
        name = key.text.strip()
        if name not in carriers and not re.search(SENDER, name):
            hint = did_you_mean(
                name, carriers, otherwise="name a provider, or the address or number that sends"
            )
            report.add("J011", key.place, f"'{short(name)}' is no provider and no sender", hint)
            continue
        if name in found:
            report.add("J004", key.place, f"'{short(name)}' comes twice in '{what}'")
            continue
        one = read(report, value, name)
        if one is not None:
            found[name] = one
    return found


def _free(report: Report, node: Tree, what: str) -> list[Entry]:
    if isinstance(node, Map):
        return node.entries
    report.add("J007", node.place, f"{what} must be a mapping")
    return []


def _rate(report: Report, node: Tree, name: str) -> Rate | None:
    text = read_text(report, node, f"the limit of '{short(name)}'")
    if text is None:
        return None
    found = re.search(RATE, text)
    if found is None:
        hint = "write for example 100 per second, or 3000 per 10 minutes"
        report.add("J011", node.place, f"'{short(text)}' is no limit", hint)
        return None
    return Rate(int(found[1]), int(found[2] or 1) * UNITS[found[3]])


def _warm_up(report: Report, node: Tree, name: str) -> WarmUp | None:
    fields = Fields(report, node, f"the warm-up of '{short(name)}'", WARM_UP, WARM_UP[:2])
    since, first = fields.text("from"), _count(fields, "first day")
    doubling = fields.duration("doubling every") or _A_DAY
    place = fields.get("from")
    if since is None or first is None or place is None:
        return None
    try:
        day = date.fromisoformat(since) if re.search(DAY, since) else None
    except ValueError:
        day = None
    if day is None:
        report.add("J011", place.place, f"'{short(since)}' is no day", "write 2026-12-01")
        return None
    every = fields.get("doubling every")
    if every is not None and doubling < _A_DAY:
        hint = "write for example 1 day or 3 days"
        report.add("J011", every.place, "a warm-up grows by the day at the most", hint)
        return None
    return WarmUp(day, first, doubling)


def _auto_pause(report: Report, node: Tree | None) -> AutoPause | None:
    usual = AutoPause()
    if node is None:
        return usual
    if isinstance(node, Scalar) and node.text.strip() in (OFF, "false"):
        return None
    fields = Fields(report, node, "'auto pause'", AUTO_PAUSE)
    complaints, bounces = _share(fields, "complaints"), _share(fields, "bounces")
    within, least = fields.duration("within"), _count(fields, "at least")
    return AutoPause(
        usual.complaints if complaints is None else complaints,
        usual.bounces if bounces is None else bounces,
        within or usual.within,
        usual.at_least if least is None else least,
    )


def _close_after(report: Report, node: Tree | None) -> timedelta:
    usual = Sending().close_after
    if node is None:
        return usual
    fields = Fields(report, node, "'unknown outcomes'", UNKNOWN_OUTCOMES)
    given, place = fields.duration("close after"), fields.get("close after")
    if given is not None and place is not None and given < _A_DAY:
        hint = "providers report for a day and more: write 3 days"
        report.add("J011", place.place, "'close after' is a day at the least", hint)
        return usual
    return given or usual


def _count(fields: Fields, name: str) -> int | None:
    text, node = fields.text(name), fields.get(name)
    if text is None or node is None:
        return None
    if not re.search(COUNT, text.strip()):
        hint = "write a number of messages: 200"
        fields.report.add("J011", node.place, f"'{name}' cannot be '{short(text)}'", hint)
        return None
    return int(text)


def _share(fields: Fields, name: str) -> float | None:
    text, node = fields.text(name), fields.get(name)
    if text is None or node is None:
        return None
    found = re.search(SHARE, text)
    if found is None:
        hint = "write a share below 100%: 0.3%"
        fields.report.add("J009", node.place, f"'{name}' cannot be '{short(text)}'", hint)
        return None
    return float(found[1]) / 100
