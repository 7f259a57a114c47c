"""``winback plan``: what would change, and for whom, before it goes live."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from engine.cli import _planned_segments as planned_segments
from engine.cli._changes import (
    as_document,
    planned,
    print_plan,
    print_shortages,
    read_project,
    shop,
)
from engine.cli._recorded import print_errors
from engine.cli.main import FINDINGS, print_json
from engine.core.migrate import Rule
from engine.language import load_segments
from engine.runtime.plan import draw
from engine.runtime.pools import shortages
from engine.settings import Settings


@click.command()
@planned
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def command(project_dir: Path | None, rule: Rule | None, allow: int | None, as_json: bool) -> int:
    """Compare the project's journeys with what is live. Nothing is changed.

    It tells every journey that is new, changed or removed, what becomes of each shopper in
    flight, how many messages more this may send in the first day, at worst, and which pools of
    coupons have fewer codes than that may need. Of segments that journeys hear of, and whose
    files are not in force yet, it tells how many come in and go out.

    Exit codes: 0 ready to apply, 1 a file has errors or too many messages, 2 wrong usage.

    \b
    Example:
      winback plan
      winback plan --in-flight move --allow 2000
      winback plan --json
    """
    settings = Settings.from_environment(project_dir=project_dir)
    wanted, policy, errors = read_project(settings.project_dir, rule)
    found = load_segments(settings.project_dir / "config" / "segments", policy=policy)
    errors += [finding for finding in found.diagnostics if finding.severity == "error"]
    allowed = policy.blast_radius if allow is None else allow
    with shop(settings) as (database, clock), database.connection() as connection:
        plan = draw(connection, wanted, clock.now(), policy.shop.currency)
        short = shortages(connection, wanted.journeys, clock.now())
        segments = planned_segments.of_files(connection, wanted.journeys, found, clock.now())
    messages = plan.messages + segments.messages
    if as_json:
        told = planned_segments.as_document(segments)
        print_json({**as_document(plan, allowed, errors, short), "segments": told})
    else:
        print_plan(plan, allowed)
        planned_segments.show(segments, messages, allowed)
        print_shortages(short)
        print_errors(Console(stderr=True), errors)
    return FINDINGS if errors or messages > allowed else 0
