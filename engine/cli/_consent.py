"""What a shopper agreed to, for a person to read: what stands, and the proof of how it came."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from engine.core.consent import EVER
from engine.model.profile import PAUSED, STOPPED, Consent
from engine.runtime.explain import Explanation
from engine.store.consent_log import Line

#: Characters of a shown text that are printed.
_TEXT = 80


def print_consent(console: Console, found: Explanation) -> None:
    """What stands for each channel and topic, then every decision, oldest first."""
    for consent in found.consents:
        console.print(f"  {standing(consent)}")
    for line in found.proof:
        console.print(Text(f"    {line.at:%Y-%m-%d %H:%M}  ", "dim") + Text(_decision(line)))


def standing(consent: Consent) -> str:
    """One place of consent in words."""
    when = f"{consent.at:%Y-%m-%d %H:%M}"
    if consent.topic == STOPPED:
        return f"{'started again' if consent.granted else 'stopped'} on {consent.channel}, {when}"
    if consent.topic == PAUSED:
        if consent.granted or consent.until is None:
            return f"no pause on {consent.channel}, {when}"
        return f"paused on {consent.channel} until {consent.until:%Y-%m-%d %H:%M}"
    said = "yes" if consent.granted else "no"
    words = f"{said} to {consent.channel} {consent.topic}, "
    words += "as the shop's pages repeat it" if consent.at == EVER else when
    return f"{words}, confirmed" if consent.confirmed_at is not None else words


def _decision(line: Line) -> str:
    place = line.channel if line.topic in (STOPPED, PAUSED) else f"{line.channel} {line.topic}"
    words = f"{line.word} {place}  by {line.method} ({line.source})"
    for key in ("url", "ip", "version", "keyword", "until"):
        if line.proof.get(key):
            words += f", {key} {line.proof[key]}"
    text = str(line.proof.get("text") or "")
    if text:
        words += f", shown: “{text[:_TEXT]}{'…' if len(text) > _TEXT else ''}”"
    return words
