"""Leaving, choosing what to get, and confirming: ``/u/<token>``, ``/unsubscribe/<token>``,
``/preferences/<token>`` and ``/confirm/<token>``.

No log-in: the signed token in the link is the key. A GET shows and changes nothing, for mail
scanners open every link; a POST acts, whether it comes from a person's button or from a mail
program by RFC 8058, which wants no redirect, no cookie and no question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from flask import Blueprint, Response, make_response, render_template, request

from engine.core import consent as core
from engine.model.profile import STOPPED
from engine.store.preferences import Reader
from engine.web.preference_words import Words, language_of, words
from engine.web.preferences_desk import Asked, Choice, Desk, Grant, Said, Shown, masked

if TYPE_CHECKING:
    from engine.web.app import Dependencies

_SAFE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Robots-Tag": "noindex, nofollow",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: What RFC 8058 has a mail program post.
ONE_CLICK = "List-Unsubscribe"


class Tokens(Protocol):
    """Reads tokens (``engine.rendering.Links``); None for one that we did not make."""

    def read(self, token: str) -> Grant | None: ...
    def read_confirmation(self, token: str) -> Asked | None: ...


def create_blueprint(deps: Dependencies, tokens: Tokens) -> Blueprint:
    """The pages. ``tokens`` must be made with the secret that signs the links in mails."""
    pages = Blueprint("preferences", __name__)
    site = _Site(deps)
    desk = site.desk

    @pages.after_request
    def safe(response: Response) -> Response:
        for name, value in _SAFE.items():
            response.headers[name] = value
        return response

    @pages.get("/u/<token>")
    @pages.get("/unsubscribe/<token>")
    def ask(token: str) -> Response:
        found = desk.open(tokens.read(token))
        return site.page("leave", token, *found) if found else site.unknown()

    @pages.post("/u/<token>")
    @pages.post("/unsubscribe/<token>")
    def leave(token: str) -> Response:
        everything = request.form.get("scope") == "all"
        one_click = ONE_CLICK in request.form

        def said(grant: Grant, reader: Reader) -> list[Said]:
            topic = "*" if everything else grant.topic
            t = site.words(reader.profile.traits)
            text = t["stop_topic"].format(topic=desk.title(topic)) if topic != "*" else ""
            text = text or t["stop_all"].get(grant.channel, "")
            return [Said(core.WITHDRAWN, grant.channel, topic, "" if one_click else text)]

        shown = site.shown("one-click" if one_click else "unsubscribe page", "/u")
        found = desk.decide(tokens.read(token), said, shown)
        if found is None:
            return site.unknown()
        return make_response("", 200) if one_click else site.page("left", token, *found)

    @pages.get("/preferences/<token>")
    def show(token: str) -> Response:
        found = desk.open(tokens.read(token))
        return site.page("choose", token, *found) if found else site.unknown()

    @pages.post("/preferences/<token>")
    def choose(token: str) -> Response:
        if ONE_CLICK in request.form:
            return leave(token)
        found = desk.decide(
            tokens.read(token), site.chosen, site.shown("preference centre", "/preferences")
        )
        return site.page("saved", token, *found) if found else site.unknown()

    @pages.get("/confirm/<token>")
    def question(token: str) -> Response:
        asked = tokens.read_confirmation(token)
        found = desk.open(asked)
        if asked is None or found is None:
            return site.unknown()
        return site.confirmation(
            desk.standing(asked, found[1]) or "confirm", token, asked, found[1]
        )

    @pages.post("/confirm/<token>")
    def confirm(token: str) -> Response:
        asked = tokens.read_confirmation(token)
        found = desk.confirm(asked, site.shown("double opt-in", "/confirm"))
        if asked is None or found is None:
            return site.unknown()
        return site.confirmation(found[0], token, asked, found[1])

    return pages


class _Site:
    """Renders the pages and reads their forms."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self.desk = Desk(deps)

    def chosen(self, grant: Grant, reader: Reader) -> list[Said]:
        """What the form of the preference centre says."""
        t = self.words(reader.profile.traits)
        match request.form.get("pause"):
            case "30":
                text = t["pause"].get(grant.channel, "")
                return [Said(core.PAUSE, grant.channel, "*", text, self.desk.pause_ends())]
            case "0":
                return [Said(core.RESUME, grant.channel, "*", t["resume"])]
        wanted = set(request.form.getlist("wanted"))
        shown = set(request.form.getlist("shown"))
        return [
            Said(
                core.GIVEN if choice.name in wanted else core.WITHDRAWN,
                choice.channel,
                choice.topic,
                f"{t['choose_title']} {t['channels'].get(choice.channel, '')}: {choice.title}",
            )
            for choice in self.desk.choices(grant, reader)
            if choice.name in shown
        ]

    def shown(self, method: str, path: str) -> Callable[[Reader], Shown]:
        """How a decision comes in: the address without its token, which is a key."""

        def to(reader: Reader) -> Shown:
            t = self.words(reader.profile.traits)
            url = f"{self._deps.settings.public_url}{path}"
            return Shown(method, url, request.remote_addr or "", t.lang, t.version)

        return to

    def page(self, view: str, token: str, grant: Grant, reader: Reader) -> Response:
        choices = self.desk.choices(grant, reader)
        groups: dict[str, list[Choice]] = {}
        for choice in choices:
            groups.setdefault(choice.channel, []).append(choice)
        return self._render(
            view,
            self.words(reader.profile.traits),
            token=token,
            channel=grant.channel,
            topic=self.desk.title(grant.topic),
            groups=groups,
            paused=self.desk.paused(grant, reader),
            stopped={c.channel for c in reader.consents if c.topic == STOPPED and not c.granted},
            address=masked(reader, grant.channel),
        )

    def confirmation(self, view: str, token: str, asked: Asked, reader: Reader) -> Response:
        return self._render(
            view,
            self.words(reader.profile.traits),
            token=token,
            topic=self.desk.title(asked.topic),
            address=masked(reader, asked.channel),
        )

    def unknown(self) -> Response:
        return self._render("unknown", self.words({}), 404)

    def words(self, traits: Mapping[str, Any]) -> Words:
        """The language asked for in the address, the shopper's own, their browser's, the shop's."""
        own = [traits[key] for key in ("locale", "language") if isinstance(traits.get(key), str)]
        asked = [request.args.get("lang", ""), *own, *request.accept_languages.values()]
        return words()[language_of([*asked, self._deps.policy.shop.locale])]

    def _render(self, view: str, t: Words, status: int = 200, **values: Any) -> Response:
        shop = self._deps.policy.shop
        lang = t.lang if request.args.get("lang") else None  # kept from page to page
        page = render_template(
            "preferences.html",
            view=view,
            t=t,
            shop=shop,
            lang=lang,
            languages=words().values(),
            here=request.path,
            **values,
        )
        return make_response(page, status)
