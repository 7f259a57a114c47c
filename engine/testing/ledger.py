"""The truth: what a provider really took, whatever it answered and whatever we believe."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True, slots=True)
class Taken:
    """One message that a provider took.

    ``key``        the sender's own id of the message ("" where the request named none).
    ``reference``  the provider's id.
    ``at``         when, Unix seconds by the simulator's clock.
    ``fault``      what the sender saw instead of a plain yes: "", "cut", "hang", "lie", "slow".
    ``kept_back``  taken with a yes, and then never delivered: the address is on the provider's
                   own suppression list.
    """

    provider: str
    key: str
    to: str
    reference: str
    at: float
    fault: str = ""
    kept_back: bool = False


@dataclass
class Ledger:
    """What was taken, in order, and when shops were told to stop. May be shared by simulators.

    ``stops`` are, by address, the spells (since, until) in which nothing more was wanted: from
    the time at which the shop took the report of it.

    With ``path`` every line is also appended there as JSON at once, so that another process
    can ``read`` it, even after this one was killed.
    """

    path: Path | None = None
    entries: list[Taken] = field(default_factory=list)
    stops: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._file: TextIO | None = None
        if self.path is not None:
            self._file = self.path.open("a", encoding="utf-8", buffering=1)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger that a process left at ``path``; a line cut short by a kill is left out."""
        ledger = cls()
        for line in path.read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                row = json.loads(line)
                if "stop" in row:
                    ledger.stop(row["stop"], row["at"])
                elif "start" in row:
                    ledger.start(row["start"], row["at"])
                else:
                    ledger.take(Taken(**row))
        return ledger

    def take(self, taken: Taken) -> None:
        with self._lock:
            self.entries.append(taken)
            if self._file is not None:
                self._write(asdict(taken))

    def stop(self, address: str, at: float) -> None:
        """From ``at`` on, ``address`` wants nothing more. Repeats change nothing."""
        with self._lock:
            spells = self.stops.setdefault(address, [])
            if not spells or spells[-1][1] < math.inf:
                spells.append((at, math.inf))
                self._write({"stop": address, "at": at})

    def start(self, address: str, at: float) -> None:
        """From ``at`` on, ``address`` wants messages again."""
        with self._lock:
            spells = self.stops.get(address, [])
            if spells and spells[-1][1] == math.inf:
                spells[-1] = (spells[-1][0], at)
                self._write({"start": address, "at": at})

    def _write(self, row: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Close the file. The entries stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Taken]:
        return iter(list(self.entries))

    def times(self) -> Counter[str]:
        """How often each message was taken, by the sender's id."""
        return Counter(taken.key for taken in self if taken.key)

    def by_key(self) -> Mapping[str, list[Taken]]:
        """Every taking of each message, by the sender's id."""
        found: dict[str, list[Taken]] = defaultdict(list)
        for taken in self:
            if taken.key:
                found[taken.key].append(taken)
        return found

    def doubled(self) -> dict[str, int]:
        """The messages taken more than once, and how often."""
        return {key: count for key, count in self.times().items() if count > 1}

    def lost(self, sent: Iterable[str]) -> set[str]:
        """Which of ``sent`` (ids of messages that the sender believes gone) were never taken."""
        return set(sent) - self.times().keys()

    def after_stop(self, grace: float = 0.0) -> list[Taken]:
        """What was taken for an address more than ``grace`` seconds after it wanted nothing."""
        return [
            taken
            for taken in self
            if any(
                since + grace < taken.at < until for since, until in self.stops.get(taken.to, ())
            )
        ]
