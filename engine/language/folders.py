"""From the files of a folder to the journeys that can run, and what they mean for each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.language.journeys import ReadJourney, read_journey
from engine.language.jumps import check_jumps
from engine.language.report import Place, Report
from engine.language.rivals import check_rivals
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey
from engine.model.policy import Policy


@dataclass(frozen=True, slots=True)
class JourneySet:
    """The journeys of a folder that can run, by name, and the findings about all of them."""

    journeys: dict[str, Journey]
    diagnostics: list[Diagnostic]


def load_journeys(
    directory: Path, *, policy: Policy | None = None, templates: Path | None = None
) -> JourneySet:
    """Read every ``*.yaml`` (or ``*.yml``) in ``directory``. A bad file hurts only itself (P10)."""
    if not directory.is_dir():
        report = Report(str(directory))
        report.add("J001", Place(1, 1), "there is no such folder", "start Winback in your project")
        return JourneySet({}, report.diagnostics())
    return load_files(journey_files(directory), policy=policy, templates=templates)


def journey_files(directory: Path) -> list[Path]:
    """Where the journeys of a folder are: every ``*.yaml`` and ``*.yml`` that is not hidden."""
    return sorted(
        file
        for file in directory.iterdir()
        if file.suffix in (".yaml", ".yml") and not file.name.startswith(".")
    )


def load_files(
    files: Iterable[Path], *, policy: Policy | None = None, templates: Path | None = None
) -> JourneySet:
    """Read these journeys. Two files of one name in one folder: neither runs."""
    read: dict[str, ReadJourney] = {}
    reports: list[Report] = []
    first: dict[tuple[Path, str], Path] = {}
    for file in files:
        found = read_journey(file, policy=policy, templates=templates)
        reports.append(found.report)
        other = first.setdefault((file.parent, file.stem), file)
        if other != file:
            for one, two in ((file, other), (other, file)):
                report = Report(str(one))
                message = f"the journey '{file.stem}' is in {two.name} too"
                report.add("J020", Place(1, 1), message, "delete one of the two")
                reports.append(report)
            read.pop(file.stem, None)
        elif found.journey is not None:
            read[found.journey.name] = found
    check_jumps(read, _neighbours(first.values()))
    if policy is not None:
        check_rivals(read, policy)
    return JourneySet(
        {name: found.journey for name, found in read.items() if found.journey is not None},
        sorted(finding for report in reports for finding in report.diagnostics()),
    )


def _neighbours(files: Iterable[Path]) -> set[str]:
    """The names of these journeys and of all beside them, which may not have been asked for."""
    folders = {file.parent for file in files}
    beside = [file for folder in folders if folder.is_dir() for file in journey_files(folder)]
    return {file.stem for file in (*files, *beside)}
