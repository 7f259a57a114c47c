"""The providers of a chaos run, in a process of their own: the ledger is a file, and whoever dies
in the run takes no part of the truth along.

The process is told what to do by words on its standard input, and answers each with its figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from engine.testing.ledger import Ledger
from engine.testing.plan import Plan
from engine.testing.providers import Providers
from engine.testing.stories import Callbacks, Stories
from tests.acceptance.chaos_kit import ROOT, Ahead

#: Few hang, for each holds a thread for 15 s; few say 429, for each halts a provider for a second.
FAULTS = (
    "429=0.4%,500=1%,502=0.5%,503=0.5%,cut=1.5%,hang=0.3%,lie=1%,drop=1%,slow=2%,"
    "421=1%,450=1%,451=1%"
)
MAIL = {
    "processed delivered": 0.70,
    "processed delivered open": 0.12,
    "processed delivered open click": 0.03,
    "processed delivered open:machine": 0.03,
    "processed deferred delivered": 0.03,
    "dropped:Spam Content": 0.01,
    "processed bounce:bounce": 0.02,
    "processed bounce:blocked": 0.01,
    "processed delivered spamreport": 0.02,
    "processed delivered open unsubscribe": 0.02,
    "processed delivered group_unsubscribe": 0.01,
}
TEXTS = {
    "sent delivered": 0.86,
    "sent delivered stop": 0.05,
    "sent delivered says:Thanks": 0.02,
    "sent undelivered:30003": 0.03,
    "sent undelivered:30005": 0.02,
    "failed:30007": 0.02,
}


class Outside:
    """The process, as the run sees it. ``environment`` points a Winback to it."""

    def __init__(self, shop: str, ledger: Path, seed: int, *, activity: bool = False) -> None:
        self.ledger = ledger
        self.shows = activity
        self._process = subprocess.Popen(
            [
                *(
                    sys.executable,
                    "-m",
                    "tests.acceptance.chaos_providers",
                    shop,
                    ledger,
                    str(seed),
                ),
                *(["activity"] if activity else []),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.environment: dict[str, str] = self._answer()

    def ask(self, word: str) -> dict[str, dict[str, Any]]:
        """``down`` or ``back`` (SendGrid), ``ahead 5`` (their clocks, in minutes), or ``figures``.
        Gives the figures by provider."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        found: dict[str, dict[str, Any]] = self._answer()
        return found

    def pending(self) -> int:
        """Reports that are still to be posted."""
        return sum(row.get("pending", 0) for row in self.ask("figures").values())

    def truth(self) -> Ledger:
        return Ledger.read(self.ledger)

    def close(self) -> None:
        self._process.communicate("", timeout=30)

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the providers ended"
        return json.loads(line)


def main(shop: str, path: str, seed: int, activity: bool) -> None:
    clock = Ahead()

    def ahead(minutes: str) -> None:
        clock.by = timedelta(minutes=int(minutes))

    providers = Providers(
        plan=Plan.parse(FAULTS, seed),
        callbacks=Callbacks(
            url=shop, delay=0.3, twice=0.15, shuffle=0.15, late=0.15, gzip=True, seed=seed
        ),
        stories={"sendgrid": Stories(MAIL, seed), "twilio": Stories(TEXTS, seed)},
        ledger=Ledger(Path(path)),
        latency=0.02,
        clock=clock,
        activity=activity,
    )
    with providers:
        assert providers.sendgrid is not None
        words: dict[str, Callable[..., None]] = {
            "down": providers.sendgrid.go_down,
            "back": providers.sendgrid.come_back,
            "ahead": ahead,
            "figures": lambda: None,
        }
        print(json.dumps(providers.environment), flush=True)
        for line in sys.stdin:
            word, *more = line.split()
            words[word](*more)
            print(json.dumps(providers.figures()), flush=True)
    providers.ledger.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "activity" in sys.argv[4:])
