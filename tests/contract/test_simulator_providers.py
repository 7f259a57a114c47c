"""All providers under one plan and one ledger, as a chaos run uses them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.channels import open_channel
from engine.errors import DeliveryError, OutcomeUnknown
from engine.ports import Channel
from engine.settings import Settings
from engine.testing.plan import HTTP_FAULTS, SMTP_FAULTS, TAKEN_BUT_UNSAID, Plan
from engine.testing.providers import PROVIDERS, Providers
from engine.testing.simulator import Simulator
from engine.testing.stories import Callbacks, Stories
from tests.contract.conftest import SENT, an_email, an_sms
from tests.contract.simulator_kit import Shop

#: No "hang": our channels wait 15 seconds for an answer.
FAULTS = "429=4%,500=4%,503=4%,lie=4%,cut=4%,drop=4%,slow=4%,450=4%,451=4%,421=4%"
MANY = 150


def settings_for(providers: Providers, home: Path, public_url: str) -> Settings:
    environment = {
        **providers.environment,
        "WINBACK_HOME": str(home),
        "WINBACK_PUBLIC_URL": public_url,
    }
    return Settings.from_environment(environment, project_dir=home)


def send_all(channel: Channel, messages: list[object]) -> dict[str, set[str]]:
    """What a careful sender believes at the end: it repeats only what it knows was not taken."""
    outcome: dict[str, set[str]] = {"sent": set(), "unknown": set()}

    def send(message: object) -> None:
        for _ in range(100):
            try:
                channel.send(message)  # type: ignore[arg-type]
            except DeliveryError:
                continue
            except OutcomeUnknown:
                outcome["unknown"].add(message.message_id)  # type: ignore[attr-defined]
                return
            outcome["sent"].add(message.message_id)  # type: ignore[attr-defined]
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, messages))
    return outcome


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_ledger_and_the_reports_settle_what_the_sender_cannot_know(
    provider: str, tmp_path: Path
) -> None:
    make: Callable[[int], object] = an_sms if provider == "twilio" else an_email
    with Simulator() as inbox:
        providers = Providers(
            plan=Plan.parse(FAULTS, seed=11),
            callbacks=Callbacks(inbox.url, delay=0.005, every=0.02, twice=0.2, shuffle=0.2),
            stories={
                "sendgrid": Stories({"processed delivered": 1.0}),
                "twilio": Stories({"sent delivered": 1.0}),
            },
            slow=0.02,
        )
        with providers:
            channel = open_channel(
                provider, settings_for(providers, tmp_path, inbox.url), lambda: SENT
            )
            outcome = send_all(channel, [make(n) for n in range(MANY)])
            channel.close()
            assert providers.drain()
            ledger, taken = providers.ledger, providers.ledger.times()

            assert ledger.doubled() == {}
            assert ledger.lost(outcome["sent"]) == set()
            assert len(outcome["sent"]) + len(outcome["unknown"]) == MANY
            # Of the unknown ones exactly those were taken whose answer was lost on purpose.
            unsaid = {t.key for t in ledger if t.fault in TAKEN_BUT_UNSAID}
            assert outcome["unknown"] & taken.keys() == unsaid
            assert outcome["sent"] == taken.keys() - unsaid
            assert unsaid
            if provider != "smtp":
                there = providers.sendgrid if provider == "sendgrid" else providers.twilio
                assert there is not None
                reported = {e.properties["message_id"] for e in Shop(inbox, there).events()}
                assert reported == taken.keys()
            figures = providers.figures()[provider]
            known = SMTP_FAULTS if provider == "smtp" else HTTP_FAULTS
            assert figures["taken"] == len(ledger) and set(figures["faults"]) <= known


def test_only_what_is_asked_for_is_started() -> None:
    with Providers(ports={"twilio": 0}) as providers:
        assert providers.sendgrid is None and providers.smtp is None
        assert list(providers.figures()) == ["twilio"]
        assert providers.drain(1)
        taken = providers.twilio
        assert taken is not None
        with pytest.raises(OSError), Providers(ports={"smtp": 0, "twilio": taken.port}):
            pass


@pytest.mark.parametrize("provider", PROVIDERS)
def test_one_that_goes_down_takes_nothing_until_it_comes_back(
    provider: str, tmp_path: Path
) -> None:
    with Providers({provider: 0}) as providers:
        settings = settings_for(providers, tmp_path, "http://localhost")
        channel = open_channel(provider, settings, lambda: SENT)
        message = an_sms() if provider == "twilio" else an_email()
        channel.send(message)
        (there,) = providers.running
        there.go_down()
        with pytest.raises(DeliveryError):  # known not to have been taken: the port is closed
            channel.send(message)
        assert there.count == 1
        there.come_back()
        channel.send(message)
        assert there.count == 2
        there.go_down()  # and one that is down can be ended
        channel.close()  # type: ignore[attr-defined]
