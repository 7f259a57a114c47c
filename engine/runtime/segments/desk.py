"""Segments for the operator's terminal: how many are in, who, since when, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from engine.core.segments import Standing
from engine.core.segments.tell import Told, tell
from engine.core.zones import zone_named
from engine.language.reader import parse
from engine.language.report import Report
from engine.runtime.erase import WasErased, was_erased
from engine.runtime.explain import Nobody, called, line_of
from engine.runtime.segments import load
from engine.runtime.shell import Shell
from engine.store import explain as explain_store
from engine.store import segment_desk as desk_store
from engine.store import segments as segments_store
from engine.store import versions as versions_store
from engine.store.database import Connection
from engine.store.segment_desk import Known


@dataclass(frozen=True, slots=True)
class Growth:
    """One day of the shop: who ``entered`` and ``left``, who was found in or out by a new
    definition, a merge or a repair (``other``), and the ``size`` at its end."""

    day: date
    entered: int
    left: int
    other: int
    size: int


@dataclass(frozen=True, slots=True)
class Somebody:
    """A member: ``names`` with addresses hidden."""

    profile: int
    names: tuple[str, ...]
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Picture:
    """All that there is to show of a segment."""

    segment: Known
    growth: Sequence[Growth]
    overlaps: Sequence[tuple[str, int]]
    sample: Sequence[Somebody]


@dataclass(frozen=True, slots=True)
class Because:
    """Why a shopper is in a segment or not: ``told`` rule by rule with lines of ``segment``'s file
    (0 where the rule is another segment's); ``standing`` is what is stored."""

    segment: str
    member: bool
    until: datetime | None
    standing: Standing
    told: Sequence[tuple[int, Told]]


def growth(connection: Connection, known: Known, today: date, number: int) -> list[Growth]:
    """The last ``number`` days, oldest first."""
    first = today - timedelta(days=number - 1)
    by_day = {each.day: each for each in desk_store.days(connection, known.name, first)}
    found: list[Growth] = []
    size = known.size - sum(
        each.entered - each.left + each.other for day, each in by_day.items() if day > today
    )
    for back in range(number):
        day = today - timedelta(days=back)
        each = by_day.get(day)
        came, went, other = (0, 0, 0) if each is None else (each.entered, each.left, each.other)
        found.append(Growth(day, came, went, other, size))
        size -= came - went + other
    return found[::-1]


def picture(
    connection: Connection, known: Known, now: datetime, timezone: str, days: int, members: int
) -> Picture:
    """A segment as ``winback segment show`` shows it."""
    sample = []
    for profile, since in desk_store.sample(connection, known.name, members):
        names = tuple(hidden(name) for name in explain_store.identifiers(connection, profile))
        sample.append(Somebody(profile, names, since))
    today = now.astimezone(zone_named(timezone)).date()
    return Picture(
        known,
        growth(connection, known, today, days),
        desk_store.overlaps(connection, known.name),
        sample,
    )


def hidden(name: str) -> str:
    """An identifier that may be shown to somebody who did not name it."""
    kind, _, value = name.partition(":")
    return f"{kind}:…" if kind in ("email", "phone") else f"{kind}:{value[:3]}…"


def because(
    shell: Shell, connection: Connection, asked: str, country: str, only: str | None = None
) -> tuple[int, list[Because]]:
    """The shopper called ``asked``, and for each segment (``only``: this one) why they are in it
    or not, now. Raises ``Nobody``."""
    number = int(asked) if asked.isdecimal() and len(asked) < 20 else None
    id = explain_store.owner(connection, called(asked, country), number)
    if id is None:
        if (gone := was_erased(connection, shell.secret, asked, country)) is not None:
            raise WasErased(asked, gone)
        raise Nobody(f"Nobody goes by {asked!r}.")
    book, now = shell.segments.book(connection), shell.clock.now()
    names = sorted(book.every if only is None else book.every & {only})
    profile = versions_store.profiles(connection, [id])[id]
    subject = load.subjects(connection, book, names, {id: profile}, now)[id]
    rows = segments_store.standings(connection, [id], names, None)
    standings = {row.segment: Standing(row.member, row.since, row.look_at) for row in rows}
    found = []
    for name in names:
        one = book.held[name]
        segment = one.segment
        told = list(tell(segment.rule, subject, now, segment.setting, one.scale))
        text = json.loads(segment.source)["texts"][name]
        tree = parse(text, Report(""))
        lines = [0 if tree is None else line_of(tree, each.path) for each in told]
        foreign = _depth_of_others(told)
        numbered = [
            (0 if n in foreign else line, each)
            for n, (line, each) in enumerate(zip(lines, told, strict=True))
        ]
        standing = standings.get(name, Standing())
        found.append(Because(name, told[0].holds, told[0].until, standing, numbered))
    return id, found


def _depth_of_others(told: Sequence[Told]) -> set[int]:
    """The places of rules that stand in the files of other segments."""
    found: set[int] = set()
    inside: int | None = None
    for place, each in enumerate(told):
        if inside is not None and each.depth > inside:
            found.add(place)
            continue
        inside = each.depth if each.words.startswith("in segment ") else None
    return found
