"""Google Customer Match: the CSV file that Google Ads takes by hand, and the Data Manager API.

Columns and hashing: Google Ads help 7659867 and 7476159. Spelling before hashing as Google's
own ``google-ads-datamanager-util`` Formatter does it. Country and postal code stay plain, all
else is SHA-256 in hex.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3
from urllib3.response import BaseHTTPResponse

from engine.audiences.base import AdSettings
from engine.audiences.http import ANSWER_SECONDS, Http, MembersRefused, json_of, retry_after
from engine.audiences.values import Member, canonical, e164, sha256
from engine.audiences.values import member as to_member
from engine.errors import ConfigError, DeliveryError, OutcomeUnknown
from engine.model.audience import AdList, Hashed, Listed, Progress, Size, Taken

SCOPE = "https://www.googleapis.com/auth/datamanager"

COLUMNS = ("Email", "Phone", "First Name", "Last Name", "Country", "Zip")

_DOTLESS = ("gmail.com", "googlemail.com")
_POSTAL_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{1,9}")


def email(text: str) -> str:
    """Lower case; for Gmail without dots and ``+tag``. "" when it is no address."""
    address = canonical(text).lower()
    local, at, domain = address.partition("@")
    if domain in _DOTLESS:
        local = local.split("+", 1)[0].replace(".", "")
    if not (local and at and domain) or "@" in domain or " " in address:
        return ""
    return f"{local}@{domain}"


def phone(text: str, region: str) -> str:
    """E.164 with its ``+``; "" when no such number can exist."""
    return e164(text, region)


def name(text: str) -> str:
    """Lower case, otherwise as written: accents and other scripts stay."""
    return canonical(text).lower()


def country(text: str) -> str:
    """Two capitals."""
    return canonical(text).upper()


def postal_code(text: str) -> str:
    """Trimmed, otherwise as written; "" when it is none.

    It leaves in plain text, so a field with anything but a code in it is not passed on.
    """
    code = canonical(text)
    return code if _POSTAL_CODE.fullmatch(code) else ""


def row(member: Member) -> tuple[str, ...] | None:
    """The member's line in the order of ``COLUMNS``; None without a usable email or phone.

    Google matches a postal address by all four of its parts or not at all, so an address with
    a part missing is left out: it would tell Google something and find nobody.
    """
    by_email = sha256(email(member.email))
    by_phone = sha256(phone(member.phone, member.region))
    if not (by_email or by_phone):
        return None
    address = (
        sha256(name(member.first_name)),
        sha256(name(member.last_name)),
        country(member.country),
        postal_code(member.postal_code),
    )
    return (by_email, by_phone, *(address if all(address) else ("", "", "", "")))


def hashed(member: Member) -> Hashed | None:
    """The member as the API is told of them; None without a usable email or phone."""
    cells = row(member)
    return None if cells is None else Hashed(cells, cells[0], cells[1], member.law)


def identifiers(cells: Sequence[str]) -> list[dict[str, Any]]:
    """A row of ``COLUMNS`` as the API's ``userIdentifiers``; what is empty is left out."""
    by_email, by_phone, first, last, region, postal = cells
    found: list[dict[str, Any]] = []
    if by_email:
        found.append({"emailAddress": by_email})
    if by_phone:
        found.append({"phoneNumber": by_phone})
    if first and last and region and postal:
        address = {
            "givenName": first,
            "familyName": last,
            "regionCode": region,
            "postalCode": postal,
        }
        found.append({"address": address})
    return found


