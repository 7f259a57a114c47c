"""What ``winback doctor --domain`` looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from engine.cli._samples import Samples
from engine.deliverability import domain as sending
from engine.deliverability import mail
from engine.deliverability.records import FileRecords, LiveRecords
from engine.errors import ConfigError, WinbackError
from engine.language.policy import load_policy
from engine.model.check import Check
from engine.model.message import Email
from engine.model.policy import Policy
from engine.settings import Settings

#: Says: the domain of `email from` in config/winback.yaml.
OF_THE_SHOP = "-"


def examine(
    project: Path, domain: str, records: Path | None, selectors: Sequence[str]
) -> Iterator[Check]:
    """Checks of ``domain`` as the shop's sender; ``records``: a zone file instead of the DNS.

    Raises ``ConfigError`` where the records cannot be read or the shop names no address.
    """
    policy = _policy(project)
    if domain == OF_THE_SHOP:
        domain = policy.shop.email_from.rpartition("@")[2]
        if not domain:
            raise ConfigError("config/winback.yaml names no `email from`; say --domain=NAME.")
    domain = domain.lower().rstrip(".")
    known = LiveRecords() if records is None else FileRecords(records, domain)
    yield Check("domain", "ok", domain + ("" if records is None else f", by {records.name}"))
    yield from sending.examine(known, domain, policy.providers.get("email", ""), selectors)


def mails(settings: Settings) -> Iterator[Check]:
    """Checks of every mail that the project sends, as the sample shopper gets it; the same thing
    said of several once. Nothing where the project has no templates yet."""
    if not (settings.project_dir / "templates").is_dir():
        return
    try:
        samples = Samples(
            settings.project_dir, public_url=settings.public_url, secret=settings.secret
        )
        shown = list(samples.all(channel="email"))
    except (WinbackError, OSError) as error:
        yield Check("mails", "finding", str(error), "winback lint")
        return
    said: dict[Check, list[str]] = {}
    for sample in shown:
        if not isinstance(sample.rendered, Email):
            said.setdefault(Check("mails", "finding", sample.error), []).append(sample.name)
            continue
        address = samples.policy.shop.address
        for check in mail.examine(sample.rendered, marketing=sample.marketing, address=address):
            if check.state != "ok":
                said.setdefault(check, []).append(sample.name)
    for check, names in said.items():
        where = "every mail" if len(names) == len(shown) else _few(names)
        yield replace(check, says=f"{check.says} ({where})")
    if not any(check.state == "finding" for check in said):
        yield Check("mails", "ok", f"{len(shown)} looked at: size, text part, way out, links")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _policy(project: Path) -> Policy:
    file = project / "config" / "winback.yaml"
    return load_policy(file)[0] if file.is_file() else Policy()
