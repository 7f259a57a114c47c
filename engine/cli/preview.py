"""``winback preview``: see the messages before anybody gets them."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from engine.cli._browser import find_browser, picture
from engine.cli._gallery import gallery
from engine.cli._price import price_document, price_of, size_of
from engine.cli._samples import Sample, Samples
from engine.cli._somebody import somebody
from engine.cli.main import FINDINGS, print_json
from engine.deliverability import mail as mails
from engine.errors import ConfigError
from engine.model.check import Check
from engine.model.message import Email, Sms, WhatsApp
from engine.model.policy import Policy
from engine.settings import Settings

#: CSS pixels: an iPhone, and the reading pane of a desktop program.
WIDTHS = {"phone": 390, "desktop": 700}


@click.command()
@click.argument("template", required=False)
@click.option(
    "--channel", type=click.Choice(["email", "sms", "whatsapp"]), help="Only this channel."
)
@click.option("--locale", help="Only this language: en, hi, ur …")
@click.option("--shopper", help="As this shopper would get it; needs DATABASE_URL.")
@click.option(
    "--event",
    "event_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The properties of the event that the message is about, as JSON in a file.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write the pages. Default: preview/ in WINBACK_HOME.",
)
@click.option("--png", is_flag=True, help="Pictures too: phone and desktop, light and dark.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for a program.")
@click.pass_obj
def command(
    project_dir: Path | None,
    template: str | None,
    channel: str | None,
    locale: str | None,
    shopper: str | None,
    event_file: Path | None,
    out: Path | None,
    png: bool,
    open_it: bool,
    as_json: bool,
) -> int:
    """Render TEMPLATE, or all of them, to pages that you can look at, and check each mail.

    Without --shopper a shopper who does not exist looks at a product that does not exist, in each
    language that the template has. Nothing is sent. For text messages it tells how many segments
    they are billed as, and what they cost by the prices of config/winback.yaml.

    Exit codes: 0 all fine, 1 a message cannot be rendered or has a finding, 2 wrong usage.

    \b
    Example:
      winback preview
      winback preview cart-left-behind --locale ur --png
      winback preview cart-left-behind --shopper asha@example.com --open
    """
    settings = Settings.from_environment(project_dir=project_dir)
    samples = Samples(settings.project_dir, public_url=settings.public_url, secret=settings.secret)
    traits, event = somebody(settings, shopper) if shopper else (None, None)
    if event_file is not None:
        event = _read_event(event_file)
    folder = out or settings.home / "preview"
    folder.mkdir(parents=True, exist_ok=True)
    shown = [
        (sample, list(_checks(samples, sample)))
        for sample in _wanted(samples, template, channel, locale, traits, event)
    ]
    for sample, _ in shown:
        _write(folder, sample)
    (folder / "index.html").write_text(gallery(shown), "utf-8")
    pictures = _pictures(folder, [s for s, _ in shown], quiet=as_json) if png else []
    bad = sum(_is_bad(sample, checks) for sample, checks in shown)
    if as_json:
        print_json(_told(folder, shown, pictures, samples.policy))
    else:
        _print(folder, shown, pictures, samples.policy)
    if open_it:
        webbrowser.open((folder / "index.html").absolute().as_uri())
    return FINDINGS if bad else 0


def _wanted(
    samples: Samples,
    template: str | None,
    channel: str | None,
    locale: str | None,
    traits: dict[str, Any] | None,
    event: dict[str, Any] | None,
) -> Iterator[Sample]:
    """In a shopper's own language alone, where we know one."""
    if traits is not None and locale is None and isinstance(traits.get("locale"), str):
        locale = traits["locale"]
    for sample in samples.all(template, channel, locale):
        if traits is None and event is None:
            yield sample
        else:
            yield samples.one(sample.template, sample.channel, sample.locale, traits, event)


def _checks(samples: Samples, sample: Sample) -> Iterator[Check]:
    if isinstance(sample.rendered, Email):
        address = samples.policy.shop.address
        yield from mails.examine(sample.rendered, marketing=sample.marketing, address=address)


def _is_bad(sample: Sample, checks: list[Check]) -> bool:
    return bool(sample.error) or any(check.state == "finding" for check in checks)