class Google:
    """Customer Match lists by the Data Manager API, by plain HTTP.

    The API is set-like: to add or remove a member twice is the same as once. It answers with the
    id of a request, whose status is then asked for until it is over. Nothing promises that
    requests are worked in the order in which they were sent.
    """

    name = "google"
    batch = 10_000
    per_minute = 300
    #: Of a Cloud project ("Limits and quotas" of the Data Manager API); reads have their own.
    longer = (100_000, 86_400.0)

    def __init__(
        self, base_url: str, token: Callable[[], str], *, answer: float = ANSWER_SECONDS
    ) -> None:
        self._http = Http("Google", base_url, answer=answer)
        self._token = token

    @classmethod
    def from_settings(cls, settings: AdSettings) -> Google:
        return cls(settings.google_datamanager_base_url, token_of(settings))

    def row(self, profile_id: int, traits: Mapping[str, Any], region: str) -> Hashed | None:
        return hashed(to_member(profile_id, traits, region=region))

    def add(self, ad_list: AdList, members: Sequence[Listed], request: str) -> Taken:
        """Raises ``DeliveryError`` (``MembersRefused``) or ``OutcomeUnknown``."""
        body = self._body(ad_list, members)
        body["termsOfService"] = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
        return self._send("audienceMembers:ingest", body)

    def remove(self, ad_list: AdList, members: Sequence[Listed], request: str) -> Taken:
        """The same. A removal carries no consent: it needs none."""
        return self._send(
            "audienceMembers:remove", self._body(ad_list, [Listed(m.cells) for m in members])
        )

    def remove_older(self, ad_list: AdList, before: datetime) -> Taken:
        """Take off everybody who was last added before that time."""
        at = before.astimezone(UTC).isoformat().replace("+00:00", "Z")
        body = {"destinations": [_destination(ad_list)], "removeAsOfTime": at}
        return self._send("audienceMembers:removeAll", body)

    def status(self, reference: str) -> Progress:
        query = urlencode({"requestId": reference})
        answer = self._call("GET", f"/v1/requestStatus:retrieve?{query}")
        parts = json_of(answer).get("requestStatusPerDestination") or []
        return _progress(parts[0]) if parts else Progress("processing")

    def size(self, ad_list: AdList) -> Size:
        """Google counts who used its networks lately, rounded, and nothing while a list is new."""
        path = f"accountTypes/GOOGLE_ADS/accounts/{ad_list.account}/userLists/{ad_list.list}"
        found = json_of(self._call("GET", f"/v1/{path}"))
        sizes = [int(n) for n in (found.get("sizeInfo") or {}).values()]
        note = "closed" if found.get("membershipStatus") == "CLOSED" else ""
        return Size(max(sizes), max(sizes), note) if sizes else Size(None, None, note)

    def close(self) -> None:
        self._http.close()

    def _body(self, ad_list: AdList, members: Sequence[Listed]) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        for member in members:
            one: dict[str, Any] = {"userData": {"userIdentifiers": identifiers(member.cells)}}
            if member.consented:
                one["consent"] = _GRANTED
            rows.append(one)
        return {
            "destinations": [_destination(ad_list)],
            "audienceMembers": rows,
            "encoding": "HEX",
        }

    def _send(self, method: str, body: Mapping[str, Any]) -> Taken:
        answer = self._call("POST", f"/v1/{method}", msgspec.json.encode(body))
        reference = json_of(answer).get("requestId")
        if not isinstance(reference, str) or not reference:
            raise OutcomeUnknown("Google's answer names no request; it may have the members.")
        return Taken(reference)

    def _call(self, method: str, path: str, body: bytes | None = None) -> BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self._token()}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._http.call(method, path, headers, body)
        if answer.status >= 300:
            raise _refusal(answer)
        return answer


_GRANTED = {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}


def _destination(ad_list: AdList) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": ad_list.account},
        "productDestinationId": ad_list.list,
    }
    if ad_list.login_account:
        found["loginAccount"] = {"accountType": "GOOGLE_ADS", "accountId": ad_list.login_account}
    return found


