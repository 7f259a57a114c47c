"""The fuzzer for some seconds; for as long as one likes: ``make fuzz``."""

from __future__ import annotations

import pytest

from tests.fuzz import loader
from tests.fuzz.mutations import FILES, TEXTS


def test_nothing_breaks_the_loader() -> None:
    loader.attempts(300)()


def test_it_tries_what_loads_and_what_does_not() -> None:
    before = loader.found.copy()
    loader.attempts(150, by=1)()
    tried = loader.found - before
    assert 0 < tried["journeys that load"] < tried["files"]


@pytest.mark.parametrize("text", TEXTS, ids=[file.stem for file in FILES])
def test_what_is_shipped_passes(text: str) -> None:
    before = loader.found["journeys that load"]
    loader.attempt(text)
    assert loader.found["journeys that load"] == before + 1
