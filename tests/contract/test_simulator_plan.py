"""The mix of faults, the stories and the ledger of what was really taken."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from engine.testing.ledger import Ledger, Taken
from engine.testing.plan import HTTP_FAULTS, SMTP_FAULTS, Plan
from engine.testing.stories import SENDGRID, TWILIO, Stories, words


def test_a_plan_keeps_to_its_shares() -> None:
    plan = Plan({"429": 0.02, "hang": 0.1, "slow": 0.3}, seed=3)
    seen = Counter(plan.draw(f"m{i}") for i in range(20_000))
    assert set(seen) == {"429", "hang", "slow", ""}
    for name, share in plan.shares.items():
        assert seen[name] == plan.drawn[name]
        assert abs(seen[name] / 20_000 - share) < 0.01


def test_the_same_messages_meet_the_same_faults_whatever_the_order() -> None:
    def fates(order: list[int]) -> dict[tuple[int, int], str]:
        plan, tries = Plan({"500": 0.3, "cut": 0.2}, seed=9), Counter[int]()
        found = {}
        for n in order:
            found[n, tries[n]] = plan.draw(str(n))
            tries[n] += 1
        return found

    forwards = [n for n in range(200) for _ in range(3)]
    assert fates(forwards) == fates([n for _ in range(3) for n in range(199, -1, -1)])
    other = Plan({"500": 0.3, "cut": 0.2}, seed=10)
    assert [other.draw(str(n)) for n in range(200)] != [
        Plan({"500": 0.3, "cut": 0.2}, seed=9).draw(str(n)) for n in range(200)
    ]


def test_a_second_try_meets_its_own_fate() -> None:
    plan = Plan({"500": 0.5})
    assert {plan.draw("one") for _ in range(50)} == {"", "500"}


@pytest.mark.parametrize("text", ["429=2%, hang=0.01,", " 429 = 0.02,hang=1% "])
def test_a_plan_is_read_from_a_line(text: str) -> None:
    assert Plan.parse(text, 5).shares == {"429": 0.02, "hang": 0.01}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("429", "429=2%"),
        ("429=x", "429=2%"),
        ("=2%", "NAME=SHARE"),
        ("teapot=1%", "no fault teapot"),
        ("429=150%", "no share"),
        ("429=-1%", "no share"),
        ("429=60%,500=60%", "120%"),
        ("429=nan", "no share"),
    ],
)
def test_a_plan_that_cannot_be_says_why(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Plan.parse(text)


def test_each_provider_takes_of_a_plan_what_it_can_do() -> None:
    plan = Plan({"429": 0.1, "450": 0.2, "hang": 0.3}, seed=4)
    assert plan.among(HTTP_FAULTS).shares == {"429": 0.1, "hang": 0.3}
    assert plan.among(SMTP_FAULTS).shares == {"450": 0.2, "hang": 0.3}
    assert plan.among(SMTP_FAULTS).seed == 4


def test_stories_keep_to_their_shares_and_tell_some_addresses_apart() -> None:
    stories = Stories({"delivered": 0.5, "bounce:blocked": 0.2}, 1, {"a@b.example": "dropped"})
    seen = Counter(" ".join(stories.of(f"m{i}", "x@y.example")) for i in range(5000))
    assert abs(seen["bounce:blocked"] / 5000 - 0.2) < 0.03
    assert seen["delivered"] + seen["bounce:blocked"] == 5000  # the rest goes to the first
    assert stories.of("m1", "a@b.example") == ["dropped"]
    assert stories.of("m7", "x@y.example") == stories.of("m7", "z@y.example")


def test_the_usual_stories_are_stories() -> None:
    assert sum(SENDGRID.values()) == pytest.approx(1)
    assert sum(TWILIO.values()) == pytest.approx(1)
    Stories(SENDGRID)
    Stories(TWILIO)
    with pytest.raises(ValueError, match="teleported"):
        Stories({"sent teleported": 1})


def test_what_is_said_keeps_its_spaces() -> None:
    assert words("sent delivered says:Thank you so much") == [
        "sent",
        "delivered",
        "says:Thank you so much",
    ]
    assert words("processed dropped:Spam Content") == ["processed", "dropped:Spam Content"]
    assert words("says:hello you") == ["says:hello you"]
    assert words("") == []


def taken(key: str, at: float = 1.0, to: str = "a@b.example", **more: str) -> Taken:
    return Taken("sendgrid", key, to, f"ref-{key}", at, **more)


def test_the_ledger_knows_what_is_doubled_lost_and_late() -> None:
    ledger = Ledger()
    for entry in (taken("1"), taken("2"), taken("2", 2, fault="hang"), taken("", 3)):
        ledger.take(entry)
    ledger.stop("a@b.example", 2.0)
    ledger.stop("a@b.example", 2.5)  # said before
    ledger.start("a@b.example", 3.5)
    ledger.start("a@b.example", 3.7)
    ledger.take(taken("4", 4.0))
    ledger.stop("a@b.example", 5.0)
    ledger.take(taken("5", 6.0))
    assert ledger.times() == {"1": 1, "2": 2, "4": 1, "5": 1}
    assert ledger.doubled() == {"2": 2}
    assert [t.fault for t in ledger.by_key()["2"]] == ["", "hang"]
    assert ledger.lost(["1", "2", "3"]) == {"3"}
    assert [t.at for t in ledger.after_stop()] == [3, 6]
    assert ledger.after_stop(grace=1.0) == []
    assert [t.at for t in ledger.after_stop(grace=0.9)] == [3, 6]


def test_a_ledger_survives_its_process(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path)
    ledger.take(taken("1", fault="cut"))
    ledger.stop("+14155550001", 5.5)
    ledger.start("+14155550001", 6.5)
    with path.open("a") as file:
        file.write('{"provider": "sendgr')  # killed within a line
    again = Ledger.read(path)  # the first is still open: every line is out at once
    assert (again.entries, again.stops) == (ledger.entries, ledger.stops)
    ledger.close()
    ledger.close()


def test_threads_share_a_ledger(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def work(n: int) -> None:
        for i in range(200):
            ledger.take(taken(f"{n}-{i}"))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    assert len(ledger) == 800
    assert not Ledger.read(tmp_path / "ledger.jsonl").lost(t.key for t in ledger)
