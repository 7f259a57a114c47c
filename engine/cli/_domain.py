"""What ``winback doctor --domain`` looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.deliverability import domain as sending
from engine.deliverability.records import FileRecords, LiveRecords
from engine.errors import ConfigError
from engine.language.policy import load_policy
from engine.model.check import Check
from engine.model.policy import Policy

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


def _policy(project: Path) -> Policy:
    file = project / "config" / "winback.yaml"
    return load_policy(file)[0] if file.is_file() else Policy()
