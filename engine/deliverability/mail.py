"""One mail as mailbox providers and their filters see it: headers, size, structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from engine.deliverability.dmarc import organisation
from engine.deliverability.page import Page, read_page
from engine.model.check import Check
from engine.model.message import Email

#: Bytes of HTML after which Gmail cuts a mail off, its unsubscribe link with it.
CLIPPED = 102 * 1024
_NEARLY = 80 * 1024
#: Characters of a subject that a phone shows (about), and those that a desktop does.
_LONG_SUBJECT = 70
#: A mail with pictures and fewer characters of text than this is a picture to a filter.
_TOO_LITTLE = 100

#: Public shorteners: shared with spammers, so on block lists.
_SHORTENERS = frozenset(
    "bit.ly tinyurl.com t.co goo.gl ow.ly is.gd buff.ly rebrand.ly cutt.ly tiny.cc".split()  # noqa: SIM905
)
_FALSE_ANSWER = re.compile(r"\s*(re|fwd?|aw|wg|tr|rv)\s*:", re.I)
_HOST = re.compile(r"(?:https?://)?((?:[\w-]+\.)+[a-z]{2,})(?:/\S*)?", re.I)
_ADDRESS = re.compile(r"\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\]", re.I)


def examine(mail: Email, *, marketing: bool = True, address: str = "") -> Iterator[Check]:
    """What may keep ``mail`` from the inbox, and what is well. ``marketing``: it needs a way
    out (RFC 8058) and the sender's postal ``address``; a receipt does not."""
    page = read_page(mail.html)
    checks = [
        *_size(mail),
        *_text(mail, page),
        *(_way_out(mail, page) if marketing else ()),
        *_subject(mail.subject),
        *_links(page),
        *_pictures(page),
        *_structure(mail, page),
    ]
    if marketing and address and " ".join(address.split()) not in page.text:
        checks.append(
            Check(
                "address",
                "finding",
                "the shop's postal address is not in it: CAN-SPAM and others want it",
                "print {{ shop.address }} in the footer",
            )
        )
    yield from checks
    if not any(check.state == "finding" for check in checks):
        yield Check("mail", "ok", f"{len(mail.html.encode()) / 1024:.0f} KB, text part, way out")


def _size(mail: Email) -> Iterator[Check]:
    size = len(mail.html.encode())
    if size > CLIPPED:
        yield Check(
            "size",
            "finding",
            f"{size / 1024:.0f} KB of HTML: Gmail clips at {CLIPPED // 1024} KB and hides the rest",
            "fewer products or shorter styles",
        )
    elif size > _NEARLY:
        yield Check("size", "note", f"{size / 1024:.0f} KB of HTML; Gmail clips at 102 KB")


def _text(mail: Email, page: Page) -> Iterator[Check]:
    plain = " ".join(mail.text.split())
    if not plain:
        yield Check("text part", "finding", "it has none", "add email.<language>.txt")
    elif len(plain) < len(page.text) / 10:
        yield Check(
            "text part", "note", "it says much less than the HTML part", "let it tell the same"
        )


def _way_out(mail: Email, page: Page) -> Iterator[Check]:
    headers = {name.lower(): value for name, value in mail.headers.items()}
    way = headers.get("list-unsubscribe", "")
    if "<http" not in way:
        yield Check("way out", "finding", "it has no List-Unsubscribe link (RFC 8058)")
    elif re.search(r"<http://(localhost|127\.[\d.]+)[:/]", way):
        yield Check(
            "way out",
            "note",
            "its links lead to this machine, which no reader reaches",
            "export WINBACK_PUBLIC_URL=https://…",
        )
    elif "<https://" not in way:
        yield Check(
            "way out",
            "finding",
            "List-Unsubscribe is not https: Gmail and Yahoo ignore it",
            "export WINBACK_PUBLIC_URL=https://…",
        )
    if headers.get("list-unsubscribe-post") != "List-Unsubscribe=One-Click":
        yield Check("way out", "finding", "one click does not unsubscribe (RFC 8058)")
    found = re.search(r"<(https?://[^>]+)>", way)
    if found and not any(found[1] == link for link, _ in page.links):
        yield Check(
            "way out",
            "finding",
            "its reader sees no link to leave",
            "print {{ unsubscribe_url }} in the footer",
        )


def _subject(subject: str) -> Iterator[Check]:
    letters = [letter for letter in subject if letter.isalpha()]
    if not letters:
        yield Check("subject", "finding", "it is empty", "write one")
    if len(letters) >= 8 and sum(map(str.isupper, letters)) > 0.8 * len(letters):
        yield Check("subject", "finding", "IT SHOUTS", "write it in small letters")
    if _FALSE_ANSWER.match(subject):
        yield Check(
            "subject", "finding", "it pretends to be an answer, which laws forbid", "take it out"
        )
    if "!!" in subject or "$$" in subject or "??" in subject:
        yield Check("subject", "note", "filters dislike !!, ?? and $$")
    if len(subject) > _LONG_SUBJECT:
        yield Check("subject", "note", f"{len(subject)} characters: phones show about 40")


def _links(page: Page) -> Iterator[Check]:
    for link in dict.fromkeys(address for address, _ in page.links):
        parts = urlsplit(link)
        host = (parts.hostname or "").lower()
        if host in _SHORTENERS:
            yield Check("links", "finding", f"{host} is on block lists", "link to the shop itself")
        elif host and _ADDRESS.fullmatch(host) and not host.startswith("127."):
            yield Check("links", "finding", f"{host} is a bare address", "link to a name")
    for link, words in page.links:
        shown = _HOST.fullmatch(words)
        host = (urlsplit(link).hostname or "").lower()
        if shown and host and organisation(shown[1]) != organisation(host):
            yield Check(
                "links",
                "finding",
                f"it shows {shown[1]} and leads to {host}, as phishing does",
                "show words instead of an address",
            )
    if any(re.match(r"http://(?!localhost|127\.)", link) for link, _ in page.links):
        yield Check("links", "note", "some links are http://", "write https://")


def _pictures(page: Page) -> Iterator[Check]:
    if page.images and len(page.text) < _TOO_LITTLE:
        yield Check(
            "pictures",
            "finding",
            f"{len(page.images)} pictures and {len(page.text)} characters of text: that is spam's "
            "look, and nothing to read where pictures are off",
            "say in words what the picture says",
        )
    silent = sum("alt" not in image for image in page.images)
    if silent:
        yield Check("pictures", "note", f"{silent} without alt text", 'add alt="…"')
    unsized = sum("width" not in image for image in page.images)
    if unsized:
        yield Check("pictures", "note", f"{unsized} without a width: the mail jumps", "add width")
    if any(image.get("src", "").startswith("data:") for image in page.images):
        yield Check("pictures", "finding", "Gmail does not show data: pictures", "link to a file")


def _structure(mail: Email, page: Page) -> Iterator[Check]:
    for tag in sorted(page.active):
        yield Check("structure", "finding", f"<{tag}> does not work in mail", "link to a page")
    if not page.lang:
        yield Check("structure", "note", "its language is not said", '<html lang="…">')
    right_to_left = mail.locale.split("-")[0] in ("ur", "ar", "fa", "he", "ps", "sd")
    if right_to_left and page.dir != "rtl":
        yield Check("structure", "finding", "it reads from the wrong side", '<html dir="rtl">')
    if not mail.from_name:
        yield Check("From", "note", "it has no name", "shop: email name: in config/winback.yaml")
    if re.match(r"no-?reply@", mail.from_address, re.I):
        yield Check("From", "note", "nobody can answer a no-reply address")
