"""A mailbox on this machine: one ``.eml`` a mail and one ``.json`` a text, under
``WINBACK_HOME/mailbox``, named by message id.

For development, the demo and tests. It behaves like a provider, not like a set: a message
handed over twice is there twice (``<id>.2.eml``), for a mailbox that quietly dropped the
second copy would hide the very fault it is there to show.
"""

from __future__ import annotations

import email
import email.policy
import heapq
import logging
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import uuid4

import msgspec

from engine.channels import mime
from engine.channels.base import ChannelSettings, phone_number
from engine.errors import DeliveryError
from engine.model.message import Email, Receipt, Rendered, Sms, WhatsApp

_UNSAFE = re.compile(r"[^0-9A-Za-z_-]")
_NAMES = re.compile(r"([0-9A-Za-z_-]+)(?:\.(\d+))?\.(eml|json)")
_log = logging.getLogger(__name__)


class FileChannel:
    """Keeps messages as files in ``folder``, which it makes (for its owner only)."""

    name = "file"

    def __init__(self, folder: Path, now: Callable[[], datetime]) -> None:
        self._folder = folder
        self._now = now

    @classmethod
    def from_settings(cls, settings: ChannelSettings, now: Callable[[], datetime]) -> FileChannel:
        return cls(settings.home / "mailbox", now)

    def send(self, rendered: Rendered) -> Receipt:
        """Write the message: whole or not at all. A full disk or a folder that cannot be
        written to is a ``DeliveryError`` to try again."""
        if isinstance(rendered, Email):
            data, suffix = mime.build(rendered, self._now()), "eml"
        elif not isinstance(rendered, Sms | WhatsApp):
            raise DeliveryError("The mailbox takes messages only.", permanent=True)
        else:
            phone_number(rendered.to)
            data, suffix = msgspec.json.encode(rendered), "json"
        name = _UNSAFE.sub("_", rendered.message_id)
        try:
            path = self._write(name, suffix, data)
        except OSError as error:
            raise DeliveryError(
                f"The mailbox {self._folder} cannot be written to: {error.strerror}. Free some "
                "space or give its owner the right to write; the message is tried again.",
                permanent=False,
                retry_after=timedelta(minutes=1),
            ) from error
        return Receipt("file", path.name)

    def _write(self, name: str, suffix: str, data: bytes) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{uuid4().hex}"
        try:
            with open(draft, "xb") as file:
                file.write(data)
            for copy in count(1):
                path = self._folder / f"{name}{f'.{copy}' if copy > 1 else ''}.{suffix}"
                try:
                    # A link, for a rename would replace the first copy.
                    os.link(draft, path)
                    break
                except FileExistsError:
                    continue
            return path
        finally:
            draft.unlink(missing_ok=True)


class Letter(NamedTuple):
    """A message in the mailbox. ``copy`` is 2 or more for one that came again. ``at``: when it
    was written, by the machine's clock; ``sent`` by the clock of the shop."""

    message_id: str
    kind: Literal["email", "sms", "whatsapp"]
    copy: int
    at: datetime
    sent: datetime | None
    to: str
    sender: str
    subject: str
    text: str
    html: str
    headers: dict[str, str]


def read_mailbox(home: Path, limit: int = 50) -> list[Letter]:
    """The newest ``limit`` messages below ``home``, newest first; [] when there are none."""
    newest = heapq.nlargest(limit, _files(home / "mailbox"), key=lambda found: found[0])
    letters = []
    for written, path in newest:
        letter = _read(path, written)
        if letter is not None:
            letters.append(letter)
    return letters


def find_letter(home: Path, name: str) -> Letter | None:
    """One message by its reference (the name of its file), None when it is not there."""
    path = home / "mailbox" / name
    if not _NAMES.fullmatch(name) or not path.is_file():
        return None
    return _read(path, path.stat().st_mtime_ns)


def _files(folder: Path) -> Iterator[tuple[int, Path]]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            if _NAMES.fullmatch(entry.name):
                yield entry.stat().st_mtime_ns, Path(entry.path)


def _read(path: Path, written: int) -> Letter | None:
    found = _NAMES.fullmatch(path.name)
    assert found
    name, copy = found[1], int(found[2] or 1)
    at = datetime.fromtimestamp(written / 1e9, UTC)
    try:
        data = path.read_bytes()
        if found[3] == "json":
            return _short_message(name, copy, at, data)
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("mailbox: %s cannot be read: %s", path.name, error)
        return None
    # As text: an address may be in UTF-8 (RFC 6532), and the rest is ASCII.
    mail = email.message_from_string(data.decode("utf-8", "replace"), policy=email.policy.default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    date = mail["Date"]
    return Letter(
        name,
        "email",
        copy,
        at,
        date.datetime if date is not None else None,
        str(mail["To"]),
        str(mail["From"]),
        str(mail["Subject"]),
        _unix(text.get_content()) if text else "",
        _unix(html.get_content()) if html else "",
        {key: str(value) for key, value in mail.items()},
    )


def _short_message(name: str, copy: int, at: datetime, data: bytes) -> Letter:
    """A text or WhatsApp message. Only the latter has a ``content_sid``."""
    if b'"content_sid":' in data:
        chat = msgspec.json.decode(data, type=WhatsApp)
        values = "\n".join(f"{key}: {value}" for key, value in chat.variables.items())
        headers = {"Content-Sid": chat.content_sid}
        text = chat.body or values
        return Letter(name, "whatsapp", copy, at, None, chat.to, chat.sender, "", text, "", headers)
    sms = msgspec.json.decode(data, type=Sms)
    headers = {"Segments": f"{sms.segments} ({sms.encoding})"}
    return Letter(name, "sms", copy, at, None, sms.to, sms.sender, "", sms.body, "", headers)


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n")
