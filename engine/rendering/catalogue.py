"""The templates folder: which template speaks which language, compiled when first needed.

A changed file is noticed at once (``LOOK_EVERY``). If the change cannot be compiled, the version
that could stays in use and a warning says so: a half-saved file must not cost a day's mail.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import NamedTuple

from engine.errors import RenderError
from engine.rendering.compiler import EmailTemplate, SmsTemplate, compile_email, compile_sms
from engine.rendering.whatsapp import WhatsAppTemplate, compile_whatsapp

_FILE = re.compile(
    r"(email|sms|whatsapp)(?:\.([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*))?\.(mjml|html|md|txt|yaml)"
)
#: By channel the ends of its files' names; the first is the usual one. ``text`` is that of mails.
_ENDS = {"email": ("mjml", "html", "md"), "text": ("txt",), "sms": ("txt",), "whatsapp": ("yaml",)}
_NAME = re.compile(r"[A-Za-z0-9][\w-]*(/[A-Za-z0-9][\w-]*)*")
#: Seconds between two looks at a template's files: to ask the system for the dates of ten of them
#: takes a tenth of the time that a mail takes.
LOOK_EVERY = 0.05
_log = logging.getLogger(__name__)

Stamp = tuple[int, ...]


Template = EmailTemplate | SmsTemplate | WhatsAppTemplate


class _Kept(NamedTuple):
    template: Template
    names: tuple[str, ...]
    stamp: Stamp


class Catalogue:
    """Finds and compiles templates below ``folder``. Thread-safe.

    ``look_every``: the longest that a change may go unnoticed, in seconds.
    """

    def __init__(
        self, folder: Path, default_locale: str, *, look_every: float = LOOK_EVERY
    ) -> None:
        self.folder = folder
        self._default_locale = default_locale
        self._look_every = look_every
        #: by template, and by part of one, until when it need not be looked at
        self._seen: dict[str | tuple[str, str, str], float] = {}
        self._kept: dict[tuple[str, str, str], _Kept] = {}
        #: by template its folder, when that last changed, and what is in it
        self._listed: dict[str, tuple[str, int, dict[str, dict[str, Path]]]] = {}
        self._warned: dict[tuple[str, str, str], Stamp] = {}
        self._lock = Lock()

    def locales(self, name: str, channel: str) -> dict[str, Path]:
        """By locale the file that holds ``channel`` of the template ``name``.

        Raises ``RenderError`` when there is none.
        """
        found = self._files(name).get(channel)
        if not found:
            place = f"{self.folder.name}/{name}"
            kind = f"{channel}.en.{_ENDS.get(channel, ('txt',))[0]}"
            raise RenderError(f"The template {name} has no {channel}: write {place}/{kind}.")
        return found

    def _files(self, name: str) -> dict[str, dict[str, Path]]:
        """The files of a template by channel and locale."""
        known = self._listed.get(name)
        if known and self._fresh(name):
            return known[2]
        if known is None and not _NAME.fullmatch(name):
            raise RenderError(f"{name!r} is no name of a template.")
        place = known[0] if known else str(self.folder / name)
        try:
            changed = os.stat(place).st_mtime_ns
        except OSError:
            raise RenderError(
                f"There is no template {name}: the folder {self.folder.name}/{name} is missing."
            ) from None
        if known is None or known[1] != changed:
            known = (place, changed, self._list(name))
            self._listed[name] = known
        return known[2]

    def get(self, name: str, channel: str, locale: str) -> Template:
        """What the template ``name`` is in ``channel`` and ``locale`` (one of ``locales``).

        Raises ``RenderError`` where it cannot be compiled.
        """
        files = self._listed[name][2] if name in self._listed else self._files(name)
        path = files[channel][locale]
        text = files.get("text", {}).get(locale) if channel == "email" else None
        key = (name, path.name, text.name if text else "")
        if channel == "email":
            return self._get(key, lambda: compile_email(self.folder, path, text, locale))
        compiler = compile_whatsapp if channel == "whatsapp" else compile_sms
        return self._get(key, lambda: compiler(self.folder, path, locale))

    def _list(self, name: str) -> dict[str, dict[str, Path]]:
        channels: dict[str, dict[str, Path]] = {}
        for path in sorted((self.folder / name).iterdir()):
            found = _FILE.fullmatch(path.name)
            if not found:
                continue
            channel, locale, suffix = found.groups()
            if channel == "email" and suffix == "txt":
                channel = "text"
            if suffix not in _ENDS[channel]:
                continue
            channels.setdefault(channel, {})[locale or self._default_locale] = path
        return channels

    def _fresh(self, what: str | tuple[str, str, str]) -> bool:
        """Whether ``what`` was looked at just now; if not, it is from here on."""
        now = monotonic()
        if now < self._seen.get(what, 0.0):
            return True
        self._seen[what] = now + self._look_every
        return False

    def _get(self, key: tuple[str, str, str], make: Callable[[], Template]) -> Template:
        kept = self._kept.get(key)
        if kept and self._fresh(key):
            return kept.template
        if kept and kept.stamp == (now := _stamp(kept.names)):
            return kept.template
        with self._lock:
            again = self._kept.get(key)
            if again is not kept and again is not None:
                return again.template
            if kept and self._warned.get(key) == now:
                return kept.template
            try:
                made = make()
            except RenderError as error:
                if not kept:
                    raise
                self._warned[key] = now
                _log.warning("%s; its last good version stays in use.", error)
                return kept.template
            names = tuple(map(str, made.files))
            self._kept[key] = _Kept(made, names, _stamp(names))
            return made


def _stamp(names: tuple[str, ...]) -> Stamp:
    """When each file last changed; 0 for one that is not there."""
    stamp = []
    for name in names:
        try:
            stamp.append(os.stat(name).st_mtime_ns)
        except OSError:
            stamp.append(0)
    return tuple(stamp)