def _write(folder: Path, sample: Sample) -> None:
    name = sample.name.replace("/", "-")
    if isinstance(sample.rendered, Email):
        (folder / f"{name}.html").write_text(sample.rendered.html, "utf-8")
        (folder / f"{name}.txt").write_text(sample.rendered.text, "utf-8")
    elif isinstance(sample.rendered, Sms | WhatsApp):
        (folder / f"{name}.txt").write_text(sample.rendered.body, "utf-8")


def _pictures(folder: Path, shown: list[Sample], *, quiet: bool) -> list[Path]:
    browser = find_browser()
    work = [
        (sample, screen, dark)
        for sample in shown
        if isinstance(sample.rendered, Email)
        for screen in WIDTHS
        for dark in (False, True)
    ]
    made = []
    console = Console(stderr=True)
    for sample, screen, dark in track(work, "pictures", console=console, disable=quiet):
        name = sample.name.replace("/", "-")
        into = folder / f"{name}.{screen}{'.dark' if dark else ''}.png"
        picture(browser, folder / f"{name}.html", into, width=WIDTHS[screen], dark=dark)
        made.append(into)
    return made


def _read_event(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} is not JSON: {error}.") from None
    properties = found.get("properties", found) if isinstance(found, dict) else None
    if not isinstance(properties, dict):
        raise ConfigError(f'{file} must hold an object, such as {{"name": "Lamp"}}.')
    return properties


def _told(
    folder: Path, shown: list[tuple[Sample, list[Check]]], pictures: list[Path], policy: Policy
) -> dict[str, Any]:
    return {
        "page": str(folder / "index.html"),
        "messages": [
            {
                "template": sample.template,
                "channel": sample.channel,
                "locale": sample.locale,
                "subject": getattr(sample.rendered, "subject", None),
                "segments": getattr(sample.rendered, "segments", None),
                "encoding": getattr(sample.rendered, "encoding", None),
                "price": price_document(price_of(sample.rendered, policy)),
                "error": sample.error,
                "checks": [
                    {"name": c.name, "state": c.state, "says": c.says, "mend": c.mend}
                    for c in checks
                ],
            }
            for sample, checks in shown
        ],
        "pictures": [str(path) for path in pictures],
    }


def _print(
    folder: Path, shown: list[tuple[Sample, list[Check]]], pictures: list[Path], policy: Policy
) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("message", "says", "size"):
        table.add_column(column, overflow="fold" if column == "says" else "ellipsis")
    everywhere = _everywhere(shown)
    for sample, checks in shown:
        table.add_row(sample.name, _says(sample), _size(sample, policy))
        for check in checks:
            if check.state != "ok" and check not in everywhere:
                table.add_row("", _said(check), "")
    console.print(table)
    console.print()
    for check in everywhere:
        console.print("In every mail, ", _said(check), sep="", highlight=False)
    console.print(f"See {folder / 'index.html'}", highlight=False, soft_wrap=True)
    if pictures:
        console.print(f"and {len(pictures)} pictures beside it.", highlight=False)


def _everywhere(shown: list[tuple[Sample, list[Check]]]) -> list[Check]:
    """What is to be said of every mail, where there are several: once is enough."""
    mails = [checks for sample, checks in shown if isinstance(sample.rendered, Email)]
    if len(mails) < 3:
        return []
    return [
        check
        for check in mails[0]
        if check.state != "ok" and all(check in checks for checks in mails)
    ]


def _said(check: Check) -> Text:
    style = "bold red" if check.state == "finding" else "yellow"
    mend = f" ({check.mend})" if check.mend else ""
    return Text(f"{check.name}: {check.says}{mend}", style)


def _says(sample: Sample) -> Text:
    if isinstance(sample.rendered, Email):
        return Text(sample.rendered.subject)
    if isinstance(sample.rendered, Sms | WhatsApp):
        return Text(sample.rendered.body.replace("\n", " "))
    return Text(sample.error, "bold red")


def _size(sample: Sample, policy: Policy) -> str:
    if isinstance(sample.rendered, Email):
        return f"{len(sample.rendered.html.encode()) / 1024:.0f} KB"
    if isinstance(sample.rendered, Sms):
        return size_of(sample.rendered, policy)
    return ""
