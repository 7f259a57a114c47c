"""Where the embedded services keep their sockets, and who may reach what."""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
import tempfile
from pathlib import Path

from engine.errors import WinbackError

#: A Unix socket's path is at most 107 bytes on Linux and 103 on macOS.
SOCKET_PATH_BYTES = 103


def socket_dir(data: Path, name: str) -> Path:
    """A directory for the socket ``name`` of the service that works in ``data``: under ``run``
    beside it, or in the temporary directory where that path is too long for a socket."""
    beside = data.parent / "run" / data.name
    digest = hashlib.sha256(str(data).encode()).hexdigest()[:12]
    short = f"winback-{os.getuid()}-{digest}"
    for candidate in (beside, Path(tempfile.gettempdir()) / short, Path("/tmp") / short):
        if len(os.fsencode(candidate / name)) <= SOCKET_PATH_BYTES:
            return candidate
    raise WinbackError(f"No directory has a path short enough for the socket {name}.")


def fit_for(user: str, directory: Path) -> None:
    """Make ``directory`` private to ``user`` ("" for ourselves): PostgreSQL insists on that, and
    only then may its socket do without a password."""
    if user:
        entry = pwd.getpwnam(user)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    elif directory.stat().st_uid != os.geteuid():
        raise WinbackError(
            f"{directory} belongs to another user, so what runs in it could not be trusted: "
            "remove it, or set WINBACK_HOME to a directory of your own."
        )
    directory.chmod(0o700)


def open_way_to(path: Path) -> None:
    """Let other users pass through (not list) the directories above ``path``, so that the
    server, which is not root, gets to it even under /root."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
