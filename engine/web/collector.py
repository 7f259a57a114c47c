"""The collector: ``POST /v1/track`` and its kin. It answers 200 once the events are committed.

A plain WSGI callable in front of Flask, as half of the time of such a request would be Flask's
routing and request objects; everything that is not its own goes on to Flask.

    200  committed; a batch says which of its events were refused, by index
    400  the body, or the only event in it, cannot be taken; sending it again will not help
    401  unknown write key
    413  too large
    429  too much waits to be committed: send it again after Retry-After seconds
    503  the database cannot be written now: likewise
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from engine.clock import Clock
from engine.intake.door import Door
from engine.intake.wire import NotTaken
from engine.web import errors, transport
from engine.web.transport import Environ, Headers

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

_SINGLE = ("track", "identify", "page", "screen", "group", "alias")

#: Path → kind of its event; "" where the body is a batch. The one-letter paths are those of
#: Segment's browser client, ``/api/s`` is Jitsu's.
ROUTES: dict[str, str] = {
    **{f"/v1/{kind}": kind for kind in _SINGLE},
    **{f"/v1/{kind[0]}": kind for kind in _SINGLE},
    **{f"/api/s/{kind}": kind for kind in _SINGLE},
    **{f"/api/s/s2s/{kind}": kind for kind in _SINGLE},
    "/v1/batch": "",
    "/v1/import": "",
    "/v1/b": "",
}

_PROJECTS = "/v1/projects/"
_JSON = ("Content-Type", "application/json")
_SUCCESS = b'{"success":true}'

#: What is answered: status, body, further headers.
Answer = tuple[int, bytes, Headers]


class Collector:
    """Answers the tracking calls, hands all others to ``site``."""

    def __init__(self, site: WSGIApplication, door: Door, clock: Clock) -> None:
        self.door = door
        self._site = site
        self._clock = clock

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        kind = ROUTES.get(path)
        if kind is None:
            kind = ROUTES.get(path.rstrip("/"))
        if kind is None and not path.startswith(_PROJECTS):
            return self._site(environ, start_response)
        try:
            status, body, headers = self._answer(environ, kind, path)
        except NotTaken as error:
            status, body, headers = error.status, errors.body(error.code, error.message), []
            if error.retry is not None:
                headers = [("Retry-After", str(error.retry))]
        headers += [_JSON, ("Content-Length", str(len(body))), *transport.cors(environ)]
        start_response(_STATUS[status], headers)
        return (body,)

    def _answer(self, environ: Environ, kind: str | None, path: str) -> Answer:
        method = environ["REQUEST_METHOD"]
        allowed = "GET" if kind is None else "POST"
        if method == "OPTIONS":
            return 204, b"", list(transport.PREFLIGHT)
        if method != allowed:
            message = f"{method} is not for this address; it takes {allowed}"
            return (
                405,
                errors.body("method_not_allowed", message),
                [("Allow", f"{allowed}, OPTIONS")],
            )
        if kind is None:
            return self._settings(environ, path)
        parsed = self.door.take(
            transport.read_body(environ), kind, self._clock.now(), transport.keys(environ)
        )
        if not parsed.refusals:
            return 200, _SUCCESS, []
        if kind:
            refusal = parsed.refusals[0]
            status = 413 if refusal.code == "too_large" else 400
            return status, errors.body(refusal.code, refusal.reason), []
        report = {
            "success": True,
            "accepted": len(parsed.events),
            "rejected": [{"index": r.index, "reason": r.reason} for r in parsed.refusals],
        }
        return 200, msgspec.json.encode(report), []

    def _settings(self, environ: Environ, path: str) -> Answer:
        """What Segment's browser client asks for before it sends anything."""
        key, _, rest = path.removeprefix(_PROJECTS).partition("/")
        if rest != "settings":
            return 404, errors.body("not_found", "there is nothing at this address"), []
        if not self.door.knows([key]):
            return 401, errors.body("unknown_write_key", "no project has this write key"), []
        settings: dict[str, Any] = {
            "integrations": {
                "Segment.io": {
                    "apiKey": key,
                    "apiHost": f"{environ.get('HTTP_HOST', 'localhost')}/v1",
                    "protocol": environ.get("wsgi.url_scheme", "https"),
                }
            },
            "plan": {"track": {"__default": {"enabled": True}}},
        }
        return 200, msgspec.json.encode(settings), []


_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
