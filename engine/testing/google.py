"""Google's Data Manager as a sender of audience members sees it: slow, by request, in parts."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import msgspec
from jsonschema import Draft202012Validator

from engine.testing.adlist import AdLists
from engine.testing.simulator import Answer, Request, Simulator, Took

_HEX = re.compile(r"[0-9a-f]{64}")
_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_METHOD = re.compile(r"/v1/audienceMembers:(ingest|remove|removeAll)")
_LIST = re.compile(r"/v1/accountTypes/GOOGLE_ADS/accounts/(\d+)/userLists/(\d+)")
_SCHEMAS = {
    "ingest": "IngestAudienceMembersRequest",
    "remove": "RemoveAudienceMembersRequest",
    "removeAll": "RemoveAllAudienceMembersRequest",
}
_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
#: Of a large request, how many members are held against the schema one by one: at 0.1 ms each.
_LOOKED_AT = 200


@dataclass
class GoogleSimulator(Simulator):
    """One account with any lists. Takes a request, answers its id, and works it when it may.

    ``spec``        JSON Schema of the API to hold every request against; None: limits only.
    ``processing``  seconds a request is worked on, given its number from 1 on and its action.
                    Nothing keeps their order.
    ``bad``         identifiers that come out wrong, by reason (without PROCESSING_ERROR_REASON_).
    ``passing``     identifiers that come out wrong once, with INTERNAL_ERROR.
    ``lists``       the truth. ``working``: by number the requests that are worked on still.
    ``shown``       what the list's size is said to be, given the true one.
    """

    token: str = "simulated-google"
    spec: Path | None = None
    processing: Callable[[int, str], float] = lambda number, action: 0.0
    bad: dict[str, str] = field(default_factory=dict)
    passing: set[str] = field(default_factory=set)
    lists: AdLists = field(default_factory=AdLists)
    shown: Callable[[int], int | None] = lambda size: size
    provider = "google"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.statuses: dict[str, dict[str, Any]] = {}
        self.wrong: list[str] = []
        self._number = 0
        self.working: dict[int, tuple[asyncio.TimerHandle, Callable[[], None]]] = {}
        self._judges: dict[str, Draft202012Validator] = {}
        if self.spec is not None:
            definitions = json.loads(self.spec.read_text())["$defs"]
            for name in (*_SCHEMAS.values(), "AudienceMember"):
                schema = {"$ref": f"#/$defs/{name}", "$defs": definitions}
                self._judges[name] = Draft202012Validator(schema)

    def finish(self, number: int) -> None:
        """Be done with the request of that number now, however long it was to take."""
        timer, work = self.working.pop(number)
        done = threading.Event()

        def now() -> None:
            timer.cancel()
            work()
            done.set()

        self._loop.call_soon_threadsafe(now)
        done.wait(10)

    def reply(self, request: Request) -> Answer:
        path, _, query = request.path.partition("?")
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return self.refusal(401)
        method = _METHOD.fullmatch(path)
        if request.method == "POST" and method:
            return self._taken(method[1], request.body)
        if request.method == "GET" and path == "/v1/requestStatus:retrieve":
            return self._status(parse_qs(query).get("requestId", [""])[0])
        found = _LIST.fullmatch(path)
        if request.method == "GET" and found:
            return self._size(found[2])
        return self.refusal(404)

    def refusal(self, status: int) -> Answer:
        return self._refused(status, _WORDS.get(status, "UNKNOWN"))

    def key_of(self, request: Request) -> str:
        return f"{request.path.partition('?')[0]} {hash(request.body)}"

    def _refused(self, status: int, text: str, fields: Mapping[str, str] | None = None) -> Answer:
        error: dict[str, Any] = {"code": status, "message": text, "status": _WORDS.get(status, "")}
        if fields:
            violations = [{"field": name, "reason": why} for name, why in fields.items()]
            kind = "type.googleapis.com/google.rpc.BadRequest"
            error["details"] = [{"@type": kind, "fieldViolations": violations}]
        if status == 429:
            error["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "RATE_LIMIT_EXCEEDED",
                    "metadata": {"quota_limit": "MutateRequestsPerMinutePerProject"},
                }
            ]
        return _json(status, {"error": error})

    def _taken(self, method: str, body: bytes) -> Answer:
        try:
            asked = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return self._refused(400, "not JSON")
        wrong = self._off_schema(method, asked) or self._off_limits(method, asked)
        if wrong:
            self.wrong += [f"{name}: {why}" for name, why in wrong.items()]
            return self._refused(400, "invalid", wrong)
        reference = uuid4().hex
        self._number += 1
        audience = asked["destinations"][0]["productDestinationId"]
        self.statuses[reference] = {"requestStatus": "PROCESSING"}
        rows = [_identifiers(member) for member in asked.get("audienceMembers", ())]
        if method == "ingest":
            self.lists.ask(audience, (one for row in rows for one in row))
        seconds = self.processing(self._number, method)
        before = asked.get("removeAsOfTime", "")
        work = partial(self._work, reference, method, audience, rows, before)
        if seconds:
            self.working[self._number] = (self._loop.call_later(seconds, work), work)
        else:
            work()
        took = Took(reference, audience, reference)
        return _json(200, {"requestId": reference})._replace(took=(took,))

    def _work(
        self, reference: str, method: str, audience: str, rows: list[set[str]], before: str
    ) -> None:
        now = self.clock.now().timestamp()
        if method == "removeAll":
            at = datetime.fromisoformat(before).timestamp() if before else now
            self.lists.remove_older(audience, at)
            self.statuses[reference] = {"requestStatus": "SUCCESS"}
            return
        failed: dict[str, list[int]] = {}
        good: list[str] = []
        for place, row in enumerate(rows):
            hit = self.passing & row if self.passing else set()
            reason = next((self.bad[one] for one in row if one in self.bad), "")
            if hit:
                self.passing -= hit
                reason = "INTERNAL_ERROR"
            if reason:
                failed.setdefault(reason, []).append(place)
            else:
                good += row
        (self.lists.add if method == "ingest" else self.lists.remove)(audience, good, now)
        counts = [
            {
                "reason": f"PROCESSING_ERROR_REASON_{reason}",
                "recordCount": str(len(places)),
                "recordIndices": places,
            }
            for reason, places in failed.items()
        ]
        lost = sum(map(len, failed.values()))
        word = "SUCCESS" if not lost else "FAILED" if lost == len(rows) else "PARTIAL_SUCCESS"
        self.statuses[reference] = {
            "requestStatus": word,
            **({"errorInfo": {"errorCounts": counts}} if counts else {}),
        }

    def _status(self, reference: str) -> Answer:
        found = self.statuses.get(reference)
        if found is None:
            return self.refusal(404)
        return _json(200, {"requestStatusPerDestination": [found]})

    def _size(self, audience: str) -> Answer:
        shown = self.shown(self.lists.size(audience))
        sizes = {} if shown is None else {"displayNetworkMembersCount": str(shown)}
        body = {"id": audience, "membershipStatus": "OPEN", "sizeInfo": sizes}
        return _json(200, body)

    def _off_schema(self, method: str, asked: Any) -> dict[str, str]:
        if not self._judges:
            return {}
        members = asked.get("audienceMembers", []) if isinstance(asked, dict) else []
        envelope = {**asked, "audienceMembers": members[:1]} if members else asked
        errors = [("", e) for e in self._judges[_SCHEMAS[method]].iter_errors(envelope)]
        step = max(1, len(members) // _LOOKED_AT)
        for place in range(0, len(members), step):
            about = f"audienceMembers[{place}]."
            found = self._judges["AudienceMember"].iter_errors(members[place])
            errors += [(about, error) for error in found]
        return {f"{about}{error.json_path}": error.message[:80] for about, error in errors[:5]}

    def _off_limits(self, method: str, asked: dict[str, Any]) -> dict[str, str]:
        destinations = asked.get("destinations") or []
        if len(destinations) != 1 or not destinations[0].get("productDestinationId"):
            return {"destinations": "REQUIRED"}
        if method == "removeAll":
            return {}
        members = asked.get("audienceMembers") or []
        if not members:
            return {"audienceMembers": "REQUIRED"}
        if len(members) > 10_000:
            return {"audienceMembers": "TOO_MANY_AUDIENCE_MEMBERS"}
        if asked.get("encoding") != "HEX":
            return {"encoding": "REQUIRED"}
        if method == "ingest" and asked.get("termsOfService") != {
            "customerMatchTermsOfServiceStatus": "ACCEPTED"
        }:
            return {"termsOfService": "TERMS_AND_CONDITIONS_NOT_SIGNED"}
        found: dict[str, str] = {}
        for place, member in enumerate(members):
            about = f"audience_members[{place}].user_data.user_identifiers"
            given = member.get("userData", {}).get("userIdentifiers") or []
            if not 1 <= len(given) <= 10:
                found[about] = "TOO_MANY_USER_IDENTIFIERS" if given else "REQUIRED"
            for one in _hashes(given):
                if not _HEX.fullmatch(one) or one == _NOTHING:
                    found[about] = "INVALID_SHA256_FORMAT"
            if method == "remove" and "consent" in member:
                found[about] = "CONSENT_NOT_ALLOWED"
        return found


def _hashes(identifiers: list[dict[str, Any]]) -> list[str]:
    found: list[str] = []
    for one in identifiers:
        address = one.get("address", {})
        found += [v for k, v in one.items() if k != "address"]
        found += [address[k] for k in ("givenName", "familyName") if k in address]
    return found


def _identifiers(member: dict[str, Any]) -> set[str]:
    """By what the member is found: its email and phone hashes."""
    given = member["userData"]["userIdentifiers"]
    return {v for one in given for k, v in one.items() if k != "address"}


def _json(status: int, body: Any) -> Answer:
    return Answer(status, msgspec.json.encode(body), (("Content-Type", "application/json"),), ())
