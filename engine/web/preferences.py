"""Leaving, and choosing what to get: ``/u/<token>``, ``/unsubscribe/<token>`` and
``/preferences/<token>``.

No log-in: the signed token in the link is the key. A GET shows and changes nothing, for mail
scanners open every link; a POST acts, whether it comes from a person's button or from a mail
program by RFC 8058, which wants no redirect, no cookie and no question. The decision stands
in the database before the answer goes out: the consent and the event that tells history of it
are one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import uuid4

from flask import Blueprint, Response, make_response, render_template, request

from engine.core.consent import allowed
from engine.intake.lanes import lane_of
from engine.model.event import Event
from engine.model.policy import Topic
from engine.model.profile import Consent
from engine.store import inbox, preferences, profiles
from engine.store.preferences import Reader
from engine.web.preference_words import WORDS, Words, language_of

if TYPE_CHECKING:
    from engine.web.app import Dependencies

#: The name of this writer in the ledger.
WRITER = "web:preferences"

_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Grant(Protocol):
    """What a token allows (``engine.rendering.Grant``)."""

    @property
    def profile_id(self) -> int: ...
    @property
    def channel(self) -> str: ...
    @property
    def topic(self) -> str: ...


class Tokens(Protocol):
    """Reads tokens (``engine.rendering.Links``); None for one that we did not make."""

    def read(self, token: str) -> Grant | None: ...


#: A shopper's word on a channel and topic: may we?
Answer = tuple[str, str, bool]


class Choice(NamedTuple):
    """One box of the page: may we write about ``topic`` on ``channel``?"""

    channel: str
    topic: str
    title: str
    on: bool

    @property
    def name(self) -> str:
        return f"{self.channel}/{self.topic}"


def create_blueprint(deps: Dependencies, tokens: Tokens) -> Blueprint:
    """The pages. ``tokens`` must be made with the secret that signs the links in mails."""
    pages = Blueprint("preferences", __name__)
    desk = _Desk(deps)

    @pages.after_request
    def safe(response: Response) -> Response:
        for name, value in _SAFE.items():
            response.headers[name] = value
        return response

    @pages.get("/u/<token>")
    @pages.get("/unsubscribe/<token>")
    def ask(token: str) -> Response:
        found = desk.open(tokens.read(token))
        if found is None:
            return desk.unknown()
        return desk.page("leave", token, *found)

    @pages.post("/u/<token>")
    @pages.post("/unsubscribe/<token>")
    def leave(token: str) -> Response:
        everything = request.form.get("scope") == "all"

        def answers(grant: Grant, reader: Reader) -> list[Answer]:
            return [(grant.channel, "*" if everything else grant.topic, False)]

        found = desk.decide(tokens.read(token), answers)
        if found is None:
            return desk.unknown()
        if "List-Unsubscribe" in request.form:
            return make_response("", 200)
        return desk.page("left", token, *found)

    @pages.get("/preferences/<token>")
    def show(token: str) -> Response:
        found = desk.open(tokens.read(token))
        return desk.page("choose", token, *found) if found else desk.unknown()

    @pages.post("/preferences/<token>")
    def choose(token: str) -> Response:
        if "List-Unsubscribe" in request.form:
            return leave(token)
        wanted = set(request.form.getlist("wanted"))
        shown = set(request.form.getlist("shown"))

        def answers(grant: Grant, reader: Reader) -> list[Answer]:
            return [
                (choice.channel, choice.topic, choice.name in wanted)
                for choice in desk.choices(grant, reader)
                if choice.name in shown
            ]

        found = desk.decide(tokens.read(token), answers)
        return desk.page("saved", token, *found) if found else desk.unknown()

    return pages


class _Desk:
    """Reads and writes what the pages are about."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._topics = [t for t in deps.policy.topics.values() if t.consent != "none"]

    def open(self, grant: Grant | None) -> tuple[Grant, Reader] | None:
        if grant is None:
            return None
        with self._deps.database.connection() as connection:
            reader = preferences.reader(connection, grant.profile_id)
        return (grant, reader) if reader else None

    def decide(
        self, grant: Grant | None, answers: Callable[[Grant, Reader], list[Answer]]
    ) -> tuple[Grant, Reader] | None:
        """Let what the shopper says stand from now on. Saying it again changes nothing."""
        if grant is None:
            return None
        with self._deps.database.connection() as connection:
            reader = preferences.reader(connection, grant.profile_id, lock=True)
            if reader is None:
                return None
            now = self._deps.clock.now()
            decided = [
                Consent(channel, topic, granted, now, "preferences page")
                for channel, topic, granted in answers(grant, reader)
                if not self._stands(reader, channel, topic, granted)
            ]
            if decided:
                profiles.write_consents(connection, [(reader.profile.id, c) for c in decided])
            # The strongest identifier alone: a second one could only merge by mistake.
            sender = reader.identifiers[0] if reader.identifiers else ""
            lane = lane_of(sender)
            if decided and sender:
                lines = [inbox.event_line(_event(consent, sender), lane) for consent in decided]
                inbox.write(connection, lines, writer=WRITER)
        if decided and sender:
            self._deps.hint({lane})
        return grant, reader._replace(consents=(*reader.consents, *decided))

    def choices(self, grant: Grant, reader: Reader) -> list[Choice]:
        """The boxes of the page. A link proves that its holder reads this one address: it can
        say yes for its own channel, and for others only take a yes back."""
        channels = [grant.channel, *(c for c in ("email", "sms") if c != grant.channel)]
        found = []
        for channel in channels:
            for topic in self._topics:
                on = allowed(topic, topic.name, channel, reader.consents)
                if channel == grant.channel or on:
                    found.append(Choice(channel, topic.name, topic.title or topic.name, on))
        return found

    def page(self, view: str, token: str, grant: Grant, reader: Reader) -> Response:
        words = self._words(reader.profile.traits)
        topic = self._deps.policy.topics.get(grant.topic)
        return self._render(
            view,
            words,
            200,
            token=token,
            channel=grant.channel,
            topic=(topic.title or topic.name) if topic else "",
            choices=self.choices(grant, reader),
        )

    def unknown(self) -> Response:
        return self._render("unknown", self._words({}), 404)

    def _render(self, view: str, words: Words, status: int, **values: Any) -> Response:
        shop = self._deps.policy.shop
        page = render_template("preferences.html", view=view, t=words, shop=shop, **values)
        return make_response(page, status)

    def _words(self, traits: Mapping[str, Any]) -> Words:
        asked = [*request.accept_languages.values(), self._deps.policy.shop.locale]
        own = [traits[key] for key in ("locale", "language") if isinstance(traits.get(key), str)]
        return WORDS[language_of([*own, *asked])]

    def _stands(self, reader: Reader, channel: str, topic: str, granted: bool) -> bool:
        """Whether the latest word of the shopper already says so."""
        named = [c for c in reader.consents if c.channel == channel]
        if topic == "*":
            return any(c.topic == "*" and not c.granted for c in named) and not any(
                allowed(t, t.name, channel, named) for t in self._topics
            )
        # An opt-in that nobody gave is no word: leaving writes a no that outlasts a later list.
        spoken = [c for c in named if c.topic in ("*", topic)]
        rule = self._deps.policy.topics.get(topic, Topic(topic))
        return bool(spoken) and allowed(rule, topic, channel, named) == granted


def _event(consent: Consent, sender: str) -> Event:
    return Event(
        id=f"preferences:{uuid4()}",
        kind="track",
        name="Consent Given" if consent.granted else "Consent Withdrawn",
        time=consent.at,
        received_at=consent.at,
        identifiers=(sender,),
        properties={
            "channel": consent.channel,
            "topic": consent.topic,
            "source": consent.source,
        },
    )
