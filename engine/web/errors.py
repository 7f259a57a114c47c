"""One JSON error shape everywhere: ``{"code": "…", "message": "…"}``.

``code`` is stable, for programs; ``message`` says what is wrong and what to do, for the person.
"""

from __future__ import annotations

import logging

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

logger = logging.getLogger(__name__)


def body(code: str, message: str) -> bytes:
    """The bytes of an error."""
    return msgspec.json.encode({"code": code, "message": message})


def problem(status: int, code: str, message: str) -> Response:
    """An error as a response."""
    return Response(body(code, message), status=status, content_type="application/json")


def install(app: Flask) -> None:
    """Answer every error of ``app`` in the one shape, its own faults with a log entry."""

    @app.errorhandler(HTTPException)
    def known(error: HTTPException) -> BaseResponse:
        if error.code is None or error.code < 400:
            return error.get_response()  # a redirect, or a ready answer given to abort()
        code = (error.name or "error").lower().replace(" ", "_")
        response = problem(error.code, code, error.description or error.name)
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        logger.error("%s %s failed", request.method, request.path, exc_info=error)
        return problem(
            500, "internal_error", "Something failed here; the server's log says what. Try again."
        )
