"""What ``winback doctor`` looks at: each check says what it found and what mends it."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from engine.errors import ConfigError
from engine.model.check import Check
from engine.settings import Settings

OLDEST_PYTHON = (3, 11)


def examine(env: Mapping[str, str], project_dir: Path | None) -> Iterator[Check]:
    """All checks, in the order in which a person would mend what they find. Changes nothing."""
    yield _python()
    packages = _packages()
    yield packages
    if packages.state == "finding":
        return
    try:
        # With a stand-in where there is no secret yet: to look is not to make one.
        settings = Settings.from_environment(
            {"WINBACK_SECRET": "only-for-looking", **env}, project_dir=project_dir
        )
    except ConfigError as error:
        yield Check("settings", "finding", str(error), "correct the variable, then run this again")
        return
    yield _home(settings)
    # Loaded only now: without its packages Winback cannot look further.
    from engine.cli import _services

    yield from _services.examine(settings, env)


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Check("python", "finding", f"{version} is too old", "install Python 3.11 or newer")
    return Check("python", "ok", version)


def _packages() -> Check:
    """What pip would find missing, for those who copied the code without installing it."""
    try:
        needs = metadata.requires("winback") or []
    except metadata.PackageNotFoundError:
        return Check("packages", "finding", "winback is not installed here", "make setup")
    missing = []
    for need in needs:
        name = need.partition(";")[0].split("[")[0].split(">")[0].split("<")[0].strip()
        if ";" in need:  # a development tool, or not for this machine
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Check("packages", "finding", f"missing: {', '.join(missing)}", "make setup")
    return Check("packages", "ok", f"winback {metadata.version('winback')} and what it needs")


def _home(settings: Settings) -> Check:
    nearest = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        return Check(
            "state",
            "finding",
            f"{settings.home} cannot be written to",
            "export WINBACK_HOME=<a directory of your own>",
        )
    return Check("state", "ok", str(settings.home))
