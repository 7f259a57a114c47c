"""A changed segment in the plan: what it said is what happens when the file comes into force."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.language import load_segments
from engine.runtime.blast import newcomers
from engine.runtime.segments.files import put_into_force
from engine.runtime.segments.look import look
from engine.runtime.segments.search import search
from engine.store import segment_desk
from engine.store.database import Database
from tests.integration.runtime_kit import LEFT, emptied
from tests.integration.versions_kit import World, new_project
from tests.unit.core.build import T0, at, event

JOURNEY = LEFT
RICH = """\
journey: rich
trigger: {segment: {entered: rich}, again: always}
stop: {event: Order Completed, goal: true}
steps:
  - {send: email, template: hello, topic: orders}
  - wait: 1 hour
  - {send: email, template: hello, topic: orders}
"""
GONE = RICH.replace("rich\ntrigger", "gone\ntrigger").replace("entered: rich", "left: rich")
NOW = at(days=2)


@pytest.fixture
def world(module_shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("engine.runtime.shelf.EVERY", 0.0)
    project = new_project(tmp_path / "shop", rich=RICH, gone=GONE)
    (project / "config/segments").mkdir()
    (project / "config/winback.yaml").write_text("topics: {orders: {consent: none}}\n")
    made = World(emptied(module_shop), project, T0 - timedelta(days=1))
    made.apply(allowed=9999)
    write(made, "at least 3")
    in_force(made)
    for number in range(12):  # who has ordered so often, the last time a day or two ago
        for order in range(number % 6):
            time = at(hours=20 + order + 12 * (number % 2))
            made.clock.move_to(max(made.clock.now(), T0))
            made.accept(event("Order Completed", time, who=[f"user:{number}"]))
    made.clock.move_to(NOW)
    made.work(NOW)
    while look(made.shell).looked:
        made.work(NOW)
    return made


def write(world: World, times: str, more: str = "") -> None:
    rule = f"{{did: Order Completed, times: {times}{more}}}"
    text = f"segment: rich\nwho: {rule}\n"
    (world.project / "config/segments/rich.yaml").write_text(text)


def in_force(world: World) -> None:
    found = load_segments(world.project / "config/segments", policy=world.shelf.policy())
    assert found.diagnostics == []
    put_into_force(world.database, world.clock, found)
    while search(world.shell).place is not None:
        pass


def members(world: World) -> set[int]:
    with world.database.connection() as connection:
        return set(segment_desk.members(connection, "rich"))


@pytest.fixture
def plan(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", world.database.url)
    monkeypatch.setenv("WINBACK_CLOCK", f"0.000001@{NOW.isoformat()}")

    def run(*words: str) -> Any:
        told = CliRunner().invoke(
            group,
            ["--project-dir", str(world.project), "plan", *words],
            standalone_mode=False,
        )
        assert told.exception is None, told.output
        return told

    return run


def test_what_the_plan_said_is_what_happens(world: World, plan: Any) -> None:
    before = members(world)
    write(world, "2 to 4")
    document = json.loads(plan("--json").stdout)["segments"]
    (change,) = document["changes"]
    in_force(world)
    after = members(world)
    assert change["segment"] == "rich" and change["change"] == "changed"
    assert change["journeys"] == ["gone", "rich"]
    assert change["members"] == len(before) == 6
    assert change["come"] == len(after - before) == 2
    assert change["go"] == len(before - after) == 2
    assert json.loads(plan("--json").stdout)["segments"]["changes"] == []


def test_who_would_come_in_a_day_counts_for_the_blast_radius(world: World, plan: Any) -> None:
    write(world, "at least 1")
    document = json.loads(plan("--json").stdout)["segments"]
    (change,) = document["changes"]
    # Ten ordered once or more; the six who did so yesterday would have come in by it. On the
    # busiest day of the old definition it was four.
    assert (change["come"], change["entered"]) == (4, 6)
    assert document["parts"] == [
        {"journey": "rich", "who": "more by rich", "people": 2, "messages": 4}
    ]


def test_a_new_segment_counts_all_who_would_have_come(world: World, plan: Any) -> None:
    text = (world.project / "journeys/rich.yaml").read_text()
    (world.project / "journeys/rich.yaml").write_text(text.replace("entered: rich", "entered: new"))
    (world.project / "config/segments/new.yaml").write_text(
        "segment: new\nwho: {did: Order Completed, within: 30 hours}\n"
    )
    told = plan("--json", "--allow", "3")
    document = json.loads(told.stdout)["segments"]
    (change,) = document["changes"]
    assert (change["change"], change["members"]) == ("new", 0)
    # Four of the ten ordered two days ago: they would not have come in the last day.
    assert (change["come"], change["entered"]) == (10, 6)
    assert document["messages"] == 2 * 6
    assert told.return_value == 1, "more than is allowed"
    told = plan("--allow", "99")
    assert "new new: 0 members, 10 come in and 0 go out at once" in told.output
    assert "rich: 6 a day more by new, up to 12 messages" in told.output


def test_a_segment_that_is_removed_is_told(world: World, plan: Any) -> None:
    (world.project / "config/segments/rich.yaml").unlink()
    assert "rich removed; gone, rich hear of it" in plan("--allow", "99").output


def test_a_broken_file_stays_in_force(world: World, plan: Any) -> None:
    (world.project / "config/segments/rich.yaml").write_text("segment: rich\nwho: {dit: x}\n")
    told = plan("--json")
    document = json.loads(told.stdout)
    assert document["segments"]["changes"] == [] and told.return_value == 1
    assert "dit" in json.dumps(document["errors"])


def test_newcomers_of_a_segment_are_those_of_this_one(world: World) -> None:
    journeys = dict(world.wanted().journeys)
    other = RICH.replace("entered: rich", "entered: other").replace("journey: rich", "journey: o")
    world.write("o", other)
    journeys = dict(world.wanted().journeys)
    with world.database.connection() as connection:
        found = newcomers(connection, journeys, NOW)
    assert found == {"rich": 4, "gone": 0, "o": 0}
