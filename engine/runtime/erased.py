"""What a drain does about those who were erased: nobody writes to them again until they say yes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.core import erased as core
from engine.core.shopper import Shopper
from engine.model.event import Event
from engine.runtime.shell import Shell
from engine.store import erasure as erasure_store
from engine.store import identities as identities_store
from engine.store.database import Connection


def without_echoes(shell: Shell, connection: Connection, events: list[Event]) -> list[Event]:
    """``events`` but for providers' reports of messages to somebody who was erased meanwhile: they
    would make a profile of the address."""
    names = {name for event in events if core.echoes(event) for name in event.identifiers}
    if not names:
        return events
    strangers = names - identities_store.owners(connection, names).keys()
    digests = {core.digest(shell.secret, name): name for name in strangers}
    if not digests or not (found := erasure_store.of(connection, list(digests))):
        return events
    gone = {digests[digest] for digest in found}
    return [
        event for event in events if not (core.echoes(event) and gone.issuperset(event.identifiers))
    ]


def block(shell: Shell, connection: Connection, names: Iterable[str]) -> None:
    """Block those of ``names``, which are new here, that were erased."""
    addresses = [name for name in names if core.is_address(name)]
    if not addresses:
        return
    digests = [core.digest(shell.secret, address) for address in addresses]
    found = erasure_store.of(connection, digests)
    if found:
        erasure_store.block(connection, core.blocks(shell.secret, addresses, found))


def unblock(connection: Connection, worked: Sequence[Shopper]) -> None:
    """Lift it for who has just said yes. Their rows must be written."""
    yeses = [
        (shopper.profile.id, consent.channel, consent.at)
        for shopper in worked
        for consent in shopper.outcome.consents
        if consent.granted
    ]
    if yeses:
        erasure_store.unblock(connection, yeses)