def _progress(status: Mapping[str, Any]) -> Progress:
    word = status.get("requestStatus")
    if word not in ("SUCCESS", "PARTIAL_SUCCESS", "FAILED"):
        return Progress("processing")
    refused: dict[int, str] = {}
    again: set[int] = set()
    reasons: list[str] = []
    for count in (status.get("errorInfo") or {}).get("errorCounts") or []:
        reason = str(count.get("reason", "")).removeprefix("PROCESSING_ERROR_REASON_").lower()
        reasons.append(f"{reason} {count.get('recordCount', '')}".strip())
        places = [int(n) for n in count.get("recordIndices") or []]
        if reason in _PASSING:
            again.update(places)
        else:
            refused |= dict.fromkeys(places, reason)
    return Progress(
        "failed" if word == "FAILED" else "done", refused, frozenset(again), ", ".join(reasons)
    )


#: Reasons that are nobody's fault, so that the same member may be taken a little later.
_PASSING = frozenset({"internal_error", "unspecified", "destination_too_recently_created"})
_PLACE = re.compile(r"audience_?[mM]embers\[(\d+)\]")


def _refusal(answer: BaseHTTPResponse) -> DeliveryError | OutcomeUnknown:
    error = json_of(answer).get("error")
    error = error if isinstance(error, dict) else {}
    word = str(error.get("status", answer.status))
    details = [d for d in error.get("details") or [] if isinstance(d, dict)]
    violations = [v for d in details for v in d.get("fieldViolations") or []]
    text = f"Google refuses the request ({word})"
    if answer.status == 429:
        return DeliveryError(
            f"{text}: too many requests",
            permanent=False,
            retry_after=retry_after(answer, 60.0),
            fault="busy",
        )
    if answer.status in (401, 403):
        return DeliveryError(
            f"{text}: check GOOGLE_APPLICATION_CREDENTIALS, the account and the user list",
            permanent=True,
            fault="account",
        )
    if answer.status >= 500:
        return OutcomeUnknown(f"Google failed ({word}); it may have the members.")
    places = {
        int(found[1]): str(v.get("reason") or "invalid").lower()
        for v in violations
        if (found := _PLACE.search(str(v.get("field", ""))))
    }
    if places:
        return MembersRefused(f"{text}: {len(places)} members are not usable", places)
    fields = sorted({str(v.get("field", "")) for v in violations} - {""})
    about = f" at {', '.join(fields)}" if fields else ""
    return DeliveryError(
        f"{text}{about}: check list and account in config/winback.yaml", permanent=True
    )


def token_of(settings: AdSettings) -> Callable[[], str]:
    """Gives access tokens: ``GOOGLE_DATAMANAGER_TOKEN`` as it is, else those of the service
    account in ``GOOGLE_APPLICATION_CREDENTIALS``, renewed shortly before they end. Raises
    ``ConfigError`` when there is neither.

    Google's library is loaded here and not above: it takes a tenth of a second, which every
    command would pay.
    """
    if settings.google_datamanager_token:
        return lambda: settings.google_datamanager_token
    path = settings.google_credentials
    if not path:
        raise ConfigError(
            "Google audiences need GOOGLE_APPLICATION_CREDENTIALS: the path of the JSON key of a "
            "service account that may use the Data Manager API."
        )
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.urllib3 import Request
    from google.oauth2.service_account import Credentials

    try:
        made = Credentials.from_service_account_file(path, scopes=[SCOPE])  # type: ignore[no-untyped-call]
    except (OSError, ValueError, GoogleAuthError) as error:
        raise ConfigError(
            f"GOOGLE_APPLICATION_CREDENTIALS ({path}) is not the JSON key of a service account "
            f"({type(error).__name__}): give the path of one."
        ) from None
    lock = Lock()
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=5.0, read=15.0), retries=False)

    def token() -> str:
        with lock:
            if not made.valid:
                try:
                    made.refresh(Request(pool))  # type: ignore[no-untyped-call]
                except GoogleAuthError as error:
                    raise DeliveryError(
                        f"Google gives no access token ({type(error).__name__}): check the key in "
                        "GOOGLE_APPLICATION_CREDENTIALS",
                        permanent=True,
                        fault="account",
                    ) from None
            return str(made.token)

    return token
