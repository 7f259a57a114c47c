"""Every file under broken/ is one mistake. Its last lines say what lint must answer:
``#! line:column severity code message — hint``."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path

import pytest

from engine.channels.twilio import STATUS_NAMES
from engine.language import CODES, load_files
from engine.language.context import DEFAULT_TOPICS
from engine.language.events import NAMES
from engine.model.policy import Policy, QuietHours

HERE = Path(__file__).parent
FILES = sorted((HERE / "broken").glob("*.yaml"))
POLICY = Policy(topics=DEFAULT_TOPICS, quiet_hours={"email": QuietHours(time(23), time(7))})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_exactly_these_findings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    text = file.read_text(encoding="utf-8")
    expected = [line[3:] for line in text.splitlines() if line.startswith("#! ")]
    read = load_files([file.relative_to(HERE)], policy=POLICY, templates=Path("templates"))
    found = read.diagnostics
    assert [str(finding) for finding in found] == [
        f"broken/{file.name}:{line}" for line in expected
    ]
    assert expected, "a file in broken/ has something wrong with it"
    assert (not read.journeys) == any(finding.severity == "error" for finding in found)


def test_every_code_is_shown_by_a_file() -> None:
    shown = {
        line.split()[3] for file in FILES for line in file.read_text().splitlines() if "#! " in line
    }
    # Two files: test_language_journeys.py and test_worstcase.py. Topics: test_language_topics.py.
    # Templates: test_lint_templates.py. Segments: test_segments.py.
    others = {"J020", "J030", "J067", "J080", "J081"} | {code for code in CODES if code[0] in "ST"}
    assert set(CODES) - shown == others


def test_every_code_is_explained_in_whole_sentences() -> None:
    for name, code in CODES.items():
        assert code.explanation.endswith((".", "}.", "'.")), name
        assert code.title and not code.title.endswith("."), name
        assert len(code.explanation) > 30, name
        error = name in ("T001", "T002") or (name[0] != "T" and name[1:] < "050")
        assert code.severity == ("error" if error else "warning")


def test_the_events_that_providers_report_are_known() -> None:
    """A journey that waits for one of them must not be told that it is misspelt."""
    root = HERE.parents[2] / "engine" / "channels"
    reported = {
        name
        for file in root.glob("*.py")
        for name in re.findall(r'"((?:Email|SMS) [A-Z][A-Za-z ]+)"', file.read_text())
    }
    reported |= {f"{kind} {what}" for kind in ("SMS", "WhatsApp") for what in STATUS_NAMES.values()}
    assert {"Email Clicked", "SMS Delivered", "WhatsApp Read"} <= reported <= set(NAMES)
