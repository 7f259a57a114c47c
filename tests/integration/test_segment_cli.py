"""``winback segment`` on a shop with a few shoppers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import group
from engine.clock import ManualClock
from engine.runtime.segments import search
from engine.runtime.segments.files import SegmentFiles
from engine.store.database import Database
from tests.integration.runtime_kit import LEFT, Pipeline, identify
from tests.unit.core.build import event, order, view

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
SEGMENTS = {
    "lookers": "title: Looked within a week\nwho: {did: Product Viewed, within: 7 days}\n",
    "unsold": "who:\n  - in segment: lookers\n  - did not: Order Completed\n",
}


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str) -> Iterator[Pipeline]:
    folder = tmp_path / "config" / "segments"
    folder.mkdir(parents=True)
    for name, text in SEGMENTS.items():
        (folder / f"{name}.yaml").write_text(f"segment: {name}\n{text}")
    (tmp_path / "journeys").mkdir()
    for name, value in {
        "DATABASE_URL": database_url,
        "WINBACK_PROJECT_DIR": str(tmp_path),
        "WINBACK_HOME": str(tmp_path / "var"),
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("engine.cli._changes.from_environment", lambda _: ManualClock(NOW))
    with Database(database_url) as database:
        made = Pipeline(database, [LEFT])
        made.clock.move_to(NOW - timedelta(days=6))
        SegmentFiles(database, made.clock, made.shell.policy, tmp_path).look()
        search.work(made.shell, 5)
        yield made
        made.close()


def fill(shop: Pipeline) -> None:
    early, late = NOW - timedelta(days=5), NOW - timedelta(hours=1)
    shop.drain(
        *[view(early, who=[f"user:{n}", f"email:shopper{n}@example.org"]) for n in range(4)],
        identify("user:9", time=early),
    )
    shop.drain(order(late, who=["user:1"]), view(late, who=["user:2"]))
    shop.drain()


def winback(*words: str) -> Result:
    return CliRunner().invoke(group, ["segment", *words], standalone_mode=False)


def document(*words: str) -> Any:
    told = winback(*words, "--json")
    assert told.exception is None, told.output
    return json.loads(told.output)


def test_list(shop: Pipeline) -> None:
    fill(shop)
    found = {each["segment"]: each for each in document("list")["segments"]}
    assert {name: each["members"] for name, each in found.items()} == {"lookers": 4, "unsold": 3}
    assert (found["unsold"]["left_today"], found["unsold"]["entered_today"]) == (1, 0)
    assert found["lookers"]["searched"] == 1.0
    assert "Looked within a week" in winback("list").output


def test_show_tells_growth_overlap_and_hides_addresses(shop: Pipeline) -> None:
    fill(shop)
    shown = document("show", "unsold", "--days", "7")
    sizes = [(each["entered"], each["left"], each["size"]) for each in shown["growth"]]
    assert sizes == [(0, 0, 0), (3 + 1, 0, 4), *[(0, 0, 4)] * 4, (0, 1, 3)]
    assert shown["overlaps"] == [{"segment": "lookers", "members": 3}]
    told = winback("show", "unsold").output
    assert "3 members" in told and "lookers: 3 (100%)" in told
    assert "example.org" not in told and "shopper" not in told
    assert "email:…" in told
    assert len(shown["sample"]) == 3


def test_explain_says_why_rule_by_rule(shop: Pipeline) -> None:
    fill(shop)
    told = winback("explain", "unsold", "shopper1@example.org").output
    assert "unsold  not in" in told
    assert "yes in segment lookers  unsold.yaml:3" in told
    assert "yes did Product Viewed within 7 days: at least 1 times (it is 1)" in told
    assert "no  did not Order Completed (it is 1)  unsold.yaml:4" in told
    found = document("explain", "user:2")["segments"]
    assert [(each["segment"], each["member"]) for each in found] == [
        ("lookers", True),
        ("unsold", True),
    ]
    assert found[0]["until"].startswith("2026-03-17T11:00:00.000001") or found[0][
        "until"
    ].startswith("2026-03-17 11:00:00.000001")
    assert found[0]["stored"]["member"]
    nobody = winback("explain", "lookers", "nobody@example.org")
    assert nobody.exception is not None and "Nobody goes by" in str(nobody.exception)


def test_recompute_finds_nothing_and_mends_what_is_damaged(shop: Pipeline) -> None:
    fill(shop)
    done = document("recompute")
    assert (done["mended"], done["shoppers"]) == (0, 5)
    assert done["segments"] == {"lookers": 4, "unsold": 3}
    shop.run_sql("update segment_member set member = false where segment = 'lookers'")
    done = document("recompute", "lookers")
    assert (done["mended"], done["segments"]) == (4, {"lookers": 4})
    assert winback("recompute").return_value == 0


def test_recompute_puts_new_files_into_force(shop: Pipeline, tmp_path: Path) -> None:
    fill(shop)
    file = tmp_path / "config" / "segments" / "new.yaml"
    file.write_text("segment: new\nwho: {did: Order Completed}\n")
    told = winback("recompute", "new")
    assert told.return_value == 0 and "new: 1 members (new definition)" in told.output
    before = shop.one("select count(*) from event where name like 'Segment %%'")
    shop.drain(event("Page", NOW))
    assert shop.one("select count(*) from event where name like 'Segment %%'") == before


@pytest.mark.parametrize("words", [("show", "lokers"), ("explain", "lokers", "user:1"),
                                   ("recompute", "lokers")])  # fmt: skip
def test_a_name_that_is_not_there_is_wrong_usage(shop: Pipeline, words: tuple[str, ...]) -> None:
    told = CliRunner().invoke(group, ["segment", *words])
    assert told.exit_code == 2
    assert "did you mean 'lookers'?" in told.output
