"""The same on the real pipeline: what the drains, the looks and a search through everybody wrote is
what a naive reading of the YAML says of everything that is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model.event import Event
from engine.store import segment_desk
from engine.store.database import Database
from tests.integration.runtime_kit import Pipeline, module_database, pipelines
from tests.integration.segment_kit import Segments
from tests.property.segment_naive import World, member
from tests.property.segment_strategies import (
    GRID,
    LIMITS,
    MEANINGS,
    OTHER,
    SCALE,
    lives,
    note,
    rules,
)


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as found:
        yield found


def _scored(shop: Pipeline) -> None:
    with shop.database.connection() as connection:
        due = segment_desk.scale_due(connection, shop.clock.now())
        segment_desk.put_scale(connection, due, SCALE.to_json(), shop.clock.now())


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    some=st.lists(rules, min_size=1, max_size=3),
    life=lives,
    batches=st.lists(st.integers(1, 4), max_size=12),
    chance=st.data(),
)
def test_the_store_keeps_what_a_naive_reading_says(
    database: Database,
    some: list[Any],
    life: list[Event],
    batches: list[int],
    chance: st.DataObject,
) -> None:
    by_name = {f"it-{n}": rule for n, rule in enumerate(some)}
    with pipelines(database) as make:
        shop = make()
        with shop.database.connection() as connection:
            segment_desk.keep_lists(connection, {"vip": {"user:1"}})
        segments = Segments(shop)
        world = World(
            lists=frozenset({"vip"}), others={"other": OTHER}, limits=LIMITS, meanings=MEANINGS
        )
        late = chance.draw(st.booleans(), label="put into force only after half of it")
        if not late:
            segments.put(**{name.replace("-", "_"): rule for name, rule in by_name.items()})
            _scored(shop)
        left = list(life)
        sizes = [*batches, *([1] * len(life))]
        while left:
            now, left = left[: sizes[0]], left[sizes[0] :]
            sizes = sizes[1:]
            if late and len(left) <= len(life) // 2:
                late = False
                fill = chance.draw(st.booleans(), label="search before the next events")
                segments.put(
                    fill=False, **{n.replace("-", "_"): rule for n, rule in by_name.items()}
                )
                _scored(shop)
                if fill:
                    segments.fill()
            shop.drain(*now)
            # One batch is worked in the order in which things happened.
            for one in sorted(now, key=lambda one: one.order_key):
                note(world, one)
            shop.drain()
            segments.look()
        segments.fill()
        world.id = shop.profile("user:1")
        for moment in [shop.clock.now() + n * GRID for n in range(0, 24, 3)]:
            # What was told of a shopper waits in the inbox, and holds the next look at them.
            while (done := segments.at(moment)).looked or done.held:
                shop.drain()
            for name, rule in by_name.items():
                expected = member(rule, world, moment, name)
                assert bool(segments.members(name)) == expected, (name, moment)
        before = {name: segments.members(name) for name in by_name}
        with shop.database.connection() as connection:
            segment_desk.search_anew(connection, list(by_name), quiet=True)
        assert segments.fill().mended == 0
        assert {name: segments.members(name) for name in by_name} == before
        size = {name: came - went + other for name, came, went, other in segments.days()}
        assert all(size.get(name, 0) == len(those) for name, those in before.items())
