"""What the audit writes down, and whom it believes to be one shopper."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.store import audit as audit_store
from engine.store.audit import EXAMPLES
from engine.store.database import Connection


@dataclass(frozen=True, slots=True)
class Finding:
    """``count`` violations of ``promise`` of one kind, and the first few of them by id."""

    promise: str
    words: str
    count: int
    examples: tuple[str, ...]


@dataclass(slots=True)
class Notes:
    """What the checks write down while they run."""

    findings: list[Finding] = field(default_factory=list)
    unjudged: int = 0

    def add(self, promise: str, words: str, names: list[str], count: int | None = None) -> int:
        number = len(names) if count is None else count
        if number:
            self.findings.append(Finding(promise, words, number, tuple(names[:EXAMPLES])))
        return number


class Ties:
    """Who was known to be whom, by the events of one profile that a gate could see."""

    def __init__(self, connection: Connection, profile: int, snapshot: str) -> None:
        self._above: dict[str, str] = {}
        for event, names in audit_store.seen_events(connection, profile, snapshot):
            for name in names:
                self._above[self._find(name)] = self._find(f"event:{event}")

    def together(self, one: str, other: str) -> bool:
        """Whether these two events were known to be the same shopper's."""
        return self._find(f"event:{one}") == self._find(f"event:{other}")

    def _find(self, name: str) -> str:
        while (parent := self._above.setdefault(name, name)) != name:
            self._above[name] = self._above[parent]
            name = self._above[name]
        return name
