"""The words that stop, start and ask for help: those shipped beside this file, with the changes of
``keywords`` in config/winback.yaml."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import get_args

from engine.core.keywords import folded
from engine.language.fields import Fields, read_entries, read_list, read_text
from engine.language.reader import parse
from engine.language.report import Place, Report
from engine.language.tree import Listing, Tree
from engine.language.tree import Mapping as Keys
from engine.model.policy import Keywords, Meaning, Shop

_FILE = "keywords.yaml"
KEYS = ("answers", "words", "texts")
MEANINGS: tuple[Meaning, ...] = get_args(Meaning)

#: Beside them: what says yes to the question of a double opt-in.
CONFIRM = "confirm"
WORDS = (*MEANINGS, CONFIRM)

_Words = dict[str, dict[str, list[str]]]
_Texts = dict[str, dict[Meaning, str]]


class _Table:
    """One table as it is written: what it does not say is as in the one ``below`` it."""

    def __init__(self, report: Report, fields: Fields, below: _Table | None = None) -> None:
        chosen = fields.choice("answers", ("provider", "ours"))
        self.answers: str = chosen or (below.answers if below else "provider")
        self.words: _Words = dict(below.words) if below else {}
        for language, found in _by_language(report, fields, "words", WORDS):
            listed: dict[str, list[str]] = {}
            for meaning in WORDS:
                node = found.get(meaning)
                items = read_list(report, node, f"'{meaning}'") if node is not None else []
                if isinstance(node, Listing):  # else what is shipped holds
                    words = [read_text(report, item, "a keyword") for item in items]
                    listed[meaning] = [word for word in words if word]
            self.words[language] = {**self.words.get(language, {}), **listed}
        self.texts: _Texts = dict(below.texts) if below else {}
        for language, found in _by_language(report, fields, "texts", MEANINGS):
            said = {meaning: text for meaning in MEANINGS if (text := found.text(meaning))}
            self.texts[language] = {**self.texts.get(language, {}), **said}

    def made(self, shop: Shop) -> Keywords:
        """Where a word is in two languages, it means what it does in the first of them; and STOP
        before all else: such a word confirms nothing."""
        words: dict[str, tuple[Meaning, str]] = {}
        for meaning in MEANINGS:
            for language, listed in self.words.items():
                for word in listed.get(meaning, ()):
                    if place := folded(word):
                        words.setdefault(place, (meaning, language))
        confirms: dict[str, str] = {}
        for language, listed in self.words.items():
            for word in listed.get(CONFIRM, ()):
                if (place := folded(word)) and words.get(place, ("start",))[0] == "start":
                    confirms.setdefault(place, language)
        if self.answers == "provider":
            return Keywords(words, confirms=confirms)
        contact = shop.reply_to or shop.email_from
        return Keywords(
            words,
            {
                (meaning, language): text.replace("{shop}", shop.name).replace("{contact}", contact)
                for language, said in self.texts.items()
                for meaning, text in said.items()
            },
            confirms,
        )


def default_keywords(shop: Shop) -> dict[str, Keywords]:
    """Those that hold until the shop says otherwise."""
    return {"*": _shipped().made(shop)}


def read_keywords(report: Report, node: Tree | None, shop: Shop) -> dict[str, Keywords]:
    """``keywords`` of the shop's rules: by the shop's number, "*" any other. ``words`` and
    ``texts`` replace those of the same language and meaning, for all numbers or, under
    ``senders``, for one. Where it is wrong, what is shipped holds: a STOP must be heard."""
    if node is None:
        return default_keywords(shop)
    fields = Fields(report, node, "'keywords'", (*KEYS, "senders"))
    own = _Table(report, fields, _shipped())
    found = {"*": own.made(shop)}
    for key, value in read_entries(report, fields.get("senders"), "'senders'"):
        one = Fields(report, value, f"sender '{key.text}'", KEYS)
        found[key.text] = _Table(report, one, own).made(shop)
    return found


def _by_language(
    report: Report, fields: Fields, name: str, keys: tuple[str, ...]
) -> list[tuple[str, Fields]]:
    return [
        (key.text, Fields(report, value, f"'{key.text}'", keys))
        for key, value in read_entries(report, fields.get(name), f"'{name}'")
    ]


@lru_cache(maxsize=1)
def _shipped() -> _Table:
    report = Report(_FILE)
    tree = parse(Path(__file__).with_name(_FILE).read_bytes(), report)
    fields = Fields(report, tree or Keys(Place(1, 1), []), "the keywords", KEYS)
    return _Table(report, fields)
