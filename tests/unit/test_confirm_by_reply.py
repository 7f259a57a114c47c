"""The text message that asks for a confirmation names a word that confirms."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.cli._samples import Samples
from engine.core.keywords import folded
from engine.model.message import Sms

ROOT = Path(__file__).parents[2]
#: The word that is printed, by the language that it is printed in.
PRINTED = {"en": r"or reply (\S+)", "hi": r"या जवाब में (.+) लिखें", "ur": r"یا جواب میں (.+) لکھیں"}


@pytest.fixture(scope="module")
def samples() -> Samples:
    return Samples(ROOT, public_url="https://news.shop.example", secret="s" * 32)


def asked(samples: Samples, locale: str) -> str:
    rendered = samples.one("confirm-consent", "sms", locale).rendered
    assert isinstance(rendered, Sms)
    return rendered.body


def test_each_language_that_is_shipped_is_looked_at() -> None:
    there = {path.name.split(".")[1] for path in (ROOT / "templates").glob("confirm-consent/sms.*")}
    assert there == set(PRINTED)


@pytest.mark.parametrize("locale", sorted(PRINTED))
def test_the_word_that_is_printed_is_one_that_the_table_takes(
    samples: Samples, locale: str
) -> None:
    found = re.search(PRINTED[locale], asked(samples, locale))
    assert found
    keywords = samples.policy.keywords["*"]
    word = folded(found[1])
    assert keywords.confirms[word] == locale
    assert keywords.words.get(word, ("start",))[0] == "start", "such a word would stop instead"


@pytest.mark.parametrize("locale", sorted(PRINTED))
def test_a_sample_shows_the_link_that_confirms(samples: Samples, locale: str) -> None:
    """With the preferences in its place the text would be longer or shorter than it will be."""
    body = asked(samples, locale)
    [token] = re.findall(r"https://news\.shop\.example/confirm/([\w-]+)", body)
    assert token and "/preferences/" not in body


def test_a_link_confirms_on_the_channel_that_the_sample_is_of(samples: Samples) -> None:
    links = samples._renderer.links
    for channel in ("sms", "email"):
        rendered = samples.one("confirm-consent", channel, "en").rendered
        text = rendered.body if isinstance(rendered, Sms) else getattr(rendered, "text", "")
        found = re.search(r"/confirm/([\w-]+)", text)
        assert found
        confirmed = links.read_confirmation(found[1])
        assert confirmed is not None and confirmed.channel == channel
