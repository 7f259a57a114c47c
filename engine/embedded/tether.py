"""Run a command that dies with the process that started it.

``spawn`` starts the command through this very file, run as a script: it changes to the wanted
system user, asks Linux to signal it when its parent dies, and then *becomes* the command. So a
supervisor that is killed with SIGKILL, which can clean up nothing, leaves nothing running. A
``preexec_fn`` could do the same, but is unsafe in a process with threads.

Linux sends that signal when the *thread* that started the process ends, so all processes are
started by one thread that lives as long as the interpreter. Where there is no Linux, the command
runs without the tether: the next start takes over what was left (``postgres.py``).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from typing import IO

PR_SET_PDEATHSIG = 1

_starters: dict[int, ThreadPoolExecutor] = {}


def spawn(
    command: Sequence[str | Path],
    *,
    on_parent_death: signal.Signals = signal.SIGTERM,
    user: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` (its first word an absolute path) in a process group of its own, so that
    Ctrl-C reaches only us. ``output`` takes its standard output and error together."""
    import subprocess
    from concurrent.futures import ThreadPoolExecutor

    # A forked child inherits the dictionary, but not the thread: hence one per process.
    starter = _starters.get(os.getpid())
    if starter is None:
        starter = _starters.setdefault(
            os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="tether")
        )
    words = [str(word) for word in command]
    tether = [sys.executable, "-I", "-S", __file__]
    return starter.submit(
        subprocess.Popen,
        [*tether, str(os.getpid()), str(int(on_parent_death)), user, *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        env=env,
        cwd=cwd,
        start_new_session=True,
    ).result()


def _become(parent: int, signal_number: int, user: str, command: list[str]) -> None:
    if user:
        import pwd

        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        # After the change of user, which would clear it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    _become(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
