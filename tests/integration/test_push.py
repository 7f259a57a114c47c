"""The lists of ad platforms, kept by API: who comes, who is let go, and what may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.errors import ConfigError
from engine.runtime.reconcile import reconcile
from engine.store.database import Database
from engine.testing.google import GoogleSimulator
from engine.testing.meta import MetaSimulator
from engine.testing.simulator import CUT, DROP, Fault, answering
from tests.integration.ad_kit import GOOGLE, META, AdShop, google_of, h, meta_of

G, M = GOOGLE.audience, META.audience


@pytest.fixture
def google() -> Iterator[GoogleSimulator]:
    with GoogleSimulator() as simulator:
        yield simulator


@pytest.fixture
def meta() -> Iterator[MetaSimulator]:
    with MetaSimulator() as simulator:
        yield simulator


@pytest.fixture
def shop(database_url: str, google: GoogleSimulator, meta: MetaSimulator) -> Iterator[AdShop]:
    platforms = {"google": google_of(google), "meta": meta_of(meta)}
    with Database(database_url) as database:
        yield AdShop(database, platforms)
    for platform in platforms.values():
        platform.close()


def on(simulator: GoogleSimulator | MetaSimulator) -> set[str]:
    return simulator.lists.on(GOOGLE.list if isinstance(simulator, GoogleSimulator) else META.list)


def test_the_purchase_takes_the_shopper_off_everywhere(
    shop: AdShop, google: GoogleSimulator, meta: MetaSimulator
) -> None:
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile, G, key="g")
        shop.run(profile, M, key="m")
    done = shop.push()
    assert (done[G].added, done[M].added) == (2, 2)
    assert on(google) == on(meta) == {h("1@example.com"), h("2@example.com")}
    assert (shop.states(G), shop.states(M)) == ({"sent": 2}, {"confirmed": 2})
    shop.push()
    assert shop.states(G) == {"confirmed": 2}
    requests = (google.count, meta.count)
    shop.push(3)
    assert (google.count, meta.count) == requests, "nothing changed, nothing is sent"

    shop.buys(1)
    shop.push(2)
    assert on(google) == on(meta) == {h("2@example.com")}
    assert shop.states(G) == {"confirmed": 1, "removed": 1}
    rows = shop.sql(
        """select off_reason, removed_at - off_at < '10 seconds', member, email
             from audience_listing where status = 'removed'"""
    )
    assert rows == [("stopped", True, None, "")] * 2, "hashes are forgotten with the removal"


def test_a_refund_may_put_back(shop: AdShop, google: GoogleSimulator) -> None:
    shop.shopper(1, email="1@example.com")
    shop.run(1)
    shop.push(2)
    shop.buys(1)
    shop.push(2)
    assert on(google) == set()
    shop.run(1, key="after the refund")
    shop.push(2)
    assert on(google) == {h("1@example.com")}
    assert shop.states() == {"confirmed": 1, "removed": 1}


def test_nobody_is_added_whose_stop_is_accepted(shop: AdShop, google: GoogleSimulator) -> None:
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile)
    order = shop.accept(1)
    shop.push(2)
    assert on(google) == {h("2@example.com")}
    assert shop.states() == {"ready": 1, "confirmed": 1}
    shop.drain(1, order)
    shop.push(2)
    assert google.lists.asked[GOOGLE.list, h("1@example.com")] == 0
    assert shop.states() == {"removed": 1, "confirmed": 1}


def test_a_removal_goes_before_the_additions(shop: AdShop, google: GoogleSimulator) -> None:
    shop.shopper(1, email="1@example.com")
    shop.run(1)
    shop.push(2)
    shop.buys(1)
    shop.shoppers(50, first=100)
    shop.push(2)
    assert [change.action for change in google.lists.changes] == ["add", "remove", "add"]


def test_a_removal_that_overtakes_its_addition_is_made_again(
    shop: AdShop, google: GoogleSimulator
) -> None:
    # The addition takes long; the removal behind it is worked at once.
    google.processing = lambda number, action: 3600.0 if number == 1 else 0.0
    shop.shopper(1, email="1@example.com")
    shop.run(1)
    shop.push()
    shop.buys(1)
    shop.push(4)
    assert [c.action for c in google.lists.changes] == ["remove"], "it has overtaken"
    assert shop.states() == {"sent": 1}, "and is not believed"
    google.finish(1)
    assert on(google) == {h("1@example.com")}
    shop.on(300)
    shop.push(3)
    assert [c.action for c in google.lists.changes] == ["remove", "add", "remove"]
    assert on(google) == set()
    assert shop.states() == {"removed": 1}


def test_who_is_back_before_being_let_go_is_not_sent_again(
    shop: AdShop, google: GoogleSimulator
) -> None:
    shop.shopper(1, email="1@example.com")
    shop.run(1)
    shop.push(2)
    shop.buys(1)
    shop.run(1, key="another product")
    shop.push(2)
    assert on(google) == {h("1@example.com")}
    assert len(google.lists.changes) == 1


def test_withdrawn_consent_and_a_block_take_off_everywhere(
    shop: AdShop, google: GoogleSimulator, meta: MetaSimulator
) -> None:
    for profile in (1, 2, 3, 4):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile, G, key="g")
        shop.run(profile, M, key="m")
    shop.push(2)
    shop.consent(1, False)
    shop.consent(2, False, "ad_personalization")
    shop.sql(
        "insert into suppression values ('email:3@example.com', 'email', 'complaint', %s)",
        shop.clock.now(),
    )
    shop.push(2)
    assert on(google) == on(meta) == {h("4@example.com")}
    reasons = dict(shop.sql("select off_reason, count(*) from audience_listing group by 1"))
    assert reasons == {"": 2, "consent": 4, "suppressed": 2}
    shop.on(5)
    shop.consent(1, True)
    shop.consent(2, True, "ad_personalization")
    shop.push(2)
    assert on(google) == {h(f"{n}@example.com") for n in (1, 2, 4)}


def test_the_law_of_some_countries_wants_a_yes(shop: AdShop, google: GoogleSimulator) -> None:
    for profile, country in ((1, "PK"), (2, "DE"), (3, "DE"), (4, "DE"), (5, "CH")):
        shop.shopper(profile, email=f"{profile}@example.com", address={"country": country})
        shop.run(profile)
    shop.consent(3, True)
    shop.consent(4, True, "ad_user_data")
    shop.push(2)
    assert on(google) == {h("1@example.com"), h("3@example.com")}
    bodies = "".join(r.body.decode() for r in google.received if r.method == "POST")
    assert bodies.count('"consent"') == 1
    shop.on(5)
    shop.consent(4, True, "ad_personalization")
    shop.push(2)
    assert h("4@example.com") in on(google)


def test_opt_in_sends_only_who_said_yes(shop: AdShop, google: GoogleSimulator) -> None:
    shop.policy = replace(shop.policy, ads_consent="opt-in")
    for profile in (1, 2):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.run(profile)
    shop.consent(2, True)
    shop.push(2)
    assert on(google) == {h("2@example.com")}


def test_two_shoppers_with_one_address(shop: AdShop, google: GoogleSimulator) -> None:
    shop.shopper(1, email="home@example.com")
    shop.shopper(2, email="home@example.com", phone="+923001234567")
    shop.shopper(3, email="home@example.com")
    for profile in (1, 2, 3):
        shop.run(profile)
    shop.push(3)
    address, phone = h("home@example.com"), h("+923001234567")
    assert on(google) == {address, phone}
    assert shop.states() == {"confirmed": 3}
    assert google.lists.asked[GOOGLE.list, address] == 2, "the third is the first one's twin"
    shop.buys(2)
    shop.push(2)
    assert on(google) == {address}, "the others are still wanted there"
    shop.buys(1)
    shop.push(2)
    assert on(google) == {address}
    shop.buys(3)
    shop.push(2)
    assert on(google) == set()


def test_only_what_failed_is_sent_again(shop: AdShop, google: GoogleSimulator) -> None:
    shop.shoppers(20)
    google.passing |= {h("s3@example.com"), h("s7@example.com")}
    google.bad[h("s5@example.com")] = "INVALID_FORMAT"
    shop.push(8)
    assert shop.states() == {"confirmed": 19, "refused": 1}
    assert on(google) == {h(f"s{n}@example.com") for n in range(1, 21) if n != 5}
    twice = {who for (_, who), times in google.lists.asked.items() if times > 1}
    assert twice == {h("s3@example.com"), h("s7@example.com")}
    assert shop.sql("select problem from audience_listing where status = 'refused'") == [
        ("invalid_format",)
    ]


def test_one_bad_row_does_not_keep_the_others_back(shop: AdShop, google: GoogleSimulator) -> None:
    shop.shoppers(5)
    shop.push()
    shop.sql("update audience_listing set status = 'ready', maybe = false, add_request = null")
    shop.sql("""update audience_listing set member = '["nonsense","","","","",""]'
                 where profile_id = 3""")
    google.lists.remove(GOOGLE.list, on(google), 0.0)
    shop.push(3)
    assert shop.states() == {"confirmed": 4, "refused": 1}
    assert on(google) == {h(f"s{n}@example.com") for n in (1, 2, 4, 5)}


@pytest.mark.parametrize("fault", [answering(503, b"{}"), CUT, DROP])
def test_no_answer_is_made_good(shop: AdShop, google: GoogleSimulator, fault: Fault) -> None:
    shop.shoppers(5)
    google.script([fault])
    assert "may have" in shop.push()[G].problem
    assert shop.states() == {"ready": 5}
    shop.on(6)
    shop.push(2)
    assert shop.states() == {"confirmed": 5}
    assert len(on(google)) == 5


def test_bought_while_nobody_knows_whether_they_are_on(
    shop: AdShop, google: GoogleSimulator
) -> None:
    shop.shoppers(2)
    google.script([CUT])  # taken, and nobody was told
    shop.push()
    assert len(on(google)) == 2
    shop.buys(1)
    shop.on(6)
    shop.push(2)
    shop.on(100)  # what may have been on its way is over
    shop.push(3)
    assert on(google) == {h("s2@example.com")}
    assert shop.states() == {"confirmed": 1, "removed": 1}


def test_a_platform_that_wants_a_rest_gets_it(
    shop: AdShop, google: GoogleSimulator, meta: MetaSimulator
) -> None:
    shop.shoppers(3)
    shop.shoppers(3, M, first=10)
    refusal = google.refusal(429)
    google.script([answering(429, refusal.body, Retry_After="30")])
    done = shop.push()
    assert "too many requests" in done[G].problem
    assert done[M].added == 3, "the other platform goes on"
    asked = google.requests
    shop.push(10)
    assert google.requests == asked
    shop.on(30)
    shop.push(2)
    assert shop.states() == {"confirmed": 3}


def test_no_more_requests_in_a_minute_than_the_platform_takes(
    shop: AdShop, google: GoogleSimulator
) -> None:
    platform = google_of(google)
    platform.batch, platform.per_minute = 2, 3
    shop.platforms["google"] = platform
    shop.shoppers(10)
    assert "this minute" in shop.push()[G].problem
    assert len(on(google)) == 6
    shop.on(61)
    shop.push(2)
    assert len(on(google)) == 10


def test_missing_keys_are_said_and_keep_nobody_else_back(shop: AdShop, meta: MetaSimulator) -> None:
    def platform(name: str) -> object:
        if name == "google":
            raise ConfigError("Google audiences need a key.")
        return shop.platforms[name]

    shop.pusher.platform = platform  # type: ignore[assignment]
    shop.shoppers(2)
    shop.shoppers(2, M, first=10)
    done = shop.push()
    assert done[G].problem == "Google audiences need a key."
    assert len(on(meta)) == 2


def test_one_process_at_a_time(shop: AdShop, database_url: str) -> None:
    from engine.store.listings import locked

    shop.shoppers(2)
    with Database(database_url) as other, locked(other, G) as have:
        assert have
        assert shop.push()[G].busy
    assert shop.push()[G].added == 2


def test_a_segments_members_are_on_its_list(shop: AdShop, google: GoogleSimulator) -> None:
    fed = replace(GOOGLE, segment="top-customers")
    shop.policy = replace(shop.policy, audiences={G: fed})
    for profile in (1, 2, 3):
        shop.shopper(profile, email=f"{profile}@example.com")
        shop.sql(
            "insert into segment_member values (%s, 'top-customers', %s)", profile, profile < 3
        )
    shop.run(3)  # on account of a journey
    shop.push(3)
    assert on(google) == {h(f"{n}@example.com") for n in (1, 2, 3)}
    shop.sql("update segment_member set member = not member where profile_id in (1, 3)")
    shop.buys(3)  # the segment wants them all the same, as one of buyers would
    shop.push(3)
    assert on(google) == {h("2@example.com"), h("3@example.com")}
    shop.policy = replace(shop.policy, audiences={G: GOOGLE})
    reconcile(shop.pusher)
    shop.push(3)
    assert on(google) == set(), "the audience is no longer the segment's"


def test_nobody_is_added_who_has_just_left_the_segment(
    shop: AdShop, google: GoogleSimulator
) -> None:
    shop.policy = replace(shop.policy, audiences={G: replace(GOOGLE, segment="top-customers")})
    shop.shopper(1, email="1@example.com")
    shop.sql("insert into segment_member values (1, 'top-customers', true)")
    google.script([answering(429, b"{}")])
    shop.push()
    assert shop.states() == {"ready": 1}
    shop.sql("update segment_member set member = false")
    shop.on(100)
    shop.push(2)
    assert google.lists.asked[GOOGLE.list, h("1@example.com")] == 0
