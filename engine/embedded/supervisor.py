"""All of Winback on one machine: the embedded services, web, workers and clock, kept running.

``winback up`` is this with signals and a table; the demo and the tests use it as a library::

    with Supervisor(settings, workers=1) as winback:
        ... winback.urls["web"] ...
        winback.kill("postgres")      # SIGKILL; it is started again
        winback.wait_until_ready()
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

import urllib3

from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.program import Program
from engine.embedded.redis import EmbeddedRedis
from engine.errors import ConfigError, WinbackError
from engine.settings import Settings

READY_SECONDS = 60.0
STOP_SECONDS = 3.0
WATCH_SECONDS = 0.05
#: A program that ends is started again after the first of these, doubled up to the second;
#: one that had worked for the third starts afresh.
PAUSE, LONGEST_PAUSE, PROVEN_SECONDS = 0.1, 10.0, 10.0
#: One that has ended counts as running again after this.
STEADY_SECONDS = 2.0
#: A program that ended this often before anything was ready will not come up by itself.
HOPELESS = 4

Say = Callable[[str, str], None]


class Service(Protocol):
    """What the supervisor keeps running."""

    def start(self) -> None: ...
    def stop(self, *, immediate: bool = False) -> None: ...
    def running(self) -> bool: ...


@dataclass(slots=True)
class Watched:
    """A service and what has become of it."""

    service: Service
    wanted: bool = True
    ends: int = 0
    started: float = field(default_factory=time.monotonic)
    again_at: float = 0.0

    def steady(self, now: float) -> bool:
        """It runs, and is not just being tried again."""
        return self.service.running() and (not self.ends or now - self.started > STEADY_SECONDS)

    def pause(self, now: float) -> float:
        """It has ended: seconds until it may be started again."""
        self.ends = 1 if now - self.started > PROVEN_SECONDS else self.ends + 1
        seconds = min(PAUSE * 2.0 ** (self.ends - 1), LONGEST_PAUSE)
        self.again_at = now + seconds
        return seconds


def print_line(name: str, line: str) -> None:
    """A line of a child to standard output, marked with who said it."""
    print(f"{name:>9} | {line}", flush=True)


class Supervisor:
    """Starts everything in order, restarts what ends, stops everything.

    ``settings``  unset database or Redis addresses mean embedded ones, under ``settings.home``.
    ``programs``  further commands to keep running beside ours: name → words.
    ``say``       gets each line that a child prints, with the child's name.

    After ``start``, ``settings`` holds the addresses in use and ``urls`` the same for people:
    ``web``, ``database``, ``redis``. Names of children: ``postgres``, ``redis`` (where embedded),
    ``web``, ``worker-1`` …, ``clock`` and those of ``programs``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        host: str = "127.0.0.1",
        workers: int | None = None,
        programs: Mapping[str, Sequence[str]] | None = None,
        say: Say = print_line,
    ) -> None:
        self.settings = settings
        self.urls: dict[str, str] = {}
        self._host = host
        self._workers = settings.workers if workers is None else workers
        self._programs = dict(programs or {})
        self._say = say
        self._watched: dict[str, Watched] = {}
        self._guard = threading.RLock()
        self._stopping = threading.Event()
        self._monitor: threading.Thread | None = None
        self._home: int | None = None

    def start(self) -> Supervisor:
        """Returns when ``/healthz`` answers. Raises ``WinbackError`` with the reason, and with
        everything stopped again, when that does not come about within a minute."""
        self._home = _lock(self.settings.home)
        try:
            self._stopping.clear()
            _require_free(self._host, self.settings.port)
            self._start_services()
            self._start_programs()
            self._monitor = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._monitor.start()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends all, programs before the services that they use, within seconds. Idempotent."""
        self._stopping.set()
        self._stop_all()
        if self._monitor is not None:
            self._monitor.join()
            self._monitor = None
            self._stop_all()  # what the monitor was just starting
        self._watched.clear()
        if self._home is not None:
            os.close(self._home)
            self._home = None

    def _stop_all(self) -> None:
        services = [watched.service for watched in reversed(self._watched.values())]
        programs = [service for service in services if isinstance(service, Program)]
        for program in programs:
            program.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        while any(program.running() for program in programs) and time.monotonic() < deadline:
            time.sleep(WATCH_SECONDS)
        for program in programs:
            program.stop(immediate=True)
        for service in services:
            service.stop()

    def kill(self, name: str, *, restart: bool = True) -> None:
        """SIGKILL to a child and all of its processes, as a crash. It is started again, unless
        ``restart`` is False: then it stays down until ``restart`` is called."""
        with self._guard:
            watched = self._find(name)
            watched.wanted = restart
            watched.again_at = time.monotonic()  # at once: it was no failure of its own
            watched.service.stop(immediate=True)

    def restart(self, name: str) -> None:
        """Stop a child in order, if it runs, and start it."""
        with self._guard:
            watched = self._find(name)
            watched.service.stop()
            self._start_one(watched)
            watched.wanted = True

    def wait_until_ready(self, timeout: float = READY_SECONDS) -> None:
        """Block until every child runs and ``/healthz`` answers 200."""
        deadline = time.monotonic() + timeout
        url = f"{self.urls['web']}/healthz"
        with urllib3.PoolManager(retries=False, timeout=2.0) as http:
            while True:
                with suppress(urllib3.exceptions.HTTPError):
                    if http.request("GET", url).status == 200 and self._all_steady():
                        return
                self._give_up_if_hopeless(expired=time.monotonic() > deadline)
                time.sleep(WATCH_SECONDS)

    def pids(self) -> dict[str, int]:
        """The process id of each child that runs."""
        with self._guard:
            processes = {
                name: getattr(watched.service, "process", None)
                for name, watched in self._watched.items()
            }
            return {name: process.pid for name, process in processes.items() if process}

    def __enter__(self) -> Supervisor:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_services(self) -> None:
        from engine.store.database import migrate

        settings = self.settings
        if settings.database_url is None:
            postgres = EmbeddedPostgres(settings.home / "postgres")
            self._add("postgres", postgres)
            settings = replace(settings, database_url=postgres.url)
        if settings.redis_url is None:
            redis = EmbeddedRedis(settings.home)
            self._add("redis", redis)
            settings = replace(settings, redis_url=redis.url)
        self.settings = settings
        assert settings.database_url is not None and settings.redis_url is not None
        self.urls = {
            "web": f"http://{_reachable(self._host)}:{settings.port}",
            "database": settings.database_url,
            "redis": settings.redis_url,
        }
        migrate(settings.database_url)

    def commands(self) -> dict[str, Sequence[str]]:
        """What is kept running beside the embedded services, by name, in order of start."""
        python = sys.executable
        commands: dict[str, Sequence[str]] = {"web": web_command(self._host, self.settings.port)}
        for number in range(1, self._workers + 1):
            commands[f"worker-{number}"] = [python, "-m", "workers.worker"]
        commands["clock"] = [python, "-m", "workers.clock"]
        return commands | self._programs

    def _start_programs(self) -> None:
        env = os.environ | self.settings.to_environment() | {"PYTHONUNBUFFERED": "1"}
        for name, command in self.commands().items():

            def say(line: str, name: str = name) -> None:
                self._say(name, line)

            self._add(name, Program(command, env=env, cwd=self.settings.project_dir, say=say))

    def _add(self, name: str, service: Service) -> None:
        with self._guard:
            watched = self._watched[name] = Watched(service)
            self._start_one(watched)

    def _start_one(self, watched: Watched) -> None:
        watched.started = time.monotonic()
        watched.service.start()

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            with self._guard:
                for name, watched in self._watched.items():
                    if self._stopping.is_set():
                        return
                    if not watched.wanted or watched.service.running():
                        continue
                    now = time.monotonic()
                    if not watched.again_at:
                        seconds = watched.pause(now)
                        self._say(name, f"ended; starting it again in {seconds:.1f} s")
                    elif now >= watched.again_at:
                        watched.again_at = 0.0
                        try:
                            self._start_one(watched)
                        except (WinbackError, OSError) as error:
                            self._say(name, str(error))

    def _find(self, name: str) -> Watched:
        if name not in self._watched:
            raise WinbackError(f"There is no {name!r}, only {', '.join(self._watched)}.")
        return self._watched[name]

    def _all_steady(self) -> bool:
        with self._guard:
            now = time.monotonic()
            return all(w.steady(now) for w in self._watched.values() if w.wanted)

    def _give_up_if_hopeless(self, *, expired: bool) -> None:
        with self._guard:
            for name, watched in self._watched.items():
                if watched.ends >= HOPELESS and isinstance(watched.service, Program):
                    said = "\n".join(watched.service.lines)
                    raise WinbackError(f"{name} does not stay up. It said:\n{said}")
            if expired:
                down = [n for n, w in self._watched.items() if not w.service.running()]
                what = f"these do not run: {', '.join(down)}" if down else "web does not answer"
                raise WinbackError(f"Winback did not get ready in time: {what}.")


def web_command(host: str, port: int) -> list[str]:
    """The web server as the Procfile starts it too. One process: its threads wait together for
    one group commit; what they cannot take waits in the kernel's queue."""
    return [
        *(sys.executable, "-m", "granian"),
        *("--interface", "wsgi", "--host", host, "--port", str(port)),
        *("--workers", "1", "--blocking-threads", "32", "--backlog", "2048"),
        *("--workers-kill-timeout", "2", "--log-level", "error", "--no-ws"),
        "workers.web:app",
    ]


def _lock(home: Path) -> int:
    """A lock on ``home``: the open file that holds it. A crash gives it back too."""
    home.mkdir(parents=True, exist_ok=True)
    file = os.open(home / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 20).decode() or "another one"
        os.close(file)
        raise ConfigError(
            f"A winback (process {holder}) is running in {home} already: stop it, or give this "
            "one a directory of its own with WINBACK_HOME."
        ) from None
    os.truncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    return file


def _reachable(host: str) -> str:
    """Where to reach a server that listens on ``host``."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _require_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {host} port {port} ({error.strerror}): set WINBACK_PORT to a "
                "free one, or correct --host."
            ) from error
