"""Codes for those who ask for them: claimed for a whole batch, in the transaction that saves it.

The core has gone on as if every pool had codes enough. Where one had none, those shoppers are
worked again with that answer; nothing of them has been written yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from engine.core.coupons import fill
from engine.core.shopper import Shopper
from engine.store import coupons as coupons_store
from engine.store.coupons import Asked
from engine.store.database import Connection

#: By claim its code; None: none was left.
Codes = Mapping[str, str | None]
#: Loads the shoppers of these profiles and works them, with these answers.
Work = Callable[[Iterable[int], Codes], list[Shopper]]


def with_codes(
    connection: Connection, worked: list[Shopper], again: Work, now: datetime
) -> list[Shopper]:
    """The shoppers of ``worked`` with their codes filled in; of those for whom none was left, what
    ``again`` makes of them. What came to nothing is given back."""
    if not any(shopper.outcome.claims for shopper in worked):
        return worked
    codes: dict[str, str | None] = {}
    asked: dict[str, Asked] = {}
    done: list[Shopper] = []
    todo = worked
    while todo:
        asking = {
            claim.id: Asked(*claim)
            for shopper in todo
            for claim in shopper.outcome.claims.values()
            if claim.id not in shopper.codes and claim.id not in codes
        }
        if asking:
            asked |= asking
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
    return done


def _is_surprised(shopper: Shopper, codes: Codes) -> bool:
    """Whether a claim found its pool empty that was taken to get a code."""
    return any(
        id not in shopper.codes and id in codes and codes[id] is None
        for id in shopper.outcome.claims
    )
