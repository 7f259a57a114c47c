"""What the tests of the runtime stand on: a database a module, and pipelines on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.store.database import Database
from tests.integration.runtime_kit import Make, module_database, pipelines


@pytest.fixture(scope="module")
def module_shop(postgres_url: str, _template: str) -> Iterator[Database]:
    """A migrated database for all tests of a module."""
    with module_database(postgres_url, _template) as database:
        yield database


@pytest.fixture
def make(module_shop: Database, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes pipelines of journeys; without one, of the module's ``JOURNEY``."""
    usual = request.module.JOURNEY
    with pipelines(module_shop) as make:
        yield lambda *journeys, **more: make(*(journeys or (usual,)), **more)
