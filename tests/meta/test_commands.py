"""What all commands have in common: help with an example, exit codes, errors for people."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from engine import __version__
from engine.cli import main as cli
from engine.cli.main import group
from engine.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = group.list_commands(click.Context(group))


def test_every_file_is_a_command_in_the_order_people_meet_them() -> None:
    files = {
        path.stem.removesuffix("_").replace("_", "-")
        for path in (ROOT / "engine" / "cli").glob("*.py")
        if path.stem != "main" and not path.stem.startswith("_")
    }
    assert set(COMMANDS) == files
    known = [name for name in cli.ORDER if name in files]
    assert COMMANDS[: len(known)] == known


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_names_the_command(name: str) -> None:
    told = CliRunner().invoke(group, [name, "--help"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith(f"Usage: cli {name}") or f" {name} " in told.output
    _, _, example = told.output.partition("Example:\n")
    # \b in the docstring keeps its lines apart; without it click makes one paragraph of them.
    first = example.splitlines()[0]
    assert "winback" in first and name in first.split(), told.output


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_wrong_usage(name: str) -> None:
    told = CliRunner().invoke(group, [name, "--no-such-option"])
    assert told.exit_code == 2, told.output


def winback(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
    )


def test_help_lists_the_commands() -> None:
    told = winback("--help")
    assert told.returncode == 0
    assert all(f"\n  {name} " in told.stdout for name in COMMANDS)


def test_the_version() -> None:
    assert winback("--version").stdout == f"winback, version {__version__}\n"


def test_a_misspelt_command_is_recognised() -> None:
    told = winback("docter")
    assert told.returncode == 2
    assert "Did you mean 'doctor'?" in told.stderr


def test_a_project_that_is_not_there_is_wrong_usage() -> None:
    told = winback("--project-dir", "/no/such/place", "doctor")
    assert told.returncode == 2
    assert "/no/such/place" in told.stderr


@pytest.mark.parametrize(
    ("does", "code", "says"),
    [
        (lambda: None, 0, ""),
        (lambda: 0, 0, ""),
        (lambda: cli.FINDINGS, 1, ""),
        (lambda: raising(ConfigError("Set the thing.")), 1, "Set the thing.\n"),
        (lambda: raising(click.UsageError("Not like this.")), 2, "Not like this."),
        (lambda: raising(KeyboardInterrupt()), 130, "Stopped."),
        (lambda: raising(click.exceptions.Exit(1)), 1, ""),
    ],
)
def test_exit_codes_and_errors(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    does: object,
    code: int,
    says: str,
) -> None:
    monkeypatch.setattr(cli.group, "main", click.Command("x", callback=does).main)  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "argv", ["winback"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == code
    told = capsys.readouterr()
    assert says in told.err
    assert "Traceback" not in told.err
    if not says:
        assert told.err == ""


def raising(error: BaseException) -> None:
    raise error
