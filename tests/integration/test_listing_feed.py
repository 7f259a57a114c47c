"""What a segment feeds to a list: only the difference, whoever wrote it and whenever it commits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from engine.store import listing_feed, profiles, segments
from engine.store.database import Connection, Database
from engine.store.segments import Row
from tests.integration.ad_kit import GOOGLE, NOW

LIST, PLACE = GOOGLE.audience, "00000000-0000-0000-0000-00000000f00d"
MANY = 20_000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as made:
        yield made


def feed(database: Database, now: datetime = NOW, segment: str = "it") -> tuple[int, int]:
    with database.connection() as connection:
        return listing_feed.feed(connection, LIST, segment, PLACE, now)


def begin(database: Database) -> None:
    """From here on the difference is enough."""
    for _ in range(2):
        feed(database)


def move(database: Database, member: bool, *who: int, segment: str = "it") -> None:
    with database.connection() as connection:
        segments.write(connection, [Row(id, segment, member, NOW, None) for id in who])


def wanted(database: Database) -> list[int]:
    with database.connection() as connection:
        rows = connection.execute(
            "select profile_id from audience_member where wanted order by 1"
        ).fetchall()
    return [id for (id,) in rows]


def waiting(database: Database) -> int:
    with database.connection() as connection:
        row = connection.execute("select count(*) from audience_moved").fetchone()
    assert row is not None
    return int(row[0])


def read(connection: Connection) -> int:
    """Rows that this connection has read of members and of places."""
    row = connection.execute(
        """select sum(seq_tup_read + idx_tup_fetch)::int from pg_stat_xact_user_tables
            where relname in ('segment_member', 'audience_member', 'audience_moved')"""
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_turn_reads_what_has_changed_and_not_the_members(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(
            "insert into segment_member select n, 'it', true, %s from generate_series(1, %s) n",
            [NOW, MANY],
        )
    begin(database)
    with database.connection() as connection:
        connection.execute("analyze segment_member, audience_member")
    assert len(wanted(database)) == MANY
    move(database, False, 1, 2, 3, 4, 5)
    move(database, True, *range(MANY + 1, MANY + 6))
    with database.probing() as connection:
        before = read(connection)
        assert listing_feed.feed(connection, LIST, "it", PLACE, NOW) == (5, 5)
        assert read(connection) - before < 200
        before = read(connection)
        assert listing_feed.feed(connection, LIST, "it", PLACE, NOW) == (0, 0)
        assert read(connection) == before
        # What it would cost to look at all of them.
        listing_feed.feed(connection, LIST, "it", PLACE, NOW + timedelta(days=1))
        assert read(connection) - before >= MANY


def test_every_way_of_moving_is_told_and_moves_of_others_are_not(database: Database) -> None:
    begin(database)
    move(database, True, 1, 2, 3)
    move(database, True, 1, 2, segment="other")
    assert waiting(database) == 3
    assert feed(database) == (3, 0)
    with database.connection() as connection:
        connection.execute("update segment_member set look_at = %s", [NOW])
    assert waiting(database) == 0, "a look to come moves nobody"
    with database.connection() as connection:
        connection.execute("delete from segment_member where profile_id = 1 and segment = 'it'")
        connection.execute("update segment_member set member = not member where segment = 'it'")
    move(database, True, 3)
    assert feed(database) == (0, 2)
    assert wanted(database) == [3]


def test_whatever_happens_the_places_are_the_members(database: Database) -> None:
    begin(database)
    chance = random.Random(5)
    members: set[int] = set()
    for _ in range(60):
        who = chance.sample(range(1, 40), chance.randint(1, 12))
        member = chance.random() < 0.5
        move(database, member, *who)
        members = members | set(who) if member else members - set(who)
        if chance.random() < 0.4:
            feed(database)
            assert wanted(database) == sorted(members)
    feed(database)
    assert wanted(database) == sorted(members)
    assert waiting(database) == 0


def test_who_moved_in_a_transaction_from_before_is_not_missed(database: Database) -> None:
    with database.connection() as early:
        segments.write(early, [Row(1, "it", True, NOW, None)])
        for _ in range(3):
            assert feed(database) == (0, 0)
    assert waiting(database) == 0, "its trigger did not know of the list"
    assert feed(database) == (1, 0)
    with database.connection() as late:
        segments.write(late, [Row(2, "it", True, NOW, None)])
        assert feed(database) == (0, 0)
    assert feed(database) == (1, 0)


def test_whose_place_is_held_by_a_drain_is_next(database: Database) -> None:
    begin(database)
    move(database, True, 1, 2)
    feed(database)
    move(database, False, 1, 2)
    with database.connection() as drain:
        drain.execute("select from audience_member where profile_id = 1 for update")
        assert feed(database) == (0, 1)
    assert waiting(database) == 1
    assert feed(database) == (0, 1)
    assert (wanted(database), waiting(database)) == ([], 0)


def test_a_turn_that_dies_has_taken_nothing(database: Database) -> None:
    begin(database)
    move(database, True, 1)
    with pytest.raises(ZeroDivisionError), database.connection() as connection:
        listing_feed.feed(connection, LIST, "it", PLACE, NOW)
        raise ZeroDivisionError
    assert (wanted(database), waiting(database)) == ([], 1)
    assert feed(database) == (1, 0)


def test_once_a_day_all_are_looked_at(database: Database) -> None:
    begin(database)
    move(database, True, 1)
    with database.connection() as connection:
        connection.execute("delete from audience_moved")  # as after a repair by hand
    assert feed(database, NOW + timedelta(hours=23)) == (0, 0)
    assert feed(database, NOW + timedelta(hours=25)) == (1, 0)


def test_another_segment_takes_the_list_over(database: Database) -> None:
    begin(database)
    move(database, True, 1, 2)
    move(database, True, 2, 3, segment="other")
    feed(database)
    place = "00000000-0000-0000-0000-0000000000aa"
    with database.connection() as connection:
        assert listing_feed.feed(connection, LIST, "other", place, NOW) == (2, 2)
    assert sorted(set(wanted(database))) == [2, 3]
    with database.connection() as connection:
        assert listing_feed.feed(connection, LIST, "", PLACE, NOW) == (0, 2)
    move(database, True, 4, segment="other")
    assert waiting(database) == 0, "a list that no segment feeds hears of none"


@pytest.mark.parametrize("both", [True, False], ids=["both members", "only who is gone"])
def test_two_who_turn_out_to_be_one_have_one_place(database: Database, both: bool) -> None:
    with database.connection() as connection:
        for id in (1, 2):
            connection.execute("insert into profile (id, born_of) values (%s, 'u')", [id])
    begin(database)
    move(database, True, *((1, 2) if both else (1,)))
    feed(database)
    with database.connection() as connection:
        connection.execute("update audience_member set listed = true where profile_id = 1")
        profiles.merge(connection, 1, 2, [], NOW)
        segments.merge(connection, 1, 2)
        segments.write(connection, [Row(2, "it", False, NOW, None)])  # together they are out
    assert feed(database)[1] == 1
    with database.connection() as connection:
        rows = connection.execute("select profile_id, wanted, listed from audience_member")
        assert rows.fetchall() == [(2, False, True)], "the platform is yet to be told"
    assert feed(database) == (0, 0)
