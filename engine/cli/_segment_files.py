"""What ``winback lint`` does about segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.language import load_segments, segment_files
from engine.language.segment_triggers import check_triggers
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey
from engine.model.policy import Policy

_FOLDER = "segments"


def is_segment(path: Path) -> bool:
    """Whether a path that lint was given is about segments: the folder, or a file in it."""
    folder = path.parent if path.is_file() else path
    return folder.resolve().name == _FOLDER


def check_segments(
    project: Path,
    policy: Policy,
    journeys: Mapping[str, Journey],
    files: Sequence[Path],
    paths: Sequence[Path],
) -> tuple[int, list[Diagnostic]]:
    """How many segments were checked and what is wrong with them: those of ``paths``, without
    ``paths`` all of the project; and what is wrong with the triggers of ``journeys``."""
    own = project / "config" / _FOLDER
    there = load_segments(own, policy=policy)
    asked = [path for path in paths if is_segment(path)]
    found: list[Diagnostic] = []
    if files:
        by_stem = {file.stem: file for file in files}
        named = [(by_stem[name], each) for name, each in journeys.items() if name in by_stem]
        found += check_triggers(named, there.names)
    if not paths:
        known = journeys.keys() | {file.stem for file in files}
        found += load_segments(own, policy=policy, journeys=known).diagnostics
        return len(segment_files(own)), found
    number = 0
    for path in asked:
        folder = path.parent if path.is_file() else path
        findings = load_segments(folder, policy=policy).diagnostics
        wanted = [path] if path.is_file() else segment_files(folder)
        number += len(wanted)
        names = {str(each) for each in wanted}
        found += [each for each in findings if path.is_dir() or each.file in names]
    return number, found
