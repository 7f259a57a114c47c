"""Whether a double opt-in is asked for at all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.core.consent import PENDING
from engine.language.report import Place, Report
from engine.model.diagnostic import Diagnostic
from engine.model.journey import Journey
from engine.model.policy import Policy


def check_confirmation(
    config: Path, policy: Policy, journeys: Iterable[Journey]
) -> list[Diagnostic]:
    """A warning about ``config`` if a topic is a double opt-in and none of ``journeys``, which
    must be all, asks for the confirmation."""
    double = [name for name, topic in policy.topics.items() if topic.consent == "double opt-in"]
    if not double or any(journey.trigger.event == PENDING for journey in journeys):
        return []
    report = Report(str(config))
    names = ", ".join(f"'{name}'" for name in double)
    message = f"nobody is asked to confirm {names}: no journey begins with '{PENDING}'"
    report.add("J081", Place(1, 1), message, "take confirm-consent.yaml into journeys/")
    return report.diagnostics()
