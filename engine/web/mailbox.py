"""The mailbox: what the demo's ``file`` channel has sent, to be read like mail and SMS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, abort, render_template

from engine.channels.file import Letter, find_letter, read_mailbox
from engine.clock import Clock, SystemClock
from engine.web.demo.parts import parts
from engine.web.demo.safety import protect
from engine.web.demo.words import LANGUAGES

#: Letters in the list, the newest first.
SHOWN = 60

#: A mail's HTML runs nothing, fetches only this server's pictures, sits only in our own frame.
#: Inline styles are how mails are written.
MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)

#: Which script tells which language: what a mailbox can know of a text message.
_SCRIPTS = (("hi", re.compile("[\u0900-\u097f]")), ("ur", re.compile("[\u0600-\u06ff]")))

blueprint = Blueprint("mailbox", __name__, url_prefix="/mailbox")
blueprint.after_request(protect)


@dataclass(frozen=True, slots=True)
class Shown:
    """A letter as the page shows it. ``at`` is by the demo's clock."""

    id: str
    letter: Letter
    title: str
    at: datetime
    language: str

    @property
    def language_name(self) -> str:
        return LANGUAGES[self.language]

    @property
    def is_mail(self) -> bool:
        return self.letter.kind == "email"


@blueprint.get("/")
def inbox() -> str:
    letters = _letters()
    return _page(letters, letters[0] if letters else None)


@blueprint.get("/<id>")
def read(id: str) -> str:
    return _page(_letters(), _letter(id))


@blueprint.get("/<id>/html")
def html(id: str) -> Response:
    """The mail's own HTML. Its links open beside the mailbox, as in a mail program."""
    shown = _letter(id)
    if not shown.is_mail:
        abort(404, "A text message has no HTML.")
    page = re.sub(r"<head[^>]*>", r'\g<0><base target="_blank">', shown.letter.html, count=1)
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = MAIL_POLICY
    return response


def _page(letters: list[Shown], open_letter: Shown | None) -> str:
    return render_template(
        "mailbox.html", letters=letters, open=open_letter, speed=parts().clock.speed
    )


def _letters() -> list[Shown]:
    demo = parts()
    return [show(letter, demo.clock) for letter in read_mailbox(demo.home, SHOWN)]


def _letter(id: str) -> Shown:
    demo = parts()
    letter = find_letter(demo.home, id)
    if letter is None:
        abort(404, "There is no such message in the mailbox (any more).")
    return show(letter, demo.clock)


def show(letter: Letter, clock: Clock) -> Shown:
    """A letter as the page shows it."""
    copy = f".{letter.copy}" if letter.copy > 1 else ""
    suffix = "eml" if letter.kind == "email" else "json"
    # A text message carries no date of its own: how long ago it was written, in the demo's time.
    ago = (SystemClock().now() - letter.at) * clock.speed
    text = letter.subject or letter.text
    return Shown(
        id=f"{letter.message_id}{copy}.{suffix}",
        letter=letter,
        title=text if len(text) <= 140 else f"{text[:140].rstrip()}…",
        at=letter.sent or clock.now() - ago,
        language=next((code for code, script in _SCRIPTS if script.search(text)), "en"),
    )
