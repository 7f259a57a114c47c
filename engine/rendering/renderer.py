"""A message made ready to hand to a provider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from engine.errors import RenderError
from engine.model.diagnostic import Diagnostic
from engine.model.links import ShortLink
from engine.model.message import Email, Message, Rendered, Sms, WhatsApp
from engine.model.policy import Policy
from engine.model.profile import Profile
from engine.rendering import locales
from engine.rendering.catalogue import LOOK_EVERY, Catalogue, Template
from engine.rendering.clicks import ClickLinks
from engine.rendering.compiler import EmailTemplate, SmsTemplate
from engine.rendering.links import Asked, Links
from engine.rendering.parts import Part, one_line, starting_right_to_left
from engine.rendering.plaintext import tidy
from engine.rendering.segments import segments_of
from engine.rendering.transliterate import plainer
from engine.rendering.whatsapp import LONGEST as LONGEST_WHATSAPP
from engine.rendering.whatsapp import WhatsAppTemplate

#: What Twilio takes in one message (its API specification).
LONGEST_SMS = 1600

_ADDRESS = {"email": "email", "sms": "phone", "whatsapp": "phone"}
_PERIOD = re.compile(r"(\d+)\s*(second|minute|hour|day|week)s?\b")


class Renderer:
    """Renders the templates below ``folder`` for one shop. Thread-safe; templates are compiled
    once and again when their file changes.

    ``public_url`` and ``secret`` make the links by which a reader leaves (see ``Links``).
    ``look_every``: see ``Catalogue``.
    """

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        *,
        public_url: str,
        secret: str,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self.policy = policy
        shop = policy.shop
        self._catalogue = Catalogue(folder.absolute(), shop.locale, look_every=look_every)
        self._shop = asdict(shop)
        self.clicks = ClickLinks(secret, public_url, policy.links, shop)
        self.links = Links(
            secret, public_url, (t.name for t in policy.topics.values() if t.consent != "none")
        )

    def render(
        self,
        message: Message,
        traits: Mapping[str, Any] | Profile,
        properties: Mapping[str, Any],
        key: str = "",
        address: str = "",
    ) -> Rendered:
        """The mail or text that ``message`` means, in the shopper's language.

        ``traits``: what the template sees as ``profile``; a Profile stands for its traits with
        its orders and dates. ``properties``: of the trigger event. ``address``: where it goes;
        without it, the trait ``email`` or ``phone``. Raises ``RenderError``, with the file and
        line of the template where it is the template that does not fit these values.
        """
        known = self._known(traits) if isinstance(traits, Profile) else traits
        to = address or known.get(_ADDRESS.get(message.channel, "")) or ""
        if not isinstance(to, str) or not to:
            raise RenderError(f"The shopper has no address for {message.channel}.")
        try:
            template, variables = self._prepared(message, known, properties, key)
            match template:
                case EmailTemplate():
                    return self._email(message, template, variables, to)
                case WhatsAppTemplate():
                    return self._whatsapp(message, template, variables, to)
            return self._sms(message, template, variables, to)
        except RenderError as error:
            raise self._placed(error) from error

    def locales(self, template: str, channel: str) -> set[str]:
        """The languages that a template has for ``channel``. Raises ``RenderError`` for none."""
        return set(self._catalogue.locales(template, channel))

    def check(self, template: str, channel: str) -> list[Diagnostic]:
        """Compile every language of one template and tell what is wrong, [] if nothing is."""
        findings = []
        try:
            tags = self._catalogue.locales(template, channel)
        except RenderError as error:
            return [Diagnostic(template, 1, 1, "error", "T001", str(error))]
        for tag in tags:
            try:
                self._catalogue.get(template, channel, tag)
            except RenderError as error:
                placed = self._placed(error)
                text = str(placed).removeprefix(f"{placed.file}:{placed.line}: ")
                text = text.removeprefix(f"{placed.file}: ")
                line = max(placed.line, 1)
                findings.append(Diagnostic(placed.file, line, 1, "error", "T002", text))
        return findings

    def parts(self, template: str, channel: str) -> Iterator[Part]:
        """What every language of a template consists of. Raises ``RenderError``: see ``check``."""
        for tag in self._catalogue.locales(template, channel):
            yield from self._catalogue.get(template, channel, tag).parts

    def _prepared(
        self, message: Message, traits: Mapping[str, Any], event: Mapping[str, Any], key: str
    ) -> tuple[Template, dict[str, Any]]:
        """The template in the shopper's language, and what it sees."""
        channel = message.channel if message.channel in _ADDRESS else "sms"
        there = self._catalogue.locales(message.template, channel)
        tag = locales.choose(traits, self.policy.shop.locale, there)
        template = self._catalogue.get(message.template, channel, tag)
        return template, self._variables(message, traits, event, key, tag, template.direction)

    def _email(
        self, message: Message, template: EmailTemplate, variables: dict[str, Any], to: str
    ) -> Email:
        subject = one_line(template.subject.render(variables))
        variables["subject"] = subject
        if template.preheader:
            variables["preheader"] = one_line(template.preheader.render(variables))
        text = tidy(template.text.render(variables))
        if template.direction == "rtl":
            subject = starting_right_to_left(subject, always=False)
            text = starting_right_to_left(text, always=True)
        shop = self.policy.shop
        return Email(
            message_id=message.id,
            to=to,
            from_address=self.policy.sender("email", message.topic),
            from_name=self.policy.email_name(message.topic),
            subject=subject,
            text=text,
            html=self.clicks.in_html(template.html.render(variables), message),
            headers={
                "List-Unsubscribe": f"<{variables['unsubscribe_url']}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            },
            reply_to=shop.reply_to,
            locale=template.locale,
            journey=message.journey,
        )

    def _sms(
        self, message: Message, template: SmsTemplate, variables: dict[str, Any], to: str
    ) -> Sms:
        body = tidy(template.body.render(variables)).strip()
        if template.direction == "rtl":
            body = starting_right_to_left(body, always=False)
        if not body or len(body) > LONGEST_SMS:
            raise RenderError(
                f"The text message has {len(body)} characters: 1 to {LONGEST_SMS} are possible.",
                file=template.body.file,
            )
        body, short_links = self.clicks.in_text(body, message)
        body = plainer(body, template.transliterate or self.policy.sms.transliterate)
        encoding, count = segments_of(body)
        return Sms(
            message_id=message.id,
            to=to,
            sender=self.policy.sender("sms", message.topic),
            body=body,
            segments=count,
            encoding=encoding,
            locale=template.locale,
            journey=message.journey,
            short_links=short_links,
        )

    def _whatsapp(
        self, message: Message, template: WhatsAppTemplate, variables: dict[str, Any], to: str
    ) -> WhatsApp:
        values: dict[str, str] = {}
        links: dict[str, ShortLink] = {}
        for name, value in template.values(variables).items():
            values[name], short = self.clicks.in_text(value, message)
            links |= {link.code: link for link in short}
        body = template.shown(values)
        if len(body) > LONGEST_WHATSAPP:
            raise RenderError(
                f"The message has {len(body)} characters: WhatsApp takes {LONGEST_WHATSAPP}.",
                file=template.file,
            )
        return WhatsApp(
            message_id=message.id,
            to=to,
            sender=self.policy.sender("whatsapp", message.topic),
            content_sid=template.content_sid,
            variables=values,
            body=body,
            locale=template.locale,
            journey=message.journey,
            short_links=tuple(links.values()),
        )

    def _variables(
        self,
        message: Message,
        traits: Mapping[str, Any],
        event: Mapping[str, Any],
        key: str,
        tag: str,
        direction: str,
    ) -> dict[str, Any]:
        shop = self.policy.shop
        token = self.links.token(message.profile_id, message.channel, message.topic)
        zone = traits.get("timezone")
        return {
            "event": event,
            "profile": traits,
            "shop": self._shop,
            "offer": _with_end(message.offer, message.due_at),
            "key": key,
            "journey": message.journey,
            "unsubscribe_url": self.links.unsubscribe(token),
            "preferences_url": self.links.preferences(token),
            "locale": tag,
            "dir": direction,
            "number_locale": locales.shopper_locale(traits, shop.locale, tag),
            "timezone": zone if isinstance(zone, str) else shop.timezone,
            **self._confirmation(message.profile_id, event),
        }

    def _confirmation(self, profile: int, event: Mapping[str, Any]) -> dict[str, str]:
        """The link that confirms the yes of a "Consent Pending", and what it was said to; nothing
        for other events."""
        channel, topic = event.get("channel"), event.get("topic")
        try:
            yes_at = datetime.fromisoformat(event["yes_at"])
            url = self.links.confirmation(Asked(profile, str(channel), str(topic), yes_at))
        except (KeyError, TypeError, ValueError):
            return {}
        known = self.policy.topics.get(str(topic))
        return {"confirm_url": url, "confirm_title": known.title if known else ""}

    def _known(self, profile: Profile) -> dict[str, Any]:
        """What a template knows of a shopper; ``lifetime_value`` in the shop's currency."""
        return {
            **profile.traits,
            "orders": profile.orders,
            "lifetime_value": profile.lifetime_value.get(self.policy.shop.currency, 0),
            "first_seen": profile.first_seen,
            "last_seen": profile.last_seen,
            "last_order_at": profile.last_order_at,
        }

    def _placed(self, error: RenderError) -> RenderError:
        """The same error with its file as seen from the project."""
        if not error.file:
            return error
        bare = str(error).removeprefix(error.file).lstrip(":")
        bare = bare.removeprefix(str(error.line)).lstrip(": ") if error.line else bare.strip()
        folder = self._catalogue.folder.name
        return RenderError(bare, file=f"{folder}/{error.file}", line=error.line)


def _with_end(offer: Mapping[str, Any], due_at: datetime) -> dict[str, Any]:
    """The offer, with ``ends_at`` where ``valid`` gives a time ("3 days", "1 day 12 hours"):
    a date is read in any language. Counted from when the message was due, so that a retry
    promises the same. The end of an offer that the run was given earlier stands (ISO 8601)."""
    ends_at = offer.get("ends_at")
    if isinstance(ends_at, str):
        return {**offer, "ends_at": datetime.fromisoformat(ends_at)}
    valid = offer.get("valid")
    found = _PERIOD.findall(valid) if isinstance(valid, str) else []
    if not found:
        return dict(offer)
    length = sum((timedelta(**{f"{unit}s": int(n)}) for n, unit in found), timedelta())
    return {**offer, "ends_at": due_at + length}
