"""Whether SendGrid has a mail whose call was never answered, by its Email Activity API.

That is an add-on which an account must have bought ("additional email activity history"), and the
API key needs the right to read it. It takes six requests a minute, so one asks about many mails,
each by our id in its custom arguments (``unique_args`` in the API's words). The answer does not
repeat those, so its rows are told apart by the address.

How long a mail takes to be listed SendGrid does not say; users report about a minute. And a key
without the right has been seen to get an empty list. So absence counts only after an hour, and
only where the same answer holds a later mail that SendGrid is known to have.

Source: the "Filter all messages" and "Getting Started with the Email Activity Feed API" pages of
Twilio's documentation; sendgrid-nodejs issue 1098, sendgrid-java issue 674.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import quote

import msgspec

from engine.channels.sendgrid import MESSAGE_ID, SendGridChannel
from engine.errors import DeliveryError, OutcomeUnknown
from engine.model.lookup import Asked, Found
from engine.model.message import Rendered

log = logging.getLogger(__name__)

#: The most rows that an answer can have.
_ROWS = 1000


class _Row(msgspec.Struct):
    msg_id: str
    to_email: str


class _Listed(msgspec.Struct):
    messages: list[_Row]


class SendGridWithActivity(SendGridChannel):
    """SendGrid for an account with the add-on (``SENDGRID_EMAIL_ACTIVITY``)."""

    #: Forty ids are an address of less than 5 KB.
    at_once = 40
    per_minute = 6
    listed_after = timedelta(hours=1)

    def trace(self, rendered: Rendered) -> str:
        return rendered.message_id

    def look_up(self, asked: Asked) -> Found:
        return self.look_up_all([asked], None)[0]

    def look_up_all(self, asked: Sequence[Asked], known: Asked | None) -> list[Found]:
        """What SendGrid lists of ``asked``, in their order. ``known`` is a mail that it has."""
        everybody = [*asked, *([known] if known else [])]
        try:
            rows = self._listed([each.trace for each in everybody])
        except (DeliveryError, OutcomeUnknown, msgspec.MsgspecError) as error:
            return [Found("unsure", reason=type(error).__name__)] * len(asked)
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row.to_email.lower(), []).append(row.msg_id)
        wanted = Counter(each.to.lower() for each in everybody)
        whole = (
            known is not None
            and len(rows) < _ROWS
            # Each row is somebody's, and the mail that it must know is among them.
            and not found.keys() - wanted.keys()
            and len(found.get(known.to.lower(), ())) == wanted[known.to.lower()]
        )
        return [_fate(each, found, wanted, whole) for each in asked]

    def _listed(self, ids: Sequence[str]) -> list[_Row]:
        query = " OR ".join(f"(unique_args['{MESSAGE_ID}']=\"{id}\")" for id in ids)
        answer = self._pool.get(
            f"{self._base_url}/v3/messages?limit={_ROWS}&query={quote(query)}",
            self._sdk._default_headers,
        )
        if answer.status in (401, 403, 404):
            log.warning(
                "SendGrid does not show its email activity (%d): unset SENDGRID_EMAIL_ACTIVITY, or "
                "see that the account has the add-on and the key the right to read it.",
                answer.status,
            )
        if answer.status != 200:
            raise DeliveryError(f"SendGrid answers {answer.status}.", permanent=False)
        return msgspec.json.decode(answer.data, type=_Listed).messages


def _fate(asked: Asked, found: dict[str, list[str]], wanted: Counter[str], whole: bool) -> Found:
    rows = found.get(asked.to.lower(), [])
    if len(rows) >= wanted[asked.to.lower()]:
        return Found("sent", rows[0] if len(rows) == 1 else "")
    if rows:
        return Found("unsure", reason="SendGrid has some of what went to this address")
    return Found("absent") if whole else Found("unsure", reason="SendGrid's list proves nothing")
