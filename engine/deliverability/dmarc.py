"""DMARC (RFC 7489): what becomes of mail that only claims to be from this domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from engine.deliverability.dkim import parse_tags
from engine.deliverability.records import Records, Unanswered
from engine.model.check import Check

_POLICIES = ("none", "quarantine", "reject")


@dataclass(frozen=True, slots=True)
class Alignment:
    """Whether SPF and DKIM want the very same domain as in From ("s") or a relative ("r")."""

    dkim: str = "r"
    spf: str = "r"


def examine(records: Records, domain: str) -> Iterator[Check]:
    """Checks of the policy that holds for mail from ``domain``: its own, or that of the
    registered domain above it (6.6.3)."""
    try:
        at, found = _find(records, domain)
    except Unanswered as error:
        yield Check("DMARC", "note", str(error))
        return
    if not found:
        yield Check(
            "DMARC",
            "finding",
            f"{domain} has no DMARC record; Gmail and Yahoo want one from bulk senders",
            f'add: _dmarc TXT "v=DMARC1; p=none; rua=mailto:dmarc@{domain}"',
        )
        return
    if len(found) > 1:
        yield Check("DMARC", "finding", "there are two records: none of them counts", "keep one")
        return
    tags = parse_tags(found[0])
    inherited = at != domain
    policy = tags.get("sp", tags.get("p", "")) if inherited else tags.get("p", "")
    if policy.lower() not in _POLICIES:
        yield Check(
            "DMARC",
            "finding",
            f"p={policy or '(missing)'} is no policy",
            "write p=none, p=quarantine or p=reject",
        )
        return
    if policy.lower() == "none":
        yield Check(
            "DMARC",
            "note",
            "p=none is enough for bulk mail, but lets others send in your name",
            "after two weeks of clean reports write p=quarantine",
        )
    if "rua" not in tags:
        yield Check(
            "DMARC", "note", "nobody gets its reports", f"add rua=mailto:dmarc@{organisation(at)}"
        )
    of = f" (of {at})" if inherited else ""
    yield Check("DMARC", "ok", f"p={policy.lower()}{of}")


def alignment_of(records: Records, domain: str) -> Alignment:
    """How strict the domain's record is; as strict as the standard's default without one."""
    try:
        _, found = _find(records, domain)
    except Unanswered:
        return Alignment()
    tags = parse_tags(found[0]) if len(found) == 1 else {}
    return Alignment(tags.get("adkim", "r").lower(), tags.get("aspf", "r").lower())


def aligned(one: str, other: str, mode: str) -> bool:
    """Whether two domains count as one: the same ("s"), or registered by the same ("r")."""
    if mode == "s":
        return one.lower() == other.lower()
    return organisation(one) == organisation(other)


def organisation(domain: str) -> str:
    """The registered domain: ``shop.co.uk`` of ``mail.shop.co.uk``."""
    return _suffixes().privatesuffix(domain.lower().rstrip(".")) or domain.lower()


def _find(records: Records, domain: str) -> tuple[str, list[str]]:
    for at in dict.fromkeys((domain, organisation(domain))):
        texts = records.look(f"_dmarc.{at}", "TXT")
        found = [text for text in texts if text.replace(" ", "").lower().startswith("v=dmarc1")]
        if found:
            return at, found
    return domain, []


@lru_cache(maxsize=1)
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()
