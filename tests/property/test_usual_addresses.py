"""The short way for usual mail addresses says what the library says."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.model import address
from engine.model.address import Mailbox, NotAnAddress

#: Parts that are usual, and what comes close to it.
PARTS = st.text("abcXYZ019._+-", max_size=12)
ENDS = st.sampled_from(
    ["com", "co.uk", "museum", "example", "test", "local", "xn--p1ai", "c", "COM"]
)


def said(text: str, *, short: bool) -> Mailbox | str:
    try:
        if short:
            return address.mailbox.__wrapped__(text)
        return address._unusual(text, False, True)
    except NotAnAddress as error:
        return str(error)


@settings(max_examples=500)
@given(
    st.builds("{}@{}.{}".format, PARTS, PARTS, ENDS) | st.from_regex(address._USUAL, fullmatch=True)
)
@example("a" * 40 + "@" + "b" * 63 + ".com")
@example("a@" + "b" * 61 + ".com")
@example("asha@xn--p1ai.com")
@example("a@b--c.com")
@example("-a-@b.com")
def test_both_ways_say_the_same(text: str) -> None:
    assert said(text, short=True) == said(text, short=False)


def test_the_short_way_is_taken() -> None:
    assert address._USUAL.fullmatch("asha.rao+shop@mail.example.co.in")
    assert {"test", "local", "invalid"} <= address._DOUBTFUL
