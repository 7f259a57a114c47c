"""Links: short, opaque, unforgeable, and the same for ever."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError
from engine.rendering import Grant, Links
from engine.rendering.links import LONGEST_URL

SECRET = "a secret of the shop"
LINKS = Links(SECRET, "https://shop.example", ["offers", "news"])
IDS = st.integers(0, 2**63 - 1)


@given(IDS, st.sampled_from(["email", "sms"]), st.sampled_from(["offers", "news"]))
def test_a_token_says_what_it_was_made_for(profile: int, channel: str, topic: str) -> None:
    token = LINKS.token(profile, channel, topic)
    assert LINKS.read(token) == Grant(profile, channel, topic)
    assert len(LINKS.unsubscribe(token)) <= LONGEST_URL
    assert len(token) <= 32


@given(IDS, st.integers(0, 27), st.integers(1, 63))
def test_no_character_of_a_token_can_be_changed(profile: int, place: int, step: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = LINKS.token(profile, "email", "offers")
    other = alphabet[(alphabet.index(token[place]) + step) % 64]
    assert LINKS.read(token[:place] + other + token[place + 1 :]) is None


@given(st.text(max_size=40))
def test_what_we_did_not_make_means_nothing(text: str) -> None:
    assert LINKS.read(text) is None


def test_another_secret_is_another_shop() -> None:
    token = LINKS.token(7, "email", "offers")
    assert Links("another secret here", "https://shop.example", ["offers"]).read(token) is None


def test_reordering_topics_does_not_change_old_links_and_a_gone_topic_means_all() -> None:
    token = LINKS.token(7, "email", "offers")
    later = Links(SECRET, "https://new.example", ["zeta", "news", "offers"])
    assert later.read(token) == Grant(7, "email", "offers")
    assert Links(SECRET, "https://new.example", ["news"]).read(token) == Grant(7, "email", "*")


def test_a_transactional_topic_means_all_marketing() -> None:
    assert LINKS.read(LINKS.token(7, "email", "orders")) == Grant(7, "email", "*")


def test_an_address_that_would_break_the_header_is_refused_at_the_start() -> None:
    fits = "https://" + "h" * (LONGEST_URL - len("https:///u/") - 28)
    links = Links(SECRET, fits, [])
    url = links.unsubscribe(links.token(2**63 - 1, "email", "offers"))
    assert len(url) == LONGEST_URL
    with pytest.raises(ConfigError, match="room for 44"):
        Links(SECRET, fits + "h", [])
    # The limit is real: the stdlib keeps a link of this length and destroys a longer one.
    for address, survives in ((url, True), (url + "h", False)):
        mail = EmailMessage(policy=SMTP)
        mail["List-Unsubscribe"] = f"<{address}>"
        raw = mail.as_bytes()
        assert (address.encode() in raw) == survives
        assert message_from_bytes(raw) is not None


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="secret"):
        Links("short", "https://shop.example", [])
