"""The words of the preference pages, in the languages that Winback ships."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from babel.dates import format_date

_FILE = Path(__file__).with_name("preference_words.toml")


@dataclass(frozen=True, slots=True)
class Words:
    """One language: ``t["key"]`` in the template. ``dir`` is ltr or rtl; ``version`` names the
    wording that a shopper saw, for the proof of what they agreed to."""

    lang: str
    dir: str
    version: str
    said: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.said[key]

    def date(self, moment: Any) -> str:
        return str(format_date(moment, "long", locale=self.lang))


@lru_cache(maxsize=1)
def words() -> dict[str, Words]:
    """All languages by their tag, English first."""
    content = _FILE.read_bytes()
    version = blake2b(content, digest_size=4).hexdigest()
    tables = tomllib.loads(content.decode())
    return {tag: Words(tag, said["dir"], version, said) for tag, said in tables.items()}


def language_of(tags: Iterable[str]) -> str:
    """The first of ``tags`` (BCP 47) that we have words for, else English."""
    for tag in tags:
        language = tag.replace("_", "-").partition("-")[0].lower()
        if language in words():
            return language
    return "en"
