"""How much of each provider's and sender's limit and warm-up is used now, for the doctor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from zoneinfo import ZoneInfo

from engine.cli._sending import connected
from engine.clock import from_environment
from engine.core.durations import show_duration
from engine.core.rates import quota
from engine.model.check import Check
from engine.model.policy import Policy
from engine.settings import Settings
from engine.store import pace, senders
from engine.store.pace import Used


def examine(settings: Settings, policy: Policy) -> Iterator[Check]:
    """Nothing where no limit is set, or no database answers: that is another check's finding."""
    if not (policy.sending.limits or policy.sending.warm_up):
        return
    with connected(settings) as connection:
        if connection is None:
            return
        found = pace.used(connection) if senders.known(connection) else {}
    yield from usage(policy, found, from_environment(settings.clock).now())


def usage(policy: Policy, used: Mapping[str, Used], now: datetime) -> Iterator[Check]:
    """One line for each limit and each warm-up of the shop's rules. A full one is a note: it is
    there to be full."""
    sending = policy.sending
    today = now.astimezone(ZoneInfo(policy.shop.timezone)).date()
    for name, rate in sending.limits.items():
        one = used.get(name)
        state = "free" if one is None or not one.ahead_promotion else _busy(one)
        yield Check(
            f"limit {name}",
            "ok" if state == "free" else "note",
            f"{rate.messages:,} per {show_duration(rate.per)}: {state}",
            "",
        )
    for name, warm_up in sending.warm_up.items():
        allowed = quota(warm_up, today)
        taken = _taken(used.get(name), today)
        if today < warm_up.since:
            words, full = f"begins on {warm_up.since:%F}", False
        elif allowed is None:
            words, full = f"{taken:,} today; it is warm", False
        else:
            words = f"{taken:,} of today's {allowed:,} ({100 * taken // max(1, allowed)} %)"
            full = taken >= allowed
        yield Check(f"warm up {name}", "note" if full else "ok", words, "")


def _busy(one: Used) -> str:
    if not one.ahead:
        return f"full for promotion for {one.ahead_promotion:.1f} s more"
    return f"full for {max(one.ahead, one.ahead_promotion):.1f} s more"


def _taken(one: Used | None, today: date) -> int:
    return one.taken if one is not None and one.day == today else 0
