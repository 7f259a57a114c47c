"""``winback send-test``: get a message yourself before any shopper does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import click
import msgspec
from rich.console import Console

from engine import bootstrap
from engine.cli._price import price_document, price_of, size_of
from engine.cli._samples import Sample, Samples
from engine.cli._somebody import somebody
from engine.cli.main import FINDINGS, print_json
from engine.clock import from_environment
from engine.errors import DeliveryError, OutcomeUnknown
from engine.model.message import Email, Rendered, Sms
from engine.model.policy import Policy
from engine.ports import Channel
from engine.settings import Settings


@click.command()
@click.argument("template")
@click.option("--to", required=True, help="Your own address, or number with + for a text message.")
@click.option(
    "--channel",
    type=click.Choice(["email", "sms", "whatsapp"]),
    help="Default: email where --to has an @.",
)
@click.option("--locale", help="Only this language. Default: every language of the template.")
@click.option("--shopper", help="With the data of this shopper; needs DATABASE_URL.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for a program.")
@click.pass_obj
def command(
    project_dir: Path | None,
    template: str,
    to: str,
    channel: str | None,
    locale: str | None,
    shopper: str | None,
    as_json: bool,
) -> int:
    """Send TEMPLATE to yourself through the provider that shoppers get it from.

    The subject begins with [Test]. Nothing is written to the database: no cap is used up, no
    consent asked, and the links to unsubscribe unsubscribe nobody. Of a text message its segments
    and price are told first.

    Exit codes: 0 the provider took all, 1 one was not taken, 2 wrong usage.

    \b
    Example:
      winback send-test cart-left-behind --to asha@shop.example
      winback send-test cart-left-behind --to +919812345678 --locale hi
    """
    settings = Settings.from_environment(project_dir=project_dir)
    samples = Samples(settings.project_dir, public_url=settings.public_url, secret=settings.secret)
    channel = channel or ("email" if "@" in to else "sms")
    clock = from_environment(settings.clock)
    provider = bootstrap.channels(settings, samples.policy, clock)[channel]
    traits, event = somebody(settings, shopper) if shopper else (None, None)
    results = []
    for sample in samples.all(template, channel, locale):
        if traits is not None:
            sample = samples.one(template, channel, sample.locale, traits, event)
        if isinstance(sample.rendered, Sms):
            costs = msgspec.structs.replace(sample.rendered, to=to)
            sample = replace(sample, rendered=costs)
            if not as_json:
                click.echo(f"{sample.name}: {size_of(costs, samples.policy)}")
        results.append((sample, _send(provider, sample, to)))
    _tell(results, provider.name, samples.policy, as_json)
    return FINDINGS if any(result for _, result in results) else 0


def _send(provider: Channel, sample: Sample, to: str) -> str:
    """Hand it over; gives why it was not taken, "" if it was."""
    if sample.rendered is None:
        return sample.error
    try:
        provider.send(_for_me(sample.rendered, to))
    except (DeliveryError, OutcomeUnknown) as error:
        return str(error)
    return ""


def _for_me(rendered: Rendered, to: str) -> Rendered:
    """The same to ``to``, under an id of its own: a test is never taken for a repeat."""
    changed = msgspec.structs.replace(rendered, to=to, message_id=str(uuid4()))
    if isinstance(changed, Email):
        changed = msgspec.structs.replace(changed, subject=f"[Test] {changed.subject}")
    return changed


def _tell(results: list[tuple[Sample, str]], provider: str, policy: Policy, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "provider": provider,
                "sent": [
                    {
                        "message": sample.name,
                        "taken": not why,
                        "reason": why,
                        "segments": getattr(sample.rendered, "segments", None),
                        "price": price_document(price_of(sample.rendered, policy)),
                    }
                    for sample, why in results
                ],
            }
        )
        return
    console = Console(highlight=False)
    for sample, why in results:
        if why:
            console.print(f"[red]not taken[/]  {sample.name}: ", end="")
            console.print(why, markup=False)
        else:
            console.print(f"[green]taken[/]      {sample.name} by {provider}")
