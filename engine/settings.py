"""Every setting, read once from the environment. Nothing else reads ``os.environ``.

An unset ``DATABASE_URL`` or ``REDIS_URL`` means embedded: ``winback up`` starts its own and
hands the address to its children through the same variables.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict
from urllib.parse import SplitResult, quote, unquote, urlsplit

from engine.clock import from_environment as clock_from
from engine.errors import ConfigError

SENDGRID = "https://api.sendgrid.com"
TWILIO = "https://api.twilio.com"
GOOGLE_DATAMANAGER = "https://datamanager.googleapis.com"
META = "https://graph.facebook.com"
KNOWN_HOSTS = "~/.ssh/known_hosts"
AWS_REGION = "us-east-1"
#: Field -> variable, of those that are read and told as they are.
_AS_THEY_ARE = {
    "sftp_key": "WINBACK_SFTP_KEY",
    "sftp_passphrase": "WINBACK_SFTP_PASSPHRASE",
    "sftp_password": "WINBACK_SFTP_PASSWORD",
    "sftp_known_hosts": "WINBACK_SFTP_KNOWN_HOSTS",
    "s3_endpoint": "AWS_ENDPOINT_URL",
    "aws_region": "AWS_REGION",
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process of Winback is told. Values that open doors are kept out of ``repr``.

    ``database_url``, ``redis_url``  None: embedded, under ``home``.
    ``public_url``  what links in mails and the signatures of callbacks are made for, no slash
                    at its end.
    ``secret``      signs the tokens in mails; kept in ``home/secret`` unless given.
    ``clock``       empty for the system clock, else ``SPEED@ISO-ORIGIN`` (``engine.clock``).
    ``demo``        the demo's pages (shop, mailbox, live) are there, open to whoever can reach the
                    port, and every channel is the local mailbox.
    ``webhook_window``  seconds for which a provider's signed report is good (SendGrid repeats
                    one for a day); 0: for ever.
    ``*_base_url``  another address for a provider, such as a simulator's.
    ``google_credentials``  path of the JSON key of a service account;
                    ``google_datamanager_token`` an access token instead, such as a simulator's.
    ``sftp_key``    path of the private key for SFTP servers that audience files go to;
                    ``sftp_known_hosts`` the file of those that are trusted. ``s3_endpoint``:
                    another store than Amazon's.
    ``smtp_tls``    "" plain, "starttls" (smtp://…?tls=starttls, default for port 587), or
                    "tls" from the first byte (smtps://).
    """

    project_dir: Path
    home: Path
    port: int = 8080
    public_url: str = "http://127.0.0.1:8080"
    clock: str = ""
    demo: bool = False
    workers: int = 2
    write_key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    database_url: str | None = field(default=None, repr=False)
    redis_url: str | None = field(default=None, repr=False)
    sendgrid_api_key: str = field(default="", repr=False)
    sendgrid_base_url: str = SENDGRID
    sendgrid_webhook_public_key: str = field(default="", repr=False)
    sendgrid_activity: bool = False
    webhook_window: int = 25 * 3600
    twilio_account_sid: str = field(default="", repr=False)
    twilio_auth_token: str = field(default="", repr=False)
    twilio_base_url: str = TWILIO
    smtp_host: str = ""
    smtp_port: int = 25
    smtp_user: str = field(default="", repr=False)
    smtp_password: str = field(default="", repr=False)
    smtp_tls: str = ""
    google_datamanager_base_url: str = GOOGLE_DATAMANAGER
    google_datamanager_token: str = field(default="", repr=False)
    google_credentials: str = ""
    meta_base_url: str = META
    meta_access_token: str = field(default="", repr=False)
    meta_app_secret: str = field(default="", repr=False)
    sftp_key: str = ""
    sftp_passphrase: str = field(default="", repr=False)
    sftp_password: str = field(default="", repr=False)
    sftp_known_hosts: str = KNOWN_HOSTS
    s3_endpoint: str = ""
    aws_region: str = AWS_REGION
    aws_access_key_id: str = field(default="", repr=False)
    aws_secret_access_key: str = field(default="", repr=False)
    aws_session_token: str = field(default="", repr=False)

    @classmethod
    def from_environment(
        cls, env: Mapping[str, str] = os.environ, *, project_dir: Path | None = None
    ) -> Settings:
        """Read the settings, make ``home`` and its secret where they are missing.

        Raises ``ConfigError``, naming the variable and what to do. The project directory is
        ``project_dir``, else ``WINBACK_PROJECT_DIR`` (how ``up`` tells its children), else
        where the process was started.
        """
        project = Path(project_dir or env.get("WINBACK_PROJECT_DIR") or Path.cwd()).resolve()
        if not project.is_dir():
            raise ConfigError(f"There is no directory {project}: give one to --project-dir.")
        home = project / (env.get("WINBACK_HOME") or "var")
        port = _number(env, "WINBACK_PORT", 8080, 1, 65535)
        return cls(
            project_dir=project,
            home=home,
            port=port,
            public_url=_url(env, "WINBACK_PUBLIC_URL", f"http://127.0.0.1:{port}"),
            clock=_clock(env),
            demo=env.get("WINBACK_DEMO") == "1",
            workers=_number(env, "WINBACK_WORKERS", 2, 1, 256),
            write_key=env.get("WINBACK_WRITE_KEY", ""),
            secret=_secret(env, home),
            database_url=_address(env, "DATABASE_URL", "postgresql", "postgres"),
            redis_url=_address(env, "REDIS_URL", "redis", "rediss", "unix"),
            sendgrid_api_key=env.get("SENDGRID_API_KEY", ""),
            sendgrid_base_url=_url(env, "SENDGRID_BASE_URL", SENDGRID),
            sendgrid_webhook_public_key=env.get("SENDGRID_WEBHOOK_PUBLIC_KEY", ""),
            sendgrid_activity=env.get("SENDGRID_EMAIL_ACTIVITY", "").lower() in ("1", "on", "yes"),
            webhook_window=_number(env, "WINBACK_WEBHOOK_WINDOW", 25 * 3600, 0, 10**9),
            twilio_account_sid=env.get("TWILIO_ACCOUNT_SID", ""),
            twilio_auth_token=env.get("TWILIO_AUTH_TOKEN", ""),
            twilio_base_url=_url(env, "TWILIO_BASE_URL", TWILIO),
            **_smtp(env),
            google_datamanager_base_url=_url(
                env, "GOOGLE_DATAMANAGER_BASE_URL", GOOGLE_DATAMANAGER
            ),
            google_datamanager_token=env.get("GOOGLE_DATAMANAGER_TOKEN", ""),
            google_credentials=env.get("GOOGLE_APPLICATION_CREDENTIALS", ""),
            meta_base_url=_url(env, "META_BASE_URL", META),
            meta_access_token=env.get("META_ACCESS_TOKEN", ""),
            meta_app_secret=env.get("META_APP_SECRET", ""),
            **{field: env[name] for field, name in _AS_THEY_ARE.items() if env.get(name)},
        )

    def to_environment(self) -> dict[str, str]:
        """The variables that make ``from_environment`` give these settings again: how a
        supervisor tells its children."""
        return {
            "WINBACK_PROJECT_DIR": str(self.project_dir),
            "WINBACK_HOME": str(self.home),
            "WINBACK_PORT": str(self.port),
            "WINBACK_PUBLIC_URL": self.public_url,
            "WINBACK_CLOCK": self.clock,
            "WINBACK_DEMO": "1" if self.demo else "",
            "WINBACK_WORKERS": str(self.workers),
            "WINBACK_WRITE_KEY": self.write_key,
            "WINBACK_SECRET": self.secret,
            "DATABASE_URL": self.database_url or "",
            "REDIS_URL": self.redis_url or "",
            "SENDGRID_API_KEY": self.sendgrid_api_key,
            "SENDGRID_BASE_URL": self.sendgrid_base_url,
            "SENDGRID_WEBHOOK_PUBLIC_KEY": self.sendgrid_webhook_public_key,
            "SENDGRID_EMAIL_ACTIVITY": "on" if self.sendgrid_activity else "",
            "WINBACK_WEBHOOK_WINDOW": str(self.webhook_window),
            "TWILIO_ACCOUNT_SID": self.twilio_account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio_auth_token,
            "TWILIO_BASE_URL": self.twilio_base_url,
            "WINBACK_SMTP_URL": self._smtp_url(),
            "GOOGLE_DATAMANAGER_BASE_URL": self.google_datamanager_base_url,
            "GOOGLE_DATAMANAGER_TOKEN": self.google_datamanager_token,
            "GOOGLE_APPLICATION_CREDENTIALS": self.google_credentials,
            "META_BASE_URL": self.meta_base_url,
            "META_ACCESS_TOKEN": self.meta_access_token,
            "META_APP_SECRET": self.meta_app_secret,
            **{name: getattr(self, field) for field, name in _AS_THEY_ARE.items()},
        }

    def _smtp_url(self) -> str:
        if not self.smtp_host:
            return ""
        login = f"{quote(self.smtp_user, safe='')}:{quote(self.smtp_password, safe='')}@"
        scheme, query = {
            "": ("smtp", "?tls=none"),
            "starttls": ("smtp", "?tls=starttls"),
            "tls": ("smtps", ""),
        }[self.smtp_tls]
        host = f"[{self.smtp_host}]" if ":" in self.smtp_host else self.smtp_host
        return f"{scheme}://{login if self.smtp_user else ''}{host}:{self.smtp_port}{query}"


