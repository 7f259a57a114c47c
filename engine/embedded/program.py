"""One child process of the supervisor: web, a worker, the clock."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.embedded.tether import spawn

STOP_SECONDS = 3.0
REMEMBERED_LINES = 20


class Program:
    """A command that is started, watched and ended together with all that it started.

    Every line that it prints is handed to ``say``; the last ones are kept in ``lines``, for
    the person who asks why it ended.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: Path,
        say: Callable[[str], None],
    ) -> None:
        self.command = list(command)
        self.env = env
        self.cwd = cwd
        self.lines: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self.process: subprocess.Popen[bytes] | None = None
        self._say = say
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Idempotent: a program that runs is left alone."""
        if self.running():
            return
        self.stop(immediate=True)  # what a dead one left of its group
        self.process = spawn(self.command, env=self.env, cwd=self.cwd, output=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting: several programs end side by side."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.terminate()

    def stop(self, *, immediate: bool = False) -> None:
        """End it and its whole process group: orderly, or with SIGKILL. Idempotent."""
        process, self.process = self.process, None
        if process is None:
            return
        if not immediate and process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        # The group, not the process: what a web server forked would keep the port.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join(timeout=1)

    def running(self) -> bool:
        process = self.process
        return process is not None and process.poll() is None

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip()
                self.lines.append(line)
                self._say(line)
