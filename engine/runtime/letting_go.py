"""Whether somebody is to come off a list at an ad platform, and nobody has been told yet.

Asked after every transaction of the workers and at every tick, so it costs a few index probes: who
has bought, or said no to ads, is first in the queue (P3), however much else is to be done.
"""

from __future__ import annotations

from datetime import timedelta

from engine.runtime.shell import Shell
from engine.store import listing_calls as calls_store
from engine.store import listing_feed as feed_store
from engine.store import listing_off as off_store
from engine.store.database import Connection

#: How far back it is looked for who said no: what is older waits for the look every five seconds.
LATELY = timedelta(minutes=10)


def letting_go(shell: Shell) -> bool:
    """Whether somebody waits to be let go whom a platform may be told of now."""
    if not shell.policy().audiences:
        return False
    with shell.database.probing() as connection:
        return _waiting(shell, connection)


def pressing(shell: Shell, connection: Connection) -> bool:
    """That, or a platform may be done with what it took: a removal counts once it is confirmed."""
    audiences = shell.policy().audiences
    if not audiences:
        return False
    now = shell.clock.now()
    return _waiting(shell, connection) or calls_store.calls_due(connection, audiences, now)


def _waiting(shell: Shell, connection: Connection) -> bool:
    policy, now = shell.policy(), shell.clock.now()
    audiences = policy.audiences
    fed = [name for name, one in audiences.items() if one.segment]
    return (
        off_store.letting_go(connection, audiences, now)
        or (bool(fed) and feed_store.leavers(connection, fed, now))
        or off_store.refusing(connection, audiences, policy.ads_consent, now, now - LATELY)
    )


def stop_feeding(shell: Shell, before: set[str]) -> set[str]:
    """Let segments go of the lists that the shop's rules no longer have them feed: else who comes
    and goes is written down for ever, and read by nobody. Gives the lists that no rule names now.
    Those go that were so at the look ``before`` too: another process may have read the new rules
    sooner."""
    policy = shell.policy()
    named = {name for name, one in policy.audiences.items() if one.segment}
    named |= {name for name, one in policy.audience_files.items() if one.segment}
    with shell.database.probing() as connection:
        unnamed = feed_store.fed(connection) - named
        if gone := unnamed & before:
            feed_store.stop_feeding(connection, sorted(gone), shell.clock.now())
    return unnamed
