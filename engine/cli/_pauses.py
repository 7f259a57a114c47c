"""What `winback pause` and `winback resume` share."""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection, Mapping

import click
from rich.console import Console
from rich.table import Table

from engine.model.policy import Policy
from engine.store.senders import Pause, State

PROVIDER, SENDER = "provider", "sender"


def subject_of(what: str, name: str | None = None) -> str:
    """``journey:NAME``, ``provider:NAME`` or ``sender:NAME`` for what a person wrote."""
    if name is not None:
        return f"{what}:{name}"
    return what if ":" in what else f"journey:{what}"


def check(subject: str, known: Mapping[str, Collection[str]]) -> None:
    """Raises ``UsageError`` for what there is not; ``known`` are the names by kind."""
    kind, _, name = subject.partition(":")
    if kind not in known:
        raise click.UsageError(
            f"{kind!r} cannot be paused: write JOURNEY, provider NAME or sender NAME."
        )
    known_names = known[kind]
    if name not in known_names:
        there = ", ".join(sorted(known_names)) or "none"
        raise click.UsageError(f"There is no {kind} {name!r}. There is: {there}.")


def senders_of(policy: Policy) -> set[str]:
    """The addresses and numbers that the shop's rules name as senders."""
    return policy.senders() | {*policy.sending.limits, *policy.sending.warm_up}


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
