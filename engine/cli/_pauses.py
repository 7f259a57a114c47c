"""What `winback pause` and `winback resume` share."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable

import click
from rich.console import Console
from rich.table import Table

from engine.store.senders import Pause, State

PROVIDER = "provider"


def subject_of(text: str, journeys: Iterable[str], providers: Iterable[str]) -> str:
    """``journey:NAME`` or ``provider:NAME`` for what a person wrote. Raises ``UsageError`` for
    what there is not."""
    kind, colon, name = text.partition(":")
    if not colon:
        kind, name = "journey", text
    known = {"journey": set(journeys), PROVIDER: set(providers)}.get(kind)
    if known is None:
        raise click.UsageError(f"{text!r} is no journey: write JOURNEY or provider:NAME.")
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise click.UsageError(f"There is no {kind} {name!r}. There is: {there}.")
    return f"{kind}:{name}"


def person(given: str | None) -> str:
    """Who does it, for the record: as given, else who is logged in here."""
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user {os.getuid()}"


def show(pauses: list[Pause], states: list[State]) -> None:
    console = Console(highlight=False)
    if not pauses and not states:
        console.print("Nothing is paused.")
        return
    table = Table()
    for column in ("what", "since", "by", "why"):
        table.add_column(column, overflow="fold")
    for pause in pauses:
        table.add_row(pause.subject, f"{pause.since:%F %T %Z}", pause.by, pause.reason)
    for state in states:
        table.add_row(
            f"{PROVIDER}:{state.provider}",
            f"{state.since:%F %T %Z}",
            "winback",
            f"{state.reason} (tried again {state.until:%F %T %Z})",
        )
    console.print(table)
    if pauses:
        console.print("Resume one: winback resume WHAT")
