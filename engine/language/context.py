"""What the reading of one journey shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from engine.language.fields import Fields, read_condition, read_duration
from engine.language.report import Place, Report
from engine.language.tree import Scalar, Tree
from engine.model.journey import AnyStep, Condition
from engine.model.policy import Policy, Topic

#: What there is where the shop says nothing of its own.
DEFAULT_TOPICS = {
    "offers": Topic("offers", "Offers", "opt-in"),
    "orders": Topic("orders", "Your orders", "none"),
    "confirmations": Topic("confirmations", "Confirmations", "none", "legitimate interest"),
}
CHANNELS = ("email", "sms", "whatsapp")


@dataclass(slots=True)
class Context:
    """``policy`` and ``templates`` None: what would need them is not checked.

    Collects the compiled ``steps`` by path and, for what the marketing sense looks at, where
    each ``places`` stands in the file and the ``texts`` of conditions, to point into them.
    ``names`` are those that steps were given; ``given_again``: a calendar trigger has ``again``.
    """

    report: Report
    policy: Policy | None = None
    templates: Path | None = None
    steps: dict[str, AnyStep] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    texts: dict[str, Scalar] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    given_again: bool = False

    def is_promotion(self, topic: str) -> bool:
        """Whether the topic is other than transactional. An unknown one is reported elsewhere."""
        topics = DEFAULT_TOPICS if self.policy is None else self.policy.topics
        return topic in topics and topics[topic].consent != "none"

    def condition(self, node: Tree | None, path: str, skip: int = 0) -> Condition | None:
        """Compile the condition at ``path``, if there is one."""
        if node is None:
            return None
        if isinstance(node, Scalar):
            self.texts[path] = node
        return read_condition(self.report, node, path, skip)

    def event(self, fields: Fields, path: str) -> str | None:
        """The ``event`` of a trigger, stop or wait; ``path`` is that of its holder."""
        node = fields.get("event")
        if node is not None:
            self.places[f"{path}/event"] = node.place
        return fields.text("event")

    def duration_after(self, node: Tree, skip: int) -> timedelta | None:
        """The duration behind the first ``skip`` characters: ``skip after 12 hours``."""
        assert isinstance(node, Scalar)
        return read_duration(self.report, Scalar(node.at(skip), node.text[skip:], node.plain))
