"""The simulation against the arithmetic, on the real recordings, to the message."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli.main import group
from tests.journeys import arithmetic
from tests.shared_data import shared

ORDERS = "online_retail_uci/orders.segment.jsonl.gz"
VIEWS = "retailrocket_sample/views.segment.jsonl.gz"
ANSWERS = Path(__file__).parent / "answers"


def simulate(journeys: Path, recording: Path, until: str) -> dict[str, dict[str, int]]:
    words = ["simulate", "--journeys", journeys, "--events", recording, "--until", until]
    result = CliRunner().invoke(group, [*map(str, words), "--bare", "--json"])
    assert result.exit_code == 0, result.output
    found: dict[str, dict[str, int]] = json.loads(result.stdout)["journeys"]
    return found


def with_other_words(tmp_path: Path, name: str, old: str, new: str) -> Path:
    text = (ANSWERS / f"{name}.yaml").read_text("utf-8")
    assert old in text
    (tmp_path / f"{name}.yaml").write_text(text.replace(old, new), "utf-8")
    return tmp_path


@pytest.mark.parametrize(("days", "until"), [(30, 60), (7, 60), (30, 3)])
def test_win_back_agrees_with_the_arithmetic(tmp_path: Path, days: int, until: int) -> None:
    recording = shared(ORDERS)
    journeys = with_other_words(tmp_path, "win-back", "30 days", f"{days} days")
    found = simulate(journeys, recording, f"{until}d")["win-back"]
    events = arithmetic.recorded(recording)
    due = arithmetic.win_back(events, timedelta(days=days), timedelta(days=until))
    orders = sum(event["event"] == "Order Completed" for event in events)
    assert found["messages"] == len(due)
    assert found["enrolled"] == orders
    assert found["stopped"] == found["goals"]
    if until >= days:  # every run has ended, one way or the other
        assert found["messages"] + found["stopped"] == orders


@pytest.mark.parametrize(("again", "until"), [("30 days", 60), ("1 day", 60), ("30 days", 0)])
def test_left_behind_agrees_with_the_arithmetic(tmp_path: Path, again: str, until: int) -> None:
    recording = shared(VIEWS)
    journeys = with_other_words(tmp_path, "left-behind", "after 30 days", f"after {again}")
    found = simulate(journeys, recording, f"{until}d")["left-behind"]
    days = timedelta(days=int(again.split()[0]))
    due = arithmetic.left_behind(
        arithmetic.recorded(recording), timedelta(hours=2), days, timedelta(days=until)
    )
    assert found["messages"] == len(due)
    assert found["stopped"] == 0


def test_the_shipped_answers_as_they_stand() -> None:
    """Both journeys in one folder, each on the recording that is not its own: no crosstalk."""
    found = simulate(ANSWERS, shared(VIEWS), "60d")
    assert found["left-behind"]["messages"] == 6736
    assert found["win-back"] == dict.fromkeys(found["win-back"], 0)