def _number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise ConfigError(
            f"{name} is {text!r}: set it to a number from {low} to {high}, or unset it "
            f"for {default}."
        )
    return int(text)


def _split(name: str, text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        # The text is not shown: it may hold a password.
        raise ConfigError(f"{name} is not an address ({error}): correct it.") from None
    return parts


def _url(env: Mapping[str, str], name: str, default: str) -> str:
    text = env.get(name) or default
    parts = _split(name, text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{name} is not a web address: set it to something like {default}, or unset it."
        )
    return text.rstrip("/")


def _address(env: Mapping[str, str], name: str, *schemes: str) -> str | None:
    text = env.get(name)
    if not text:
        return None
    if _split(name, text).scheme not in schemes:
        raise ConfigError(
            f"{name} does not begin with {schemes[0]}://: correct it, or unset it and Winback "
            "starts its own."
        )
    return text


def _clock(env: Mapping[str, str]) -> str:
    text = env.get("WINBACK_CLOCK", "")
    try:
        clock = clock_from(text)
        usable = clock.speed > 0 and clock.now().tzinfo is not None
    except (ValueError, TypeError):
        usable = False
    if not usable:
        raise ConfigError(
            f"WINBACK_CLOCK is {text!r}: unset it for the real time, or set it to SPEED@ORIGIN, "
            "such as 600@2026-01-31T10:00:00+00:00."
        )
    return text


def _secret(env: Mapping[str, str], home: Path) -> str:
    """The given secret, else the one in ``home/secret``, made on the first start.

    Made as a private file of its own and linked into place, so that of several processes that
    start at once all read the one that came first, and none reads half of it.
    """
    given = env.get("WINBACK_SECRET")
    if given:
        if len(given) < 16:
            raise ConfigError("WINBACK_SECRET is shorter than 16 characters: use a longer one.")
        return given
    path = home / "secret"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            fresh = home / f".secret-{secrets.token_hex(8)}"
            with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as f:
                f.write(secrets.token_urlsafe(32))
            try:
                os.link(fresh, path)
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        secret = path.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"Cannot keep a secret in {path} ({error.strerror}): set WINBACK_HOME to a directory "
            "that can be written to, or WINBACK_SECRET to a long random text."
        ) from error
    if len(secret) < 16:
        raise ConfigError(f"{path} holds no usable secret: delete it and a new one is made.")
    return secret


class _Smtp(TypedDict, total=False):
    smtp_host: str
    smtp_port: int
    smtp_user: str
    smtp_password: str
    smtp_tls: str


def _smtp(env: Mapping[str, str]) -> _Smtp:
    text = env.get("WINBACK_SMTP_URL")
    if not text:
        return _Smtp()
    parts = _split("WINBACK_SMTP_URL", text)
    query = parts.query
    if (
        parts.scheme not in ("smtp", "smtps")
        or not parts.hostname
        or query not in ("", "tls=starttls", "tls=none")
    ):
        raise ConfigError(
            "WINBACK_SMTP_URL is not usable: set it to smtp://USER:PASSWORD@HOST:587 "
            "(smtps:// for TLS from the first byte, ?tls=none for a server without TLS)."
        )
    tls = "tls" if parts.scheme == "smtps" else query.removeprefix("tls=")
    port = parts.port or (465 if tls == "tls" else 25)
    if not tls and port == 587:
        tls = "starttls"
    return _Smtp(
        smtp_host=parts.hostname,
        smtp_port=port,
        smtp_user=unquote(parts.username or ""),
        smtp_password=unquote(parts.password or ""),
        smtp_tls="" if tls == "none" else tls,
    )
