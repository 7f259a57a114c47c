"""Whoever asks, together with whomever, whatever dies: a code is handed to one claim at most."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from engine.core.coupons import StandIns
from engine.core.ids import derive
from engine.store import coupons
from engine.store.coupons import Asked
from engine.store.database import Database
from tests.integration.runtime_kit import module_database

NOW = datetime(2026, 3, 2, tzinfo=UTC)
POOLS = ("spring", "winter")
WORKERS = 8


class Turn(NamedTuple):
    """One transaction: these claims, by number; then it commits, dies, or gives the first of them
    back."""

    claims: list[int]
    end: str


TURNS = st.builds(
    Turn,
    # Few numbers: a worker asks again for what it has asked for. Nobody else does, for it has
    # locked the shopper.
    st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True),
    st.sampled_from(["commits", "commits", "commits", "dies", "gives back"]),
)


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with (
        module_database(postgres_url, _template) as made,
        Database(made.url, connections=WORKERS + 1) as wide,
    ):
        yield wide


def asked(worker: int, number: int) -> Asked:
    """Each claim is of one pool, that of its step."""
    id = 2 * (100 * worker + number // 2) + number % 2
    return Asked(str(UUID(int=id)), pool_of(id), str(UUID(int=1000 + id)))


def pool_of(claim: int | str) -> str:
    return POOLS[(claim if isinstance(claim, int) else UUID(claim).int) % 2]


class Died(Exception):
    pass


def work(database: Database, worker: int, turns: list[Turn]) -> list[dict[str, str | None]]:
    """What each committed turn was told."""
    told: list[dict[str, str | None]] = []
    for turn in turns:
        given = {code for found in told for code in found.values() if code is not None}
        asks = [asked(worker, number) for number in turn.claims]
        while True:
            try:
                with database.probing() as connection:
                    found = coupons.claim(connection, asks, NOW)
                    if turn.end == "dies":
                        raise Died
                    if turn.end == "gives back":
                        coupons.give_back(connection, [asks[0].claim])
                        if found[asks[0].claim] not in given:  # else it is an earlier turn's
                            del found[asks[0].claim]
                    missed = [one for one in asks if found.get(one.claim, "") is None]
                    if missed:
                        coupons.note_missed(connection, missed, NOW)
            except Died:
                break
            except (errors.UniqueViolation, errors.DeadlockDetected):
                continue  # as a drain does: start again from what the other wrote
            told.append(found)
            break
    return told


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    supply=st.lists(st.integers(0, 12), min_size=2, max_size=2),
    turns=st.lists(st.lists(TURNS, max_size=4), min_size=WORKERS, max_size=WORKERS),
)
def test_no_code_is_handed_out_twice(
    database: Database, supply: list[int], turns: list[list[Turn]]
) -> None:
    with database.connection() as connection:
        connection.execute("delete from coupon")
        connection.execute("delete from coupon_missed")
        for pool, number in zip(POOLS, supply, strict=True):
            coupons.add(connection, pool, [f"{pool}-{n}" for n in range(number)])
    with ThreadPoolExecutor(WORKERS) as threads:
        told = [
            one
            for each in threads.map(work, [database] * WORKERS, range(WORKERS), turns)
            for one in each
        ]

    with database.connection() as connection:
        rows = connection.execute(
            "select claim::text, code, pool from coupon where claim is not null"
        ).fetchall()
        left = coupons.left(connection, POOLS)
    stored = {claim: code for claim, code, _ in rows}
    assert len(stored) == len(rows)
    answers: dict[str, set[str | None]] = {}
    for found in told:
        for claim, code in found.items():
            answers.setdefault(claim, set()).add(code)
    codes = [code for all_ in answers.values() for code in all_ if code is not None]
    assert len(codes) == len(set(codes)), "a code went to two claims, or a claim got two codes"
    for claim, said in answers.items():
        assert len(said) == 1, "a retry got another answer"
        assert stored.get(claim) == next(iter(said))
    assert stored.keys() <= answers.keys(), "a rollback burnt a code"
    for claim, code, pool in rows:
        assert code.startswith(pool) and pool_of(claim) == pool
    missed = {pool_of(claim) for claim, said in answers.items() if None in said}
    gave_back = any(turn.end == "gives back" for each in turns for turn in each)
    for pool in missed if not gave_back else ():
        assert not left.get(pool), "said to be empty while it was not"


@given(st.sets(st.tuples(st.integers(0, 10**6), st.text(max_size=5), st.integers(0, 50))))
def test_no_stand_in_is_there_twice(visits: set[tuple[int, str, int]]) -> None:
    codes = StandIns()
    claims = {derive(run, path, visit) for run, path, visit in visits}
    assert len({codes[claim] for claim in claims}) == len(claims)
