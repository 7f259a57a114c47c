"""An SFTP server, by asyncssh.

Each file is uploaded under another name and renamed over the old one by OpenSSH's
``posix-rename``, which no reader sees halfway. The server's key must be in the known-hosts file:
one that is not there is refused and never learnt. Neither the agent nor ~/.ssh/config of whoever
runs this is asked. Times are in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncssh

from engine.audiences.base import PlaceSettings
from engine.errors import ConfigError, DeliveryError

CONNECT = 15.0
#: Longest silence of a server before it counts as gone.
QUIET = 60.0


class Sftp:
    """A folder of an SFTP server; it is made if it is not there."""

    def __init__(
        self,
        host: str,
        port: int,
        user: str,
        folder: str,
        *,
        known_hosts: Path,
        key: str = "",
        passphrase: str = "",
        password: str = "",
    ) -> None:
        self._name = f"sftp://{host}"
        self._folder = PurePosixPath(folder or ".")
        self._options: dict[str, Any] = {
            "host": host,
            "port": port,
            "username": user,
            "known_hosts": str(known_hosts),
            "client_keys": [key] if key else None,
            "passphrase": passphrase or None,
            "password": password or None,
            "agent_path": None,
            "config": None,
            "connect_timeout": CONNECT,
            "login_timeout": CONNECT,
            "keepalive_interval": QUIET / 3,
        }

    @classmethod
    def from_settings(cls, to: str, settings: PlaceSettings) -> Sftp:
        """Raises ``ConfigError`` without a key or password, or without known hosts."""
        parts = urlsplit(to)
        if not (settings.sftp_key or settings.sftp_password):
            raise ConfigError(
                "SFTP needs WINBACK_SFTP_KEY, the path of a private key, or WINBACK_SFTP_PASSWORD."
            )
        known = Path(settings.sftp_known_hosts).expanduser()
        if not known.is_file():
            raise ConfigError(
                f"There is no {known}, so that no SFTP server can be trusted: put the server's key "
                "there (ssh-keyscan), after you have compared it, or name another file in "
                "WINBACK_SFTP_KNOWN_HOSTS."
            )
        return cls(
            parts.hostname or "",
            parts.port or 22,
            unquote(parts.username or ""),
            unquote(parts.path),
            known_hosts=known,
            key=settings.sftp_key,
            passphrase=settings.sftp_passphrase,
            password=settings.sftp_password,
        )

    def put(self, files: Sequence[tuple[str, Path]]) -> None:
        try:
            asyncio.run(self._put(files))
        except asyncssh.HostKeyNotVerifiable:
            raise DeliveryError(
                f"{self._name} shows a key that is not in the known hosts: compare it with what "
                "its owner says, and put it there",
                permanent=True,
            ) from None
        except asyncssh.PermissionDenied:
            raise DeliveryError(
                f"{self._name} refuses the login: check the user, WINBACK_SFTP_KEY and "
                "WINBACK_SFTP_PASSWORD",
                permanent=True,
            ) from None
        except asyncssh.SFTPOpUnsupported:
            raise DeliveryError(
                f"{self._name} cannot put a file in the place of another at once (posix-rename)",
                permanent=True,
            ) from None
        except asyncssh.SFTPError as error:
            raise DeliveryError(
                f"{self._name} does not take files in {self._folder} ({type(error).__name__})",
                permanent=False,
            ) from None
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise DeliveryError(
                f"The key in WINBACK_SFTP_KEY cannot be read ({type(error).__name__}); its "
                "passphrase is WINBACK_SFTP_PASSPHRASE",
                permanent=True,
            ) from None
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise DeliveryError(
                f"{self._name} cannot be reached ({type(error).__name__})", permanent=False
            ) from None

    async def _put(self, files: Sequence[tuple[str, Path]]) -> None:
        async with (
            asyncssh.connect(**self._options) as connection,
            connection.start_sftp_client() as sftp,
        ):
            await sftp.makedirs(str(self._folder), exist_ok=True)
            for name, source in files:
                aside = str(self._folder / f".{name}.part")
                await sftp.put(str(source), aside)
                await sftp.posix_rename(aside, str(self._folder / name))
