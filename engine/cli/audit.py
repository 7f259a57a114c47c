"""``winback audit``: are the promises kept?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from engine import bootstrap
from engine.cli._database import answering
from engine.cli._recorded import moment
from engine.cli.main import FINDINGS, print_json
from engine.clock import from_environment
from engine.runtime.audit import PROMISES, AuditReport, audit
from engine.settings import Settings


@click.command()
@click.option(
    "--since",
    metavar="DURATION|TIME",
    help='Judge only messages claimed since then: "2 days", 2026-01-31T10:00:00Z.',
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def command(project_dir: Path | None, since: str | None, as_json: bool) -> None:
    """Check promises 1 to 6 on the live database; 0 everywhere is healthy.

    It reads, in one transaction, and may run beside the workers. Permission is judged by the
    rules of today: after you have tightened one, --since leaves out what went before.

    Exit codes: 0 all kept, 1 findings, 2 wrong usage.

    \b
    Example:
      winback audit
      winback audit --since "1 day" --json
    """
    settings = Settings.from_environment(project_dir=project_dir)
    clock = from_environment(settings.clock)
    start = moment(since, "--since", clock.now()) if since else None
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        answering(settings) as settings,
        bootstrap.database(settings, connections=2) as store,
        Progress(*columns, console=console, transient=True, disable=as_json) as progress,
    ):
        bar = progress.add_task("reading the journeys", total=None)
        shelf = bootstrap.journeys(settings, store)
        report = audit(
            store,
            shelf.book(),
            bootstrap.policy_of(settings, shelf)(),
            speed=clock.speed,
            since=start,
            progress=lambda step: progress.update(bar, description=step),
        )
    if as_json:
        print_json({"ok": report.ok, **asdict(report), "ads": report.ads._asdict()})
    else:
        _print(report)
    if not report.ok:
        raise SystemExit(FINDINGS)


def _print(report: AuditReport) -> None:
    console = Console(highlight=False)
    table = Table(title="Audit", title_justify="left")
    table.add_column("")
    table.add_column("promise")
    table.add_column("violations", justify="right")
    table.add_column("what was counted", overflow="fold")
    for promise, words in PROMISES.items():
        count = report.promises[promise]
        style = "bold red" if count else "green"
        table.add_row(promise, words, Text(f"{count:,}", style), _counted(report)[promise])
    console.print(table)
    for finding in report.findings:
        shown = ", ".join(finding.examples)
        more = ", …" if finding.count > len(finding.examples) else ""
        line = f"{finding.promise}: {finding.words}: {finding.count:,} ({shown}{more})"
        console.print(Text(line, "red"))
    for fault in report.failing:
        said = f"{fault.error}: {fault.text}" if fault.text else fault.error
        console.print(
            Text(
                f"P10: {fault.journey} (version {fault.version}) failed at {fault.path} "
                f"{fault.n:,} times, last {fault.last_at:%Y-%m-%d %H:%M}: {said} "
                f"({fault.raised_at}); {fault.standing:,} runs stand there, tried again until it "
                f"is mended. See: winback explain {fault.profile_id}",
                "red" if fault.standing else "yellow",
            )
        )
    facts = report.facts
    console.print(
        f"Left to do: {facts['inbox']:,} events in the inbox, {facts['due']:,} messages due, "
        f"{facts['claimed']:,} on the wire, {facts['active']:,} runs under way."
    )
    ads = report.ads
    if ads.members or ads.leaving or ads.let_go:
        told = f"On ad lists: {ads.members:,} members; {ads.still:,} who bought are still there"
        if ads.delay_p50 is not None:
            told += (
                f", {ads.let_go:,} were let go, half within {ads.delay_p50:,.1f} s of their "
                f"order, 99% within {ads.delay_p99:,.1f} s"
            )
        console.print(Text(f"{told}.", "yellow" if ads.still else ""))
    for count, words in (
        (facts["standing_still"], "active runs whose timer stands still: see their reason"),
        (report.unjudged, "cannot be judged any more: versions or profiles have changed since"),
    ):
        if count:
            console.print(Text(f"{count:,} {words}", "yellow"))
    console.print(Text("All promises are kept.", "bold green") if report.ok else "")


def _counted(report: AuditReport) -> dict[str, str]:
    f = report.facts
    return {
        "P1": f"{f['accepted']:,} events accepted, {f['worked']:,} worked, {f['inbox']:,} waiting, "
        f"{f['set_aside']:,} set aside",
        "P2": f"{f['duplicates']:,} repeated events left out, {f['coupons_claimed']:,} codes of "
        f"coupons claimed, {f['coupons_missed']:,} not to be had",
        "P3": f"{f['stopped']:,} runs stopped, {f['cancelled']:,} messages cancelled, "
        f"{report.sent_after_stop:,} sent after their stop; {report.known_late:,} sent before it "
        f"was known; at most {report.wire_ms:,.1f} ms from the gate to the wire",
        "P4": f"{f['sent']:,} sent, {report.duplicate_sends:,} twice, {report.unknown:,} with "
        f"unknown outcome, {f['resolved']:,} resolved since, {f['unresolved']:,} closed without "
        "an answer",
        "P5": f"{f['skipped']:,} refused at the gate",
        "P6": f"{f['runs']:,} runs of {f['worked']:,} events looked at again",
    }
