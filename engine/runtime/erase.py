"""Erase one shopper: one act, written down, after which nothing here leads to them.

The lanes and the profile are locked meanwhile, so that a drain is done with what it has in hand or
begins after it, with a new profile that knows nothing. A message goes or is cancelled: what is only
due is cancelled at once, and a call that is on the wire is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from engine.core.erased import digest
from engine.errors import WinbackError
from engine.runtime.explain import Nobody, called
from engine.runtime.shell import Shell
from engine.store import erasure as erasure_store
from engine.store import explain as explain_store
from engine.store import report_counts
from engine.store import segments as segments_store
from engine.store.database import START_AGAIN, Connection
from engine.store.erasure import Erased, Known

#: Seconds of real time after which the worker that claimed a message is taken for dead, as the
#: clock takes it; seconds to wait for a call that is under way; seconds between two looks.
ABANDONED, PATIENCE, LOOK = 120.0, 20.0, 0.1
_TRIES = 10


class InFlight(WinbackError):
    """A message to them is being delivered."""


class WasErased(Nobody):
    """They were erased, and nothing has been heard of them since."""

    def __init__(self, asked: str, erased: Erased) -> None:
        super().__init__(
            f"{asked!r} was erased on {erased.at:%Y-%m-%d %H:%M} UTC by {erased.by}: nothing is "
            "kept that could be told."
        )
        self.erased = erased


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a shopper, in rows by what a person calls them."""

    known: Known
    rows: dict[str, int]


@dataclass(frozen=True, slots=True)
class Done:
    """``at`` is when; ``rows`` were deleted. ``id`` names the act in the table ``erasure``."""

    id: str
    at: datetime
    rows: int
    known: Known


def was_erased(connection: Connection, secret: str, asked: str, country: str) -> Erased | None:
    """Whether somebody who went by ``asked`` was erased."""
    digests = [digest(secret, name) for name in called(asked, country)]
    return erasure_store.lately(connection, digests)


def find(connection: Connection, shell: Shell, asked: str) -> Found:
    """What there is of the shopper called ``asked``, as `winback explain` knows them. Raises
    ``WasErased``, else ``Nobody``."""
    known = _who(connection, shell, asked)
    rows = erasure_store.there_is(connection, known)
    # A block that stands by itself is a rule that was imported, or ours from an erasure.
    waiting = rows["events waiting"] + rows["events set aside"]
    if known.profile is None and not waiting:
        erased = was_erased(connection, shell.secret, asked, shell.policy().shop.country)
        if erased is not None:
            raise WasErased(asked, erased)
        raise Nobody(
            f"Nobody goes by {asked!r}: give a user id, an e-mail address, a phone number with +, "
            "an anonymous id, a cart id, or the number of a profile."
        )
    return Found(known, rows)


def _who(connection: Connection, shell: Shell, asked: str) -> Known:
    names = called(asked, shell.policy().shop.country)
    number = int(asked) if asked.isdecimal() and len(asked) < 20 else None
    profile = explain_store.owner(connection, names, number)
    return Known(profile, names if profile is None else erasure_store.names_of(connection, profile))


def _someone(connection: Connection, shell: Shell, asked: str) -> Known:
    """Who it is, if there is something of them. Counting it all would hold up the lanes."""
    known = _who(connection, shell, asked)
    return known if known.profile is not None else find(connection, shell, asked).known


def erase(
    shell: Shell,
    asked: str,
    by: str,
    *,
    patience: float = PATIENCE,
    wait: Callable[[float], None] = time.sleep,
) -> Done:
    """Erase the shopper called ``asked``. Raises what ``find`` raises, and ``InFlight`` where a
    call to a provider takes longer than ``patience`` seconds: then their due messages are
    cancelled, and nothing more is done."""
    deadline = time.monotonic() + patience
    again = 0
    while True:
        try:
            with shell.database.connection() as connection:
                done = _erase(connection, shell, asked, by)
        except START_AGAIN:
            again += 1
            if again == _TRIES:
                raise
            continue
        if done is not None:
            return done
        if time.monotonic() > deadline:
            raise InFlight(
                "A message to them is with its provider right now, and nobody knows yet how it "
                "went. What else was due to them is cancelled; erase them again in two minutes."
            )
        wait(LOOK)


def _erase(connection: Connection, shell: Shell, asked: str, by: str) -> Done | None:
    """None while a call is under way."""
    erasure_store.lock(connection, _someone(connection, shell, asked).profile)
    # Who they are may have changed while the lanes were waited for.
    known = _someone(connection, shell, asked)
    erasure_store.lock(connection, known.profile)
    now = shell.clock.now()
    if erasure_store.in_flight(connection, known.profile, now - shell.real(ABANDONED)):
        return None
    report_counts.fold(connection, now)
    rows, _, segments = erasure_store.erase(connection, known, now)
    if segments:
        day = now.astimezone(ZoneInfo(shell.policy().shop.timezone)).date()
        days = [segments_store.Day(segment, day, 0, 0, -1) for segment in segments]
        segments_store.count(connection, "erase", days)
    id = str(uuid4())
    digests = [digest(shell.secret, name) for name in known.names]
    erasure_store.write_down(connection, id, by, now, rows, digests)
    return Done(id, now, rows, known)
