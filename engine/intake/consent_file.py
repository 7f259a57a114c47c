"""Consent that a shop brings along: files of decisions, each with its time and proof.

A decision becomes an event like any other: it goes through the inbox, counts once however often
its file is imported, holds back what waits for its shopper until it is worked, and never
outdoes a later word.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from engine.core.consent import GIVEN, WITHDRAWN
from engine.core.receipts import REPORTER
from engine.errors import WinbackError
from engine.intake.identifiers import identifier, read_email, read_phone
from engine.intake.recordings import opened
from engine.model.event import Event
from engine.model.policy import Policy

#: Who made these events.
MAKER = "import"
REQUIRED = ("identifier", "channel", "granted", "at")
OPTIONAL = ("topic", "source", "text", "url", "version", "ip", "method", "language")
CHANNELS = ("email", "sms", "whatsapp", "push", "ads")
_YES = frozenset({"true", "yes", "1", "y", "granted"})
_NO = frozenset({"false", "no", "0", "n", "withdrawn"})
_PROOF = ("text", "url", "version", "ip", "language")


class ConsentFileError(WinbackError):
    """The file as a whole cannot be read."""


class Refused(NamedTuple):
    """A line that is not taken, as it was written, and why."""

    line: int
    row: Mapping[str, Any]
    reason: str


class Reader:
    """Reads decisions for one shop; ``now`` is the time of the import (UTC)."""

    def __init__(self, policy: Policy, now: datetime) -> None:
        self._shop = policy.shop
        self._topics = {n for n, topic in policy.topics.items() if topic.consent != "none"}
        self._zone = ZoneInfo(policy.shop.timezone)
        self._now = now

    def read(self, file: Path, *, lines: bool) -> Iterator[Event | Refused]:
        """The decisions of ``file`` ("-": standard input), in CSV or, with ``lines``, in JSON
        Lines. Raises ``ConsentFileError`` for a file that is not text, or a CSV without the
        columns that are needed."""
        rows = _json_rows(file) if lines else _csv_rows(file)
        for number, row, broken in rows:
            if broken:
                yield Refused(number, row, broken)
                continue
            try:
                yield self._event(row, file.name, number)
            except ValueError as error:
                yield Refused(number, row, str(error))

    def _event(self, row: Mapping[str, Any], file: str, line: int) -> Event:
        name = self._identifier(_text(row, "identifier"))
        channel = _text(row, "channel").lower()
        if channel not in CHANNELS:
            raise ValueError(f"channel must be one of {', '.join(CHANNELS)}, not {channel!r}")
        topic = _text(row, "topic") or "*"
        if topic != "*" and topic not in self._topics:
            known = ", ".join(sorted(self._topics))
            raise ValueError(f"there is no topic {topic!r} to agree to: there are {known} and *")
        granted = _granted(row.get("granted"))
        at = self._moment(_text(row, "at"))
        method = _text(row, "method")
        properties: dict[str, Any] = {
            "channel": channel,
            "topic": topic,
            "source": _text(row, "source") or "import",
            "method": f"import: {method}" if method else "import",
            "proof": {
                **{key: value for key in _PROOF if (value := _text(row, key))},
                "file": file,
                "line": line,
            },
        }
        if granted and method.casefold() == "double opt-in":
            properties["confirmed"] = True
        said = [name, channel, topic, granted, at.isoformat(), *(_text(row, k) for k in OPTIONAL)]
        id = blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()
        return Event(
            f"import:consent:{id}",
            "track",
            GIVEN if granted else WITHDRAWN,
            at,
            self._now,
            (name,),
            properties,
            {REPORTER: MAKER},
        )

    def _identifier(self, text: str) -> str:
        kind, colon, value = text.partition(":")
        found: str | None = None
        if colon and kind in ("user", "anonymous"):
            found = identifier(kind, value)
        elif colon and kind == "email":
            return read_email(value)
        elif colon and kind == "phone":
            return read_phone(value, self._shop.country)
        elif "@" in text:
            return read_email(text)
        elif text.lstrip("+").replace(" ", "").replace("-", "").isdecimal():
            return read_phone(text, self._shop.country)
        if found is None:
            raise ValueError(
                f"identifier {text[:3]}… is no e-mail address and no phone number; write a user's "
                "id as user:42"
                if text
                else "identifier is empty"
            )
        return found

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"at must be a time like 2026-03-02T10:00Z, not {text!r}") from None
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).astimezone(UTC)
        if moment > self._now:
            raise ValueError(f"at is in the future: {text}")
        if moment.year < 1990:
            raise ValueError(f"at is before there was any of this: {text}")
        return moment


def _granted(value: object) -> bool:
    word = str("" if value is None else value).strip().casefold()
    if word in _YES or word in _NO:
        return word in _YES
    raise ValueError(f"granted must be yes or no, not {word!r}")


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    # What an export put before a text that a spreadsheet would have run.
    return str("" if value is None else value).strip().removeprefix("'")


Rows = Iterator[tuple[int, Mapping[str, Any], str]]


def _csv_rows(file: Path) -> Rows:
    try:
        with opened(file) as stream:
            text = TextIOWrapper(stream, "utf-8-sig", newline="")
            sample = text.readline()
            delimiter = ";" if sample.count(";") > sample.count(",") else ","
            header = [
                name.strip().lower() for name in next(csv.reader([sample], delimiter=delimiter), [])
            ]
            missing = [name for name in REQUIRED if name not in header]
            if missing:
                raise ConsentFileError(
                    f"{file}: its first line must name the columns; {', '.join(missing)} "
                    f"{'is' if len(missing) == 1 else 'are'} missing."
                )
            reader = csv.reader(text, delimiter=delimiter)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                wrong = ""
                if len(cells) != len(header):
                    wrong = f"{len(cells)} cells, and {len(header)} columns"
                yield reader.line_num + 1, dict(zip(header, cells, strict=False)), wrong
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConsentFileError(f"{file}: this is no CSV in UTF-8: {error}") from error


def _json_rows(file: Path) -> Rows:
    with opened(file) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                yield number, {"raw": line.decode("utf-8", "replace").strip()}, f"no JSON: {error}"
                continue
            if isinstance(row, dict):
                yield number, row, ""
            else:
                yield number, {"raw": row}, "this is no JSON object"
