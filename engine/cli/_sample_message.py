"""A message of nobody, as a journey would make it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from engine.core.durations import show_duration
from engine.model.journey import Journey, OfferStep, Send
from engine.model.message import Message
from engine.testing import samples


def sample_message(
    template: str, channel: str, journey: Journey | None, step: Send | None, at: datetime
) -> Message:
    """The message of ``step`` in ``journey``, due ``at``; without them, one of no journey."""
    return Message(
        id=str(uuid5(NAMESPACE_URL, f"sample:{template}:{channel}")),
        enrollment_id="sample",
        profile_id=0,
        journey=journey.name if journey else "sample",
        version="sample",
        step=step.path if step else "steps/1",
        channel=channel,
        template=template,
        topic=step.topic if step else "offers",
        event_id="sample",
        created_at=at,
        due_at=at,
        offer=_offer(journey, step),
    )


def _offer(journey: Journey | None, step: Send | None) -> dict[str, Any]:
    """The offer that the message would carry: its own, else the journey's first."""
    if step is not None and step.offer:
        return samples.offer(step.offer)
    for other in journey.steps.values() if journey else ():
        if isinstance(other, OfferStep):
            valid = {} if other.valid is None else {"valid": show_duration(other.valid)}
            return samples.offer({**other.terms, **valid})
    return samples.offer({"percent": 10, "valid": "3 days"})
