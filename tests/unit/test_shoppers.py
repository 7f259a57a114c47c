"""The scripted shoppers: what every cast holds, and how a play keeps its time."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import pytest

from engine.clock import FastClock
from engine.intake.segment import parse_event
from engine.testing.play import Play, PlayFailed
from engine.testing.shoppers import PLOTS, Act, Shopper, cast

HOURS = timedelta(hours=14)
NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)


def crowd(count: int = 360, seed: int = 20) -> list[Shopper]:
    return cast(count, seed=seed, over=HOURS)


def messages(shoppers: list[Shopper]) -> list[dict[str, Any]]:
    return [act.message for each in shoppers for act in each.acts if act.message]


def test_the_same_seed_gives_the_same_cast() -> None:
    assert crowd() == crowd()
    assert crowd() != crowd(seed=21)


def test_forty_shoppers_see_every_plot() -> None:
    counts = Counter(each.plot for each in crowd(40))
    assert set(counts) == set(PLOTS)
    assert all(counts[name] >= common for name, (_, common) in PLOTS.items())


def test_nobody_is_somebody_else() -> None:
    said = messages(crowd())
    ids = [message["messageId"] for message in said]
    assert len(ids) == len(set(ids))
    everyone = crowd()
    assert len({each.email for each in everyone}) == len(everyone)
    cookies = [
        {act.message["anonymousId"] for act in each.acts if "anonymousId" in act.message}
        for each in everyone
    ]
    assert all(len(own) <= 1 for own in cookies)
    known = [cookie for own in cookies for cookie in own]
    assert len(known) == len(set(known))


def test_another_cast_is_other_people() -> None:
    here = {each.email for each in crowd(40)}
    there = {each.email for each in cast(40, seed=20, over=HOURS, first=40)}
    assert not here & there


def test_they_come_in_order_within_the_time() -> None:
    entries = [each.enters for each in crowd()]
    assert entries == sorted(entries)
    assert timedelta(0) <= entries[0] and entries[-1] < HOURS


def test_the_collector_takes_all_that_they_say() -> None:
    for message in messages(crowd(80)):
        body = msgspec.json.encode(message)
        parsed = parse_event(body, message["type"], NOW, "US")
        assert not parsed.refusals, message
        assert parsed.events[0].identifiers


@pytest.mark.parametrize(
    ("plot", "kinds"),
    [
        ("buys as an address", {"email"}),
        ("buys as a user", {"user"}),
        ("buys as a cart", {"cart"}),
        ("is known after the order", {"email"}),
    ],
)
def test_the_second_identity_is_not_the_browser_s(plot: str, kinds: set[str]) -> None:
    (shopper,) = cast(1, seed=1, over=HOURS, plots=(plot,))
    order = next(a.message for a in shopper.acts if a.message.get("event") == "Order Completed")
    (event,) = parse_event(msgspec.json.encode(order), "track", NOW, "US").events
    assert {name.partition(":")[0] for name in event.identifiers} == kinds
    assert shopper.buys


def test_the_late_view_happened_before_the_order_that_overtook_it() -> None:
    (shopper,) = cast(1, seed=1, over=HOURS, plots=("orders before the view arrives",))
    order, view = (
        next(a for a in shopper.acts if a.message.get("event") == name)
        for name in ("Order Completed", "Product Viewed")
    )
    assert view.at > order.at
    assert view.at - view.ago < order.at - order.ago


def test_an_old_order_is_no_purchase_of_the_play() -> None:
    good, old = cast(2, seed=1, over=HOURS, plots=("is a good customer", "ordered long ago"))
    assert not good.buys and not old.buys


def test_names_follow_the_language_and_never_travel() -> None:
    goods = tuple(
        {"product_id": f"p{n}", "name": "Lamp", "names": {"en": "Lamp", "hi": "लैंप", "ur": "لیمپ"}}
        for n in range(2)
    )
    names: dict[str, str] = {}
    for each in cast(40, seed=3, over=HOURS, goods=goods, plots=("looks and leaves",)):
        joined, viewed = (act.message for act in each.acts)
        assert "names" not in viewed["properties"]
        names[joined["traits"]["locale"]] = viewed["properties"]["name"]
    assert names == {"en": "Lamp", "hi": "लैंप", "ur": "لیمپ"}


class Sink:
    """An HTTP server that keeps what it is told; ``answers`` are the statuses it gives first."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str, dict[str, Any]]] = []
        self.answers: list[int] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = sink.answers.pop(0) if sink.answers else 200
                if status == 200:
                    sink.got.append((self.path, self.headers["Authorization"], json.loads(body)))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    thread = threading.Thread(target=sink.server.serve_forever, args=(0.01,))
    thread.start()
    yield sink
    sink.server.shutdown()
    thread.join()
    sink.server.server_close()


@pytest.fixture
def clock() -> FastClock:
    """Ten hours a second."""
    return FastClock(datetime.now(UTC), 36_000)


@pytest.fixture
def play(sink: Sink, clock: FastClock) -> Iterator[Play]:
    play = Play(sink.url, "key", clock, leave_list=lambda address: address == "a@example.com")
    yield play
    play.close()


def track(at: float, name: str, **more: Any) -> Act:
    message = {"type": "track", "event": name, "messageId": name, "anonymousId": "x"}
    return Act(timedelta(hours=at), message, **more)


def test_a_play_says_everything_at_its_time(sink: Sink, play: Play, clock: FastClock) -> None:
    acts = (track(0, "first"), track(4, "second", ago=timedelta(days=2), copies=2))
    start = clock.now()
    play.perform([Shopper("", "a@example.com", timedelta(hours=1), acts)], start=start)
    assert [message["messageId"] for _, _, message in sink.got] == ["first", "second", "second"]
    assert {path for path, _, _ in sink.got} == {"/v1/track"}
    first, second, again = (message for _, _, message in sink.got)
    assert second == again
    assert datetime.fromisoformat(first["timestamp"]) >= start + timedelta(hours=1)
    assert datetime.fromisoformat(second["sentAt"]) >= start + timedelta(hours=5)
    happened = datetime.fromisoformat(second["timestamp"])
    assert datetime.fromisoformat(second["sentAt"]) - happened == timedelta(days=2)
    assert (play.tally.sent, play.tally.ids) == (3, {"first", "second"})


def test_a_busy_collector_is_asked_again_with_the_same_message(sink: Sink, play: Play) -> None:
    sink.answers = [503, 429]
    play.perform([Shopper("", "", timedelta(0), (track(0, "patient"),))])
    assert [message["messageId"] for _, _, message in sink.got] == ["patient"]


def test_a_refusal_ends_the_play(sink: Sink, play: Play) -> None:
    sink.answers = [401]
    with pytest.raises(PlayFailed, match="/v1/track answered 401"):
        play.perform([Shopper("", "", timedelta(0), (track(0, "refused"),))])
    assert play.tally.ids == set()


def test_a_stopped_play_says_no_more(sink: Sink, play: Play) -> None:
    play.stop()
    play.perform([Shopper("", "", timedelta(0), (track(9_999_999, "never"),))])
    assert sink.got == []


def test_leaving_the_list_is_counted_only_where_there_was_a_mail(sink: Sink, play: Play) -> None:
    leave = (Act(timedelta(0), leaves_list=True),)
    play.perform([Shopper("", name, timedelta(0), leave) for name in ("a@example.com", "b@b.b")])
    assert (play.tally.left_the_list, play.tally.sent, sink.got) == (1, 0, [])
