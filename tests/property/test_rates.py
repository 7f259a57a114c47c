"""A limit holds in every span of its length, however many workers share it, whatever they do with
what they lease and however slow the database is."""

from __future__ import annotations

from bisect import bisect_left
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.rates import Book, lease, pace
from engine.model.sending import Rate

TODAY = date(2026, 12, 1)

RATES = st.builds(
    Rate,
    st.integers(1, 400),
    st.sampled_from([timedelta(seconds=1), timedelta(seconds=10), timedelta(minutes=1)]),
)
#: What one worker does: pause before it asks, what it wants, whether for promotion, how long the
#: question and the answer travel, and how far into its validity it uses each slot.
ASKS = st.lists(
    st.tuples(
        st.floats(0, 0.5),
        st.integers(1, 64),
        st.booleans(),
        st.floats(0, 0.05),
        st.floats(0, 0.05),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=60,
)


def worst(calls: list[float], span: float) -> int:
    """The most calls in any half-open span."""
    calls = sorted(calls)
    return max((bisect_left(calls, at + span) - i for i, at in enumerate(calls)), default=0)


@settings(max_examples=300, deadline=None)
@given(rate=RATES, workers=st.lists(ASKS, min_size=1, max_size=4))
def test_no_span_ever_holds_more(rate: Rate, workers: list[list[tuple[float, ...]]]) -> None:
    limit = pace(rate)
    asks = []
    for number, what in enumerate(workers):
        at = 1.7e9 + number * 0.013
        for pause, wanted, promotion, there, back, late in what:
            at += pause * rate.per.total_seconds() / 10 + 1e-3
            asks.append((at, wanted, promotion, there, back, late))
    book, calls = Book(), []
    for sent, wanted, promotion, there, back, late in sorted(asks):
        asked = sent + there  # the database's moment
        book, given_ = lease(
            book, limit, None, int(wanted), asked, TODAY, promotion=bool(promotion)
        )
        answered = asked + back
        for n in range(given_.count):
            slot = given_.first + n * given_.spacing
            # As the desk reckons: never before the slot, never after its end by the own clock.
            begin = answered + (slot - asked)
            end = sent + (slot - asked) + given_.valid
            if begin <= end:
                calls.append(begin + late * (end - begin))
    assert worst(calls, rate.per.total_seconds()) <= rate.messages


@given(rate=RATES, wanted=st.integers(1, 64))
def test_it_is_nearly_used_up_by_who_keeps_asking(rate: Rate, wanted: int) -> None:
    limit, book, now, count = pace(rate), Book(), 1.7e9, 0
    end = now + 20 * rate.per.total_seconds()
    while now < end:
        book, found = lease(book, limit, None, wanted, now, TODAY, promotion=False)
        count += found.count
        now = max(now + 1e-3, found.more_at if found.count < wanted else 0)
    assert 17 * rate.messages <= count <= 22 * rate.messages + 1


@given(rate=RATES, start=st.floats(0, 1))
def test_promotion_leaves_a_share_to_receipts(rate: Rate, start: float) -> None:
    limit, book, now = pace(rate), Book(), 1.7e9 + start
    promotion = receipts = 0
    end = now + 20 * rate.per.total_seconds()
    while now < end:
        book, found = lease(book, limit, None, 64, now, TODAY, promotion=True)
        promotion += found.count
        book, found = lease(book, limit, None, 1, now, TODAY, promotion=False)
        receipts += found.count
        if found.count:  # a receipt never waits long behind promotion
            assert found.first - now <= 2 * limit.ahead
        now += limit.ahead / 2
    assert promotion <= 0.91 * 21 * rate.messages + 2
    assert receipts >= 0.05 * 19 * rate.messages - 2
