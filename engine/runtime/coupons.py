"""Codes for those who ask for them: claimed for a whole batch, in the transaction that saves it.

The core has gone on as if every pool had codes enough. Where one had none, those shoppers are
worked again with that answer; nothing of them has been written yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from engine.core.coupons import fill
from engine.core.shopper import Shopper
from engine.runtime.shell import Shell
from engine.store import coupons as coupons_store
from engine.store.coupons import Asked
from engine.store.database import Connection

#: By claim its code; None: none was left.
Codes = Mapping[str, str | None]
#: Loads the shoppers of these profiles and works them, with these answers.
Work = Callable[[Iterable[int], Codes], list[Shopper]]


def dry_pools(connection: Connection, shell: Shell) -> frozenset[str]:
    """Of the pools that this worker has found without a code those that still have none. Nobody
    holds one either that may yet come back: a claim that is not committed leaves it there to see.
    """
    if not shell.dry:
        return frozenset()
    dry = coupons_store.dry(connection, sorted(shell.dry))
    shell.dry &= dry
    return frozenset(dry)


def with_codes(
    connection: Connection, worked: list[Shopper], again: Work, now: datetime, dry: set[str]
) -> list[Shopper]:
    """The shoppers of ``worked`` with their codes filled in; of those for whom none was left, what
    ``again`` makes of them. What came to nothing is given back. Pools that were found without a
    code are put into ``dry``."""
    if not any(shopper.outcome.claims for shopper in worked):
        return worked
    codes: dict[str, str | None] = {}
    asked: dict[str, Asked] = {}
    done: list[Shopper] = []
    todo = worked
    while todo:
        asking: dict[str, Asked] = {}
        hopeless: dict[str, Asked] = {}
        for shopper in todo:
            for claim in shopper.outcome.claims.values():
                if claim.id not in shopper.codes and claim.id not in codes:
                    which = hopeless if claim.pool in shopper.dry else asking
                    which[claim.id] = Asked(*claim)
        asked |= asking | hopeless
        if hopeless:
            codes |= dict.fromkeys(hopeless) | coupons_store.known(connection, list(hopeless))
        if asking:
            codes |= coupons_store.claim(connection, asking.values(), now)
        surprised = [shopper.profile.id for shopper in todo if _is_surprised(shopper, codes)]
        for shopper in todo:
            if shopper.profile.id not in surprised:
                fill(shopper.outcome, codes)
                done.append(shopper)
        todo = again(surprised, dict(codes)) if surprised else []
    used = {
        claim.id
        for shopper in done
        for claim in shopper.outcome.claims.values()
        if claim.enrollment_id in shopper.outcome.enrollments
    }
    if unused := [id for id, code in codes.items() if code is not None and id not in used]:
        coupons_store.give_back(connection, unused)
    if missed := [asked[id] for id, code in codes.items() if code is None and id in used]:
        coupons_store.note_missed(connection, missed, now)
    dry |= {asked[id].pool for id, code in codes.items() if code is None}
    return done


def _is_surprised(shopper: Shopper, codes: Codes) -> bool:
    """Whether a claim found its pool empty that was taken to get a code, or the other way."""
    return any(
        id in codes and (codes[id] is None) != (claim.pool in shopper.dry)
        for id, claim in shopper.outcome.claims.items()
        if id not in shopper.codes
    )
