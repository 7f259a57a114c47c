"""How ``winback segment`` shows what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.runtime.segments.desk import Because, Growth, Picture
from engine.runtime.segments.search import progress
from engine.store.segment_desk import Known

_WIDTH = 30


def print_list(console: Console, known: Sequence[Known], days: Mapping[str, Growth]) -> None:
    if not known:
        console.print("There are no segments: see config/segments/README.md.")
        return
    table = Table()
    for name in ("segment", "what it is"):
        table.add_column(name, overflow="fold")
    for name in ("members", "in today", "out today"):
        table.add_column(name, justify="right")
    table.add_column("")
    for each in known:
        day = days[each.name]
        numbers = (f"{each.size:,}", f"{day.entered:,}", f"{day.left:,}")
        table.add_row(each.name, Text(each.title), *numbers, _state(each))
    console.print(table)


def _state(known: Known) -> str:
    return "" if known.place is None else f"searching, {progress(known.place):.0%}"


def print_picture(console: Console, found: Picture) -> None:
    known = found.segment
    console.print(Text(known.name, "bold") + Text(f"  {known.title}"))
    console.print(f"{known.size:,} members {_state(known)}".rstrip())
    console.print()
    most = max((each.size for each in found.growth), default=0)
    for each in found.growth:
        bar = "█" * (each.size * _WIDTH // most if most else 0)
        line = Text(f"{each.day:%a %d %b}  {each.size:>9,}  ")
        line.append(f"{bar:<{_WIDTH}}", "cyan")
        line.append(f"  +{each.entered:,} −{each.left:,}")
        line.append(
            f"  {each.other:+,} by a new definition or a merge" if each.other else "", "dim"
        )
        console.print(line)
    if found.overlaps:
        console.print("\nAlso in")
        for name, count in found.overlaps:
            console.print(f"  {name}: {count:,} ({count / known.size:.0%})")
    if found.sample:
        console.print("\nWho came last")
        for somebody in found.sample:
            since = f"  since {_when(somebody.since)}" if somebody.since else ""
            names = ", ".join(somebody.names)
            console.print(Text(f"  {somebody.profile}  {names}{since}"))


def print_because(
    console: Console, profile: int, found: Sequence[Because], whole: str | None
) -> None:
    console.print(Text(f"Profile {profile}", "bold"))
    if not found:
        console.print("There are no segments in force.")
    for each in found:
        word = Text("in", "green") if each.member else Text("not in", "yellow")
        line = Text(each.segment, "bold") + Text("  ") + word
        if each.member and each.standing.member and each.standing.since:
            line.append(f" since {_when(each.standing.since)}")
        if each.until is not None:
            line.append(f"; by time alone until {_when(each.until)}", "dim")
        console.print(line)
        if each.member != each.standing.member:
            console.print(Text("  stored otherwise: an event or a look waits its turn", "red"))
        for number, told in each.told if whole is not None else ():
            place = f"{each.segment}.yaml:{number}" if number else ""
            text = Text("  " + "  " * told.depth)
            text.append("yes " if told.holds else "no  ", "green" if told.holds else "yellow")
            text.append(told.words)
            text.append(f" ({told.found})" if told.found else "", "dim")
            text.append(f"  {place}" if place else "", "dim")
            console.print(text)


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
