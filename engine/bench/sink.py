"""The far end: an SMTP server in a process of its own that notes when each mail came.

``python -m engine.bench.sink`` prints its port; for each line on its standard input it prints
what came so far: ``count`` how many, ``arrivals`` address → ``time.perf_counter``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from types import TracebackType

from engine.errors import WinbackError
from engine.testing.smtp import Mail, SmtpSink

_LOOK_SECONDS = 0.02


class _Arrivals(deque[Mail]):
    """Mails without what they say: that would fill the memory."""

    def append(self, mail: Mail) -> None:
        super().append(mail._replace(data=b""))


class Sink:
    """A context manager that serves while it is open, on ``port``."""

    def __init__(self, latency: float = 0.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.bench.sink", str(latency)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line())

    def count(self) -> int:
        return int(self._ask("count"))

    def arrivals(self) -> dict[str, float]:
        """When the mail to each address came, the first where there were several."""
        found: dict[str, float] = json.loads(self._ask("arrivals"))
        return found

    def wait_for(self, count: int, seconds: float) -> int:
        """Until ``count`` mails are there, or for ``seconds`` at most; gives how many are."""
        deadline = time.monotonic() + seconds
        while (found := self.count()) < count and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return found

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _ask(self, what: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WinbackError("the mail sink has ended")
        return line.strip()


def main() -> None:
    sink = SmtpSink(latency=float(sys.argv[1]), ledger=None)
    sink.received = _Arrivals()
    with sink:
        print(sink.port, flush=True)
        for line in sys.stdin:
            if line.strip() == "count":
                print(sink.count, flush=True)
                continue
            first: dict[str, float] = {}
            for mail in list(sink.received):
                first.setdefault(mail.to, mail.at)
            print(json.dumps(first), flush=True)


if __name__ == "__main__":
    main()
