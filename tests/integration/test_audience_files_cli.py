"""``winback audience sync`` and ``list`` with a file that goes to a place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from engine.store.database import Database
from tests.integration.test_audience_sync import Shopkeeper


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[Shopkeeper]:
    with Database(database_url) as database:
        yield Shopkeeper(database, tmp_path)


def test_it_goes_and_what_keeps_it_is_told(
    shop: Shopkeeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("WINBACK_HOME", str(tmp_path / "home"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config").mkdir()
    config = tmp_path / "config" / "winback.yaml"
    shop.shopper(1, email="a@example.com", country="US")
    shop.run(1, "x/vips")

    def run(*words: str) -> tuple[int, dict[str, object]]:
        asked = ["--project-dir", str(tmp_path), "audience", *words, "--json"]
        done = CliRunner().invoke(group, asked)
        return done.exit_code, json.loads(done.output)

    config.write_text("audiences:\n  x/vips: {to: 's3://shop-audiences/x'}\n")
    code, told = run("sync")
    assert code == 1 and told["problems"] == [
        "x/vips: S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    ]
    assert run("list")[0] == 1, "it waits, and why is told"
    config.write_text("audiences:\n  x/vips: {to: out, format: jsonl}\n")
    code, told = run("sync")
    assert code == 0, "tried at once, without waiting"
    assert told["handed over"] == [
        {"audience": "x/vips", "members": 1, "added": 1, "removed": 0, "problem": ""}
    ]
    [row] = (tmp_path / "home" / "out" / "members.jsonl").read_text().splitlines()
    assert list(json.loads(row)) == ["email"]
    assert run("list")[0] == 0
    code, told = run("show", "x/vips")
    assert [call["status"] for call in told["calls"]] == ["done", "failed"]  # type: ignore[attr-defined]
