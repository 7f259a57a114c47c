"""A sending domain as a whole: its records, and whether they vouch for the address in From."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.deliverability import dkim, dmarc, spf
from engine.deliverability.records import Records, Unanswered
from engine.model.check import Check


@dataclass(frozen=True, slots=True)
class Way:
    """How a provider sends for a domain.

    ``include``    what SPF must include where the provider sends with the domain itself.
    ``selectors``  where its DKIM keys stand, () where the shop chooses.
    ``own_return`` it sends with a return path below the domain, made by a CNAME; then the
                   domain's own SPF record is not what is judged.
    """

    include: str = ""
    selectors: tuple[str, ...] = ()
    own_return: bool = False


#: SendGrid: "Set up domain authentication" (automated security makes three CNAMEs: the return
#: path em….DOMAIN, and the keys s1 and s2).
WAYS = {"sendgrid": Way("sendgrid.net", ("s1", "s2"), own_return=True)}

#: Mailbox providers whose DMARC policy makes others reject mail sent in their name.
FREE_MAIL = frozenset(
    """gmail.com googlemail.com yahoo.com ymail.com outlook.com hotmail.com live.com msn.com
    aol.com icloud.com me.com gmx.de gmx.net web.de mail.ru rediffmail.com""".split()  # noqa: SIM905
)


def examine(
    records: Records, domain: str, provider: str = "", selectors: Sequence[str] = ()
) -> Iterator[Check]:
    """All that can be said of ``domain`` as a sender, in the order in which one mends it.
    ``provider``: as in config/winback.yaml; ``selectors``: DKIM selectors besides its own."""
    if domain in FREE_MAIL:
        yield Check(
            "From",
            "finding",
            f"{domain} belongs to a mailbox provider: mail of others in its name is rejected",
            "send from a domain of your own",
        )
        return
    way = WAYS.get(provider, Way())
    spf_checks = list(spf.examine(records, domain, "" if way.own_return else way.include))
    if way.own_return:
        # Not what is judged for this provider's mail, so a lack of it is only to be known.
        spf_checks = [
            Check(c.name, "note", c.says, c.mend) if c.says.endswith("no SPF record") else c
            for c in spf_checks
        ]
    yield from spf_checks
    dkim_checks = list(dkim.examine(records, domain, (*way.selectors, *selectors)))
    yield from dkim_checks
    yield from dmarc.examine(records, domain)
    yield _alignment(
        spf_ok=not way.own_return and any(c.state == "ok" for c in spf_checks),
        dkim_ok=_of_keys(dkim_checks),
        mode=dmarc.alignment_of(records, domain),
        domain=domain,
    )
    yield from _answers(records, domain)


def _of_keys(checks: list[Check]) -> bool | None:
    """Whether a key is there that signs; None where no key could be looked at."""
    if any(check.state == "ok" or "bits" in check.says for check in checks):
        return not all(check.state == "finding" for check in checks)
    return False if any(check.state == "finding" for check in checks) else None


def _alignment(*, spf_ok: bool, dkim_ok: bool | None, mode: dmarc.Alignment, domain: str) -> Check:
    """DMARC passes if SPF or DKIM passes for the domain that the reader sees in From."""
    if dkim_ok is None:
        return Check("alignment", "note", "whether DKIM vouches for From could not be told")
    if dkim_ok and spf_ok:
        return Check("alignment", "ok", f"SPF and DKIM both vouch for From: …@{domain}")
    if dkim_ok:
        strict = " exactly (adkim=s)" if mode.dkim == "s" else ""
        return Check("alignment", "ok", f"DKIM vouches for From: …@{domain}{strict}")
    if spf_ok:
        return Check(
            "alignment",
            "note",
            "only SPF vouches for From: forwarded mail will fail, and Gmail wants both",
            "publish a DKIM key",
        )
    return Check(
        "alignment",
        "finding",
        f"nothing vouches for From: …@{domain}; with DMARC such mail is refused or junk",
        "mend DKIM first: it survives forwarding",
    )


def _answers(records: Records, domain: str) -> Iterator[Check]:
    try:
        found = records.look(domain, "MX")
        there = found or records.look(domain, "A") or records.look(domain, "AAAA")
    except Unanswered as error:
        yield Check("answers", "note", str(error))
        return
    if not there or any(one.split()[-1] == "." for one in found):
        yield Check(
            "answers",
            "finding",
            f"{domain} takes no mail, so nobody can reply and bounces are lost",
            "add an MX record, or send from a domain that has one",
        )
    else:
        yield Check(
            "answers", "ok", "replies arrive" if found else "replies arrive at its A record"
        )
