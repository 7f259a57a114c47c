"""Rebuild a list at an ad platform from what is wanted, and take off whoever else is on it.

As each platform documents it. Google ("Replace all members" of the Data Manager guide): all who
are wanted are ingested anew, and when that is over, those go who were last added before it began.
Meta (``usersreplace``): all who are wanted go in the parts of one session, and with the last part
the list is theirs. Neither leaves the list empty in between.

Who is sent is claimed as ever, so a purchase keeps a shopper out of it (P3). At Google removals go
on meanwhile; a session of Meta would bring back whom a removal took off, so they wait for its end,
for the seconds or minutes that its parts take. A call that was lost in a crash is made again at
Google; at Meta a new session begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable
from uuid import uuid4

from engine.model.audience import AdList, Listed, Taken
from engine.runtime.shell import Shell
from engine.store import replacing as store
from engine.store.listings import Member
from engine.store.replacing import Replacing

#: Real seconds by which the platform's clock may be behind: nobody goes who was added so shortly
#: before it began.
MARGIN = 60.0


@runtime_checkable
class Clears(Protocol):
    """A platform that takes off who was last added before a time."""

    def remove_older(self, ad_list: AdList, before: datetime) -> Taken: ...


@runtime_checkable
class Replaces(Protocol):
    """A platform that puts a session's members in the place of all."""

    def replace(
        self,
        ad_list: AdList,
        members: Sequence[Listed],
        request: str,
        part: int,
        last: bool,
        total: int,
    ) -> Taken: ...


class Turn(Protocol):
    """An audience that this process holds; see ``engine.runtime.push``."""

    @property
    def shell(self) -> Shell: ...
    @property
    def ad_list(self) -> AdList: ...
    @property
    def platform(self) -> object: ...

    def add(self) -> bool: ...
    def may_call(self, share: float = 1.0) -> bool: ...
    def claim(self, request: str) -> list[Member]: ...
    def call(self, request: str, call: Callable[[], Taken]) -> bool: ...


def go_on(turn: Turn) -> bool:
    """One step of it, or of putting members on where nothing is rebuilt; whether there was one."""
    audience = turn.ad_list.audience
    with turn.shell.database.connection() as connection:
        one = store.under_way(connection, audience)
        now = turn.shell.clock.now()
        if one is None:
            pass
        elif one.status == "asked":
            return store.begin(connection, one, audience, now)
        elif one.called in ("lost", "failed"):
            # Google's list stands as it was; a session of which a part is lost is not to be saved.
            store.again(connection, one, "asked" if one.part else "adding", now)
            return True
        elif one.status == "ending" and one.called == "done":
            store.end(connection, one, now, "")
            return True
    if one is not None and one.status == "adding":
        if isinstance(turn.platform, Replaces):
            return _part(turn, turn.platform, one)
        if isinstance(turn.platform, Clears):
            return turn.add() or _clear(turn, turn.platform, one)
    return turn.add()


def _clear(turn: Turn, platform: Clears, one: Replacing) -> bool:
    if one.since is None or not turn.may_call():
        return False
    audience, request = turn.ad_list.audience, str(uuid4())
    before = one.since - turn.shell.real(MARGIN)
    with turn.shell.database.connection() as connection:
        if store.unsent(connection, audience, one.since):
            return False
        store.clear(connection, one, audience, request, turn.shell.clock.now())
    return turn.call(request, lambda: platform.remove_older(turn.ad_list, before))


def _part(turn: Turn, platform: Replaces, one: Replacing) -> bool:
    audience, request = turn.ad_list.audience, str(uuid4())
    members = turn.claim(request)
    with turn.shell.database.connection() as connection:
        left = store.unsent(connection, audience) - len(members)
        now = turn.shell.clock.now()
        if members:
            store.part(connection, one, request, last=not left)
        elif not left and one.part:
            store.send_one_again(connection, audience, now)
        elif not left:
            store.end(connection, one, now, "nobody is wanted on it", failed=True)
    if not members:
        return False
    told = [Listed(member.cells, member.consented) for member in members]
    total = max(one.members, len(members))

    def send() -> Taken:
        return platform.replace(turn.ad_list, told, one.session, one.part + 1, not left, total)

    return turn.call(request, send)
