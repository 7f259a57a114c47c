"""The house itself: what is packed, pinned and promised by its files."""

from __future__ import annotations

import ast
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LOCK = (ROOT / "requirements.lock").read_text()
TOP = {"engine", "journeys", "templates", "workers", "tests", "config"}
BESIDE = {
    *("pyproject.toml", "Procfile", "README.md", "CHANGELOG.md", "LICENSE", "Makefile"),
    *("requirements.lock", ".ci", ".gitignore"),
}


def files() -> Iterator[Path]:
    """All that git keeps, or would: what is ignored is no part of the house."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def test_the_top_level_is_the_given_one() -> None:
    there = {path.relative_to(ROOT).parts[0] for path in files()}
    assert there <= TOP | BESIDE
    assert there >= TOP


def test_no_file_names_a_package_host_or_a_place_of_one_machine() -> None:
    # Put together here, so that this file does not name them.
    hosts = ["pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "deb" + ".debian.org"]
    places = ["/" + "work/", "/" + "opt/", "/" + "tmp/spike", "/home/" + "runner"]
    unwanted = re.compile("|".join(map(re.escape, hosts + places)))
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files()
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), 1)
        if unwanted.search(line)
    ]
    assert not found


def test_no_module_is_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in ("engine", "workers")
        for path in (ROOT / package).rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > 400} == {}
    assert statistics.median(lengths.values()) < 150


def test_data_directories_hold_no_python() -> None:
    data = [path for path in files() if path.relative_to(ROOT).parts[0] in TOP - {"tests"}]
    assert not [
        path
        for path in data
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] not in ("engine", "workers")
    ]


def test_every_library_that_is_imported_is_asked_for() -> None:
    """What only comes along with another library goes with it one day."""
    asked = {normal(re.split(r"[^A-Za-z0-9._-]", one)[0]) for one in PROJECT["dependencies"]}
    asked.add("psycopg-pool")  # as psycopg[pool]
    homes = metadata.packages_distributions()
    missing = set()
    for path in (*(ROOT / "engine").rglob("*.py"), *(ROOT / "workers").rglob("*.py")):
        for module in imported(ast.parse(path.read_text())):
            if module in sys.stdlib_module_names or module in ("engine", "workers", "_typeshed"):
                continue
            if not asked & {normal(name) for name in homes.get(module, [])}:
                missing.add(f"{path.relative_to(ROOT)}: {module}")
    assert not missing


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level names of all that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def requirements() -> dict[str, str]:
    """Name → its whole entry in the lock (several where Pythons need different versions)."""
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    return {entry.partition("==")[0]: entry for entry in entries}


def test_the_lock_pins_everything_by_hash_and_names_no_place() -> None:
    assert "://" not in LOCK
    assert "--index" not in LOCK and "--find-links" not in LOCK
    for name, entry in requirements().items():
        assert re.match(r"[a-z0-9-]+==\S+", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), name


def test_the_lock_has_all_that_the_project_asks_for() -> None:
    asked = [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["dev"],
        *PYPROJECT["build-system"]["requires"],
    ]
    names = {normal(re.split(r"[^A-Za-z0-9._-]", one)[0]) for one in asked}
    assert names <= set(requirements())


def test_the_wheel_holds_the_two_packages_and_their_data(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in files():
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    run = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in held if ".dist-info/" not in name} == {
        "engine",
        "workers",
    }
    # Everything that the packages need lies in them, or else works only from a checkout.
    needed = {
        str(path.relative_to(ROOT))
        for path in files()
        if path.relative_to(ROOT).parts[0] in ("engine", "workers")
        and path.suffix != ".md"
        and path.parent.name != "pictures"  # of the README
    }
    assert needed <= held, needed - held


def targets() -> dict[str, str]:
    text = (ROOT / "Makefile").read_text()
    return dict(re.findall(r"^([a-z]+):.*?## (.+)$", text, re.MULTILINE))


def test_make_has_a_dozen_verbs_at_most_and_lists_them() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(targets()) == set(phony[1].split())
    assert len(targets()) <= 12
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for verb, meaning in targets().items():
        assert re.search(rf"make {verb} +{re.escape(meaning)}", told.stdout)


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A machine on which every Python is too old."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python3", *(f"python3.{minor}" for minor in range(11, 15))):
        (programs / name).write_text("#!/bin/sh\n[ $1 = --version ] && echo Python 3.8.1\nexit 1\n")
        (programs / name).chmod(0o755)
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}


def test_set_up_without_a_new_enough_python_says_so(bare: dict[str, str], tmp_path: Path) -> None:
    told = subprocess.run(["make", "setup"], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert told.returncode != 0
    assert "needs Python 3.11 or newer; python3 here is: Python 3.8.1" in told.stderr
    assert "apt-get install python3" in told.stderr
    assert not (tmp_path / ".venv").exists()


def test_the_ci_run_is_a_script_that_stops_at_the_first_failure() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "\nset -euo pipefail\n" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True)
