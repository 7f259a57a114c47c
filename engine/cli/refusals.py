"""``winback refusals``: what was not sent, or later, and why, counted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from engine.cli._changes import shop
from engine.cli._recorded import moment
from engine.cli.main import print_json
from engine.core.durations import show_duration
from engine.core.gate import uncapped
from engine.core.refusals import cap_code, meaning
from engine.language import load_policy
from engine.model.policy import Cap
from engine.settings import Settings
from engine.store import refusals as refusals_store
from engine.store.cap_usage import Usage, usage
from engine.store.refusals import Count


@click.command()
@click.option(
    "--since",
    metavar="DURATION|TIME",
    default="7d",
    show_default=True,
    help='From when on: "2 days", 2026-01-31T10:00:00Z.',
)
@click.option("--journey", metavar="NAME", help="Only this journey.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def command(project_dir: Path | None, since: str, journey: str | None, as_json: bool) -> None:
    """Count what might not be sent, by day, journey, step and reason.

    A message that waits for the end of quiet hours counts as "waits" each time that it is put
    off, also when it was sent in the end; one that was given up counts as "given up". Days are
    those of the shop's time zone. The codes are stable: build alarms on them.

    Without --journey it tells besides, for each frequency cap, how many shoppers were held back by
    it since then, and for how many it is full now. Caps on the same channel and topic hold back
    together.

    Exit codes: 0 told, 1 there is no database, 2 wrong usage.

    \b
    Example:
      winback refusals
      winback refusals --since 30d --journey cart-left-behind --json
    """
    settings = Settings.from_environment(project_dir=project_dir)
    policy, _ = load_policy(settings.project_dir / "config" / "winback.yaml")
    zone = policy.shop.timezone
    with shop(settings) as (database, clock):
        now = clock.now()
        start = moment(since, "--since", now)
        with database.connection() as connection:
            counts = refusals_store.counts(connection, start, zone, journey)
            # A cap of no messages at all is always full, for everybody.
            caps = [(cap, cap_code(cap)) for cap in policy.caps if cap.messages and not journey]
            used = usage(connection, caps, uncapped(policy), start, now) if caps else []
    if as_json:
        told = {"since": start, "timezone": zone, "refusals": _rows(counts)}
        print_json({**told, "caps": [_cap_row(one) for one in used]})
    else:
        _print(counts)
        _print_caps(used)


def _rows(counts: Iterable[Count]) -> list[dict[str, Any]]:
    return [{**count._asdict(), "meaning": meaning(count.code)} for count in counts]


def _print(counts: list[Count]) -> None:
    console = Console(highlight=False)
    if not counts:
        console.print("Nothing was refused.")
        return
    table = Table()
    for name in ("day", "journey", "step", "channel", "code", "meaning", ""):
        table.add_column(name, overflow="fold")
    for name in ("times", "messages"):
        table.add_column(name, justify="right")
    for c in counts:
        table.add_row(
            c.day.isoformat(),
            c.journey,
            c.step,
            c.channel,
            c.code,
            meaning(c.code),
            "waits" if c.waits else "given up",
            f"{c.refusals:,}",
            f"{c.messages:,}",
        )
    console.print(table)


def _cap_row(one: Usage) -> dict[str, Any]:
    return {
        "messages": one.cap.messages,
        "within": show_duration(one.cap.within),
        "channel": one.cap.channel,
        "topic": one.cap.topic,
        "shoppers_held_back": one.held_back,
        "shoppers_full_now": one.full,
    }


def _print_caps(used: list[Usage]) -> None:
    if not used:
        return
    table = Table()
    table.add_column("frequency cap", overflow="fold")
    for name in ("shoppers held back", "full now for"):
        table.add_column(name, justify="right")
    for one in used:
        table.add_row(_words(one.cap), f"{one.held_back:,}", f"{one.full:,}")
    Console(highlight=False).print(table)


def _words(cap: Cap) -> str:
    words = f"{cap.messages:,} in {show_duration(cap.within)}"
    words += "" if cap.channel == "*" else f" by {cap.channel}"
    return words + ("" if cap.topic == "*" else f" about {cap.topic}")
