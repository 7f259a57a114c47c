"""P5: whatever was said in whatever order, the gate answers as a naive reading of it all does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.consent import consents_of, merged_consents, refusal, stricter
from engine.model.event import Event
from engine.model.policy import Policy
from engine.model.profile import Consent
from engine.store import profiles
from engine.store.database import Database
from tests.integration.runtime_kit import Pipeline, emptied, module_database
from tests.property.consent_model import CHANNELS, TOPICS, Person, Word, one_of
from tests.unit.core.build import T0

#: How far a word may come in late, and how long a pause lasts, in minutes.
LATE, PAUSE = 30, 90
NAMES = {"yes": "Consent Given", "sure": "Consent Given", "no": "Consent Withdrawn",
         "confirm": "Consent Confirmed", "stop": "Consent Withdrawn", "start": "Consent Given",
         "pause": "Consent Paused", "resume": "Consent Resumed"}  # fmt: skip

_numbers = count()


def moment(minutes: int) -> datetime:
    return T0 + timedelta(minutes=minutes)


def event(word: Word, who: tuple[str, ...], received: int) -> Event:
    said: dict[str, object] = {"channel": word.channel, "topic": word.topic}
    context = {}
    if word.what not in ("yes", "no"):
        context["made_by"] = "somebody we know"
    if word.what in ("stop", "start"):
        said["method"] = "keyword"
    elif word.what == "sure":
        said["confirmed"] = True
    elif word.what == "confirm":
        said["yes_at"] = moment(word.of).isoformat()
    elif word.what == "pause":
        said["until"] = moment(word.of).isoformat()
    id = f"c{next(_numbers):06d}"
    at, now = moment(word.time), moment(received)
    return Event(id, "track", NAMES[word.what], at, now, who, said, context)


# Of a whole channel nothing is confirmed: what a merge then keeps is stricter than it need be.
topics = st.sampled_from(["*", "offers", "news", "deals"])
said = st.tuples(
    st.sampled_from(["yes", "yes", "no", "confirm", "sure", "stop", "start", "pause", "resume"]),
    st.sampled_from(CHANNELS),
    topics,
    st.integers(0, LATE),
)


def word_of(
    person: Person, said: tuple[str, str, str, int], now: int, earliest: int
) -> Word | None:
    """The word as it can be said at ``now``; not before ``earliest``. A confirmation is of a yes
    that was said to a topic."""
    what, channel, topic, late = said
    time = max(now - late, earliest)
    if what in ("sure", "confirm") and topic == "*":
        topic = "offers"
    if what == "confirm":
        yeses = [w.time for w in person.words
                 if (w.what, w.channel, w.topic) == ("yes", channel, topic)]  # fmt: skip
        return Word(time, what, channel, topic, yeses[late % len(yeses)]) if yeses else None
    return Word(time, what, channel, topic, time + PAUSE if what == "pause" else 0)


def permits(consents: list[Consent], channel: str, topic: str, now: int) -> bool:
    return not refusal(TOPICS[topic], topic, channel, consents, moment(now))


# The same of one topic alone, where it comes to confirmations.
narrow = st.tuples(
    st.sampled_from(["yes", "no", "confirm", "sure"]),
    st.just("email"),
    st.sampled_from(["offers", "offers", "*"]),
    st.integers(0, LATE),
)


@given(
    st.one_of(st.lists(said, max_size=25), st.lists(narrow, max_size=12)),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=500)
def test_in_any_order_and_twice_it_comes_to_the_same(
    sequence: list[tuple[str, str, str, int]], random: object
) -> None:
    person, events = Person(), []
    for now, one in enumerate(sequence, 1):
        word = word_of(person, one, now * 10, 0)
        # Of two words about one place at the very same minute a yes and its like are no question.
        if word is None or any(w.time == word.time for w in person.words):
            continue
        person.words.append(word)
        events.append(event(word, ("user:1",), now * 10))
    random.shuffle(events)  # type: ignore[attr-defined]
    rows: dict[tuple[str, str], Consent] = {}
    for one_event in [*events, *events[:3]]:
        for consent in consents_of(one_event):
            place = (consent.channel, consent.topic)
            rows[place] = stricter(rows[place], consent) if place in rows else consent
    now = len(sequence) * 10 + 10
    for channel, topic in product(CHANNELS, TOPICS):
        expected = person.permits(channel, topic, now)
        assert permits(list(rows.values()), channel, topic, now) is expected, (channel, topic)


steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 2), said),
        st.tuples(st.integers(0, 2), narrow),
        st.tuples(st.integers(0, 2), st.integers(0, 2)),
    ),
    max_size=24,
)


@given(steps)
@settings(deadline=None, max_examples=300)
def test_of_shoppers_that_turn_out_to_be_one(sequence: list[tuple[int, object]]) -> None:
    people = [Person() for _ in range(3)]
    rows: list[dict[tuple[str, str], Consent]] = [{} for _ in range(3)]
    earliest = 0
    for now, (who, what) in enumerate(sequence, 1):
        time = now * 10
        if isinstance(what, int):
            if people[who] is people[what]:
                continue
            merged = merged_consents(rows[who].values(), rows[what].values())
            both = one_of(people[who], people[what])
            kept = {(c.channel, c.topic): c for c in merged}
            gone = (people[who], people[what])
            for place, person in enumerate(people):
                if person is gone[0] or person is gone[1]:
                    people[place], rows[place] = both, kept
            earliest = time
        else:
            word = word_of(people[who], what, time, earliest)  # type: ignore[arg-type]
            if word is None or any(w.time == word.time for w in people[who].words):
                continue
            people[who].words.append(word)
            for consent in consents_of(event(word, ("user:1",), time)):
                place = (consent.channel, consent.topic)
                known = rows[who].get(place)
                rows[who][place] = stricter(known, consent) if known else consent
        for person, found in zip(people, rows, strict=True):
            for channel, topic in product(CHANNELS, TOPICS):
                expected = person.permits(channel, topic, time)
                assert permits(list(found.values()), channel, topic, time) is expected


@pytest.fixture(scope="module")
def database(postgres_url: str, _template: str) -> Iterator[Database]:
    with module_database(postgres_url, _template) as found:
        yield found


@given(steps, st.integers(1, 5))
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_store_says_the_same(
    database: Database, sequence: list[tuple[int, object]], batch: int
) -> None:
    """Through the inbox, several words a drain, the merges by events that name two identities."""
    shop = Pipeline(emptied(database), [], policy=Policy(topics=TOPICS))
    people = [Person() for _ in range(3)]
    waiting: list[Event] = []
    earliest = time = 0
    try:
        for now, (who, what) in enumerate(sequence, 1):
            time = now * 10
            if isinstance(what, int):
                if people[who] is people[what]:
                    continue
                shop.drain(*waiting)  # a merge is of what had been worked by then
                for each in {who, what}:
                    shop.drain(Event(f"p{next(_numbers)}", "page", "Page", moment(time),
                                     moment(time), (f"email:{each}@x.de",), {}))  # fmt: skip
                waiting = []
                names = tuple(f"email:{each}@x.de" for each in sorted({who, what}))
                link = f"l{next(_numbers)}"
                shop.drain(Event(link, "page", "Page", moment(time), moment(time), names, {}))
                both, gone = one_of(people[who], people[what]), (people[who], people[what])
                people = [both if p is gone[0] or p is gone[1] else p for p in people]
                earliest = time
                continue
            word = word_of(people[who], what, time, earliest)  # type: ignore[arg-type]
            if word is None or any(w.time == word.time for w in people[who].words):
                continue
            people[who].words.append(word)
            waiting.append(event(word, (f"email:{who}@x.de",), time))
            if len(waiting) >= batch:
                shop.drain(*waiting)
                waiting = []
                _compare(shop, people, time)
        if waiting:
            shop.drain(*waiting)
        _compare(shop, people, time)
        shop.check()
    finally:
        shop.close()


def _compare(shop: Pipeline, people: list[Person], now: int) -> None:
    with shop.database.connection() as connection:
        for who, person in enumerate(people):
            row = connection.execute(
                "select profile_id from identity where identifier = %s", [f"email:{who}@x.de"]
            ).fetchone()
            known = profiles.consents(connection, [row[0]]).get(row[0], []) if row else []
            for channel, topic in product(CHANNELS, TOPICS):
                expected = person.permits(channel, topic, now)
                assert permits(known, channel, topic, now) is expected, (who, channel, topic)
