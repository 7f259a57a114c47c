"""Claims of coupons, whatever happens between them: no code is in two messages that went, none is
lost, and what was refused or cancelled comes back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from engine.intake.lanes import LANES
from engine.runtime import drain as drain_module
from engine.runtime import save
from engine.runtime.deliver import Deliverer
from engine.runtime.drain import drain
from engine.store import coupons
from engine.store.database import Database
from tests.integration.runtime_kit import (
    ANSWERS,
    Pipeline,
    emptied,
    module_database,
    pipelines,
)
from tests.integration.test_coupons import AT_ONCE, journey
from tests.unit.core.build import at, order, view

WORKERS = 8
#: Codes that nobody may have read are in their pool.
FORGOTTEN = """
    select c.code from coupon c join message m on m.id = c.claim
     where m.status in ('cancelled', 'skipped') and not exists (
           select from delivery d where d.message_id = m.id
              and (d.outcome is null or d.outcome <> 'refused'))
"""


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, "template_winback") as found:
        yield found


def machine(database: Database) -> type[RuleBasedStateMachine]:
    class Claims(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self._open = pipelines(emptied(database))
            self.shop: Pipeline = self._open.__enter__()(journey(AT_ONCE))
            self.codes: set[str] = set()
            self.people = count()
            self.known: list[int] = []
            self.minutes = count(1)

        def teardown(self) -> None:
            self._open.__exit__(None, None, None)

        @rule(codes=st.integers(1, 5))
        def stock(self, codes: int) -> None:
            new = [f"W{len(self.codes) + n}" for n in range(codes)]
            self.codes.update(new)
            with self.shop.database.connection() as connection:
                coupons.add(connection, "winter", new)

        @rule(people=st.integers(1, 12))
        def come(self, people: int) -> None:
            for _ in range(people):
                n = next(self.people)
                self.known.append(n)
                self.shop.accept(view(who=(f"user:{n}", f"email:{n}@x.de")))

        @rule(data=st.data())
        def buy(self, data: st.DataObject) -> None:
            if self.known:
                n = data.draw(st.sampled_from(self.known))
                when = at(minutes=next(self.minutes))
                self.shop.accept(order(when, id=f"o{n}-{when}", who=(f"user:{n}",)))

        @rule(data=st.data())
        def bounce(self, data: st.DataObject) -> None:
            if self.known:
                n = data.draw(st.sampled_from(self.known))
                self.shop.run_sql(
                    "insert into suppression values (%s, 'email', 'bounce', now())"
                    " on conflict do nothing",
                    f"email:{n}@x.de",
                )

        @rule(answer=st.sampled_from(ANSWERS), killed=st.sets(st.integers(1, 12), max_size=4))
        def work(self, answer: Any, killed: set[int]) -> None:
            """Eight workers, of whom some die just before they commit."""
            self.shop.email.answer = answer
            saved, write = count(1), save.save

            def dies(*given: Any, **more: Any) -> Any:
                done = write(*given, **more)
                if next(saved) in killed:
                    raise KeyboardInterrupt
                return done

            def one(number: int) -> None:
                mine = Deliverer(self.shop.shell, 2)
                try:
                    for turn in range(LANES):
                        try:
                            drain(self.shop.shell, (2 * number + turn) % LANES, 3)
                        except KeyboardInterrupt:
                            continue
                    mine.deliver(number, WORKERS)
                finally:
                    mine.close()

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(drain_module.save, "save", dies)
                with ThreadPoolExecutor(WORKERS) as pool:
                    list(pool.map(one, range(WORKERS)))

        @invariant()
        def no_code_is_in_two(self) -> None:
            sent = [
                code
                for (code,) in self.shop.rows(
                    "select offer->>'coupon' from message"
                    " where status in ('claimed', 'sent', 'unknown', 'due')"
                )
            ]
            assert len(sent) == len(set(sent))
            taken = self.shop.rows("select code from coupon where claim is not null")
            assert set(sent) <= {code for (code,) in taken}

        @invariant()
        def none_is_lost(self) -> None:
            assert {code for (code,) in self.shop.rows("select code from coupon")} == self.codes
            assert self.shop.rows(FORGOTTEN) == []
            orphans = self.shop.rows(
                "select code from coupon where claim is not null"
                " and not exists (select from message m where m.id = claim)"
            )
            assert orphans == []

    return Claims


def test_whatever_happens(database: Database) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine(database),
        settings=settings(
            max_examples=8,
            stateful_step_count=14,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
