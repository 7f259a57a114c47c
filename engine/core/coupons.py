"""Codes of coupons: made for a run, or taken out of a pool.

A code of a pool is not decided here, for who gets which depends on who else asks. The core says
which claim asks for a code (``Outcome.claims``) and looks into ``Shopper.codes`` for the answer.
Where there is none yet it goes on as if a code were left, with the claim's id in its place, and
whoever claims the codes puts them in (``fill``). That none is left must be known beforehand, for
it changes what is decided: of a pool that is known to be dry nothing else is expected, and where
that comes as a surprise the shopper is worked again from the start, with that answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from engine.core.decision import Claim, Outcome
from engine.core.ids import derive
from engine.core.shopper import Shopper
from engine.model.enrollment import Enrollment
from engine.model.journey import AnyStep, Journey, OfferStep, Pool, Send

#: What a pool may be called.
POOL_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

#: Letters and digits that nobody takes for others, read out or in any typeface.
_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
#: A million codes of this length have one pair among them that is the same.
_CODE_LENGTH = 8


def coupon(prefix: str, *parts: object) -> str:
    """A code such as ``WB-7KQ2MXPA`` that follows from ``parts``, so that a retry makes the same.
    Nobody can guess another's who does not know the id of their run."""
    number = int(derive("coupon", *parts).replace("-", ""), 16)
    letters = []
    for _ in range(_CODE_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return f"{prefix}-{''.join(letters)}"


def own_code(
    run: Enrollment, step: OfferStep | Send, visits: int, shopper: Shopper, now: datetime
) -> dict[str, Any] | None:
    """What an offer says of the code that this run alone gets: ``coupon`` and ``code``, and of a
    pool its name and the ``claim``; a pool with none left gives the claim without a code (skip).
    None: no code is left, and the run is to exit."""
    if step.generate:
        code = coupon(step.generate, run.id, step.path)
        return {"coupon": code, "code": code}
    if step.pool is None:
        return {}
    return _from_pool(run, step.path, step.pool, visits, shopper, now)


def _from_pool(
    run: Enrollment, path: str, pool: Pool, visits: int, shopper: Shopper, now: datetime
) -> dict[str, Any] | None:
    id = derive(run.id, path, visits)
    shopper.outcome.claims[id] = Claim(id, pool.name, run.id)
    code = shopper.codes.get(id, None if pool.name in shopper.dry else id)
    if code is None:
        shopper.outcome.mark(run.id, path, "none left", none_left(pool.name), now)
        if pool.none_left == "exit":
            return None
        code = pool.instead
    said = {"pool": pool.name, "claim": id}
    return {**said, "coupon": code, "code": code} if code else said


class StandIns(Mapping[str, str | None]):
    """A code for every claim, no two the same: for who runs journeys without the shop's pools."""

    def __getitem__(self, claim: str) -> str:
        return f"STANDIN-{claim.replace('-', '')[:16].upper()}"

    def __iter__(self) -> Iterator[str]:
        raise TypeError("there is no end to them")

    def __len__(self) -> int:
        raise TypeError("there is no end to them")


def none_left(pool: str) -> str:
    """The reason, in words, why a message does not go or a run ends."""
    return f"no code left in pool {pool}"


def lacks_code(offer: Mapping[str, Any]) -> bool:
    """Whether this is an offer of a code that the pool did not have."""
    return "claim" in offer and not offer.get("coupon")


def fill(outcome: Outcome, codes: Mapping[str, str | None]) -> None:
    """Put the claimed ``codes`` (by claim) where their claims' ids stand for them."""
    runs = {outcome.claims[id].enrollment_id for id in codes if id in outcome.claims}
    for id in runs & outcome.enrollments.keys():
        run = outcome.enrollments[id]
        outcome.enrollments[id] = msgspec.structs.replace(run, offer=_filled(run.offer, codes))
    for id in runs & outcome.traces.keys():
        outcome.traces[id] = [
            msgspec.structs.replace(mark, why=codes[mark.why] or "")
            if mark.verdict == "offers" and mark.why in codes
            else mark
            for mark in outcome.traces[id]
        ]
    outcome.messages = [
        msgspec.structs.replace(message, offer=_filled(message.offer, codes))
        if message.enrollment_id in runs
        else message
        for message in outcome.messages
    ]


def _filled(offer: dict[str, Any], codes: Mapping[str, str | None]) -> dict[str, Any]:
    return {
        name: codes[value]
        if isinstance(value, str) and value in codes and name != "claim"
        else value
        for name, value in offer.items()
    }


def pool_of(step: AnyStep) -> str:
    """The pool that the step takes a code from; "" if none."""
    return step.pool.name if isinstance(step, Send | OfferStep) and step.pool else ""


def pools_of(journeys: Iterable[Journey]) -> dict[str, list[str]]:
    """Every pool that the journeys name, with their names."""
    found: dict[str, set[str]] = {}
    for journey in journeys:
        for step in journey.steps.values():
            if pool := pool_of(step):
                found.setdefault(pool, set()).add(journey.name)
    return {pool: sorted(names) for pool, names in sorted(found.items())}
