"""The shipped recipes through a file platform: whom to leave out, and whom to look for more of."""

from __future__ import annotations

import csv
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from engine import bootstrap
from engine.model.audience import AdFile
from engine.model.policy import Policy
from engine.runtime.segments import search as searching
from engine.settings import Settings
from tests.integration.runtime_kit import LEFT, Make, Pipeline, identify
from tests.integration.segment_kit import Segments
from tests.integration.test_audience_sync import hashed
from tests.unit.core.build import T0, at, event

ROOT = Path(__file__).resolve().parents[2]
JOURNEY = LEFT
RECIPES = ("recent-buyers", "top-customers")


def address(number: int) -> str:
    return f"s{number}@example.com"


@pytest.fixture
def shop(make: Make) -> Pipeline:
    return make()


def test_recent_buyers_and_top_customers_by_file(shop: Pipeline, tmp_path: Path) -> None:
    rules = {}
    for name in RECIPES:
        text = (ROOT / "config" / "segments" / f"{name}.yaml").read_text(encoding="utf-8")
        rules[name.replace("-", "_")] = YAML(typ="safe").load(text)["who"]
    segments = Segments(shop)
    segments.put(**rules)
    for number in range(1, 11):
        who = [f"user:{number}"]
        shop.drain(identify(*who, email=address(number), country="US"))
        spent = {"revenue": Decimal(number * 100), "currency": "USD"}
        shop.drain(event("Order Completed", at(days=number), who=who, **spent))
    shop.drain(identify("user:11", email=address(11), country="US", time=at(days=11)))
    shop.drain(event("Product Viewed", at(days=11), who=["user:11"], product_id="p"))
    searching.work(shop.shell, 5)
    shop.drain()

    out = tmp_path / "out"
    shop.policy = Policy(
        audience_files={
            f"{platform}/{name}": AdFile(f"{platform}/{name}", name, str(out / name))
            for platform, name in (("tiktok", "recent-buyers"), ("x", "top-customers"))
        }
    )
    home = Settings.from_environment({"WINBACK_HOME": str(tmp_path)}, project_dir=tmp_path)
    sync = bootstrap.audience_sync(home, shop.shell)

    def given(name: str) -> set[str]:
        with (out / name / "members.csv").open(encoding="utf-8", newline="") as file:
            return {row[0] for row in list(csv.reader(file))[1:]}

    def emails(*numbers: int) -> set[str]:
        return hashed(*map(address, numbers))

    assert not sync().problems
    assert given("recent-buyers") == emails(*range(1, 11))
    assert given("top-customers") == emails(9, 10), "the fifth of all buyers"

    # A no takes the best off the seed at once, and off the other list too.
    no: dict[str, Any] = {"channel": "ads", "topic": "*"}
    shop.drain(event("Consent Withdrawn", at(days=11, hours=1), who=["user:10"], **no))
    assert not sync().problems
    assert given("recent-buyers") == emails(*range(1, 10))
    assert given("top-customers") == emails(9)

    # Time takes the first buyers off the list to leave out, and those long away off the seed.
    shop.at(T0 + timedelta(days=33, hours=1))
    segments.look()
    assert not sync().problems
    assert given("recent-buyers") == emails(*range(4, 10))
    assert given("top-customers") == set()
    gone = sorted((out / "top-customers").glob("removals-*.csv"))
    assert [file.read_text().splitlines()[1].split(",")[0] for file in gone] == [
        *emails(10),
        *emails(9),
    ]
    assert not sync().handed, "nothing has changed"
