"""What becomes of the faults of journeys: each is counted, each kind is logged once (P10)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from engine.core.decision import Failure
from engine.core.shopper import Shopper
from engine.runtime.shell import Shell
from engine.store import failures as failures_store
from engine.store.database import Connection
from engine.store.failures import Counted

log = logging.getLogger(__name__)


def report(
    shell: Shell, connection: Connection, shoppers: Iterable[Shopper], writer: str, now: datetime
) -> int:
    """Count what journeys raised for ``shoppers``, in the transaction that writes the rest; gives
    how often."""
    counted: dict[tuple[str, str, str, str], Counted] = {}
    total = 0
    for shopper in shoppers:
        for found in shopper.outcome.failures:
            total += 1
            kind = found.journey, found.version, found.path, found.error
            before = counted[kind].n if kind in counted else 0
            counted[kind] = Counted(*kind, before + 1, found.text, found.where, shopper.profile.id)
            _tell(shell, found, shopper.profile.id)
    if counted:
        failures_store.add(connection, writer, counted.values(), now)
    return total


def _tell(shell: Shell, found: Failure, profile: int) -> None:
    kind = found.journey, found.version, found.path, found.error
    if kind in shell.told:
        return
    shell.told.add(kind)
    log.error(
        "journey %s (version %s) fails at %s: %s: %s (%s). Its runs stand there and are tried "
        "again; other journeys go on. Seen first for profile %d; more of it is only counted: "
        "winback audit",
        *(found.journey, found.version, found.path, found.error, found.text, found.where, profile),
    )
