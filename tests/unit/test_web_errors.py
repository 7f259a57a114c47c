"""One error shape for whatever goes wrong behind Flask."""

from __future__ import annotations

import pytest
from flask import Flask, Response, abort
from werkzeug.exceptions import MethodNotAllowed, TooManyRequests

from engine.web import errors


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    errors.install(app)

    @app.get("/folder/")
    def folder() -> str:
        return "here"

    @app.get("/fault")
    def fault() -> str:
        raise ZeroDivisionError("secret@example.com")

    @app.get("/busy")
    def busy() -> str:
        raise TooManyRequests("Wait a moment.", retry_after=7)

    @app.get("/wrong")
    def wrong() -> str:
        raise MethodNotAllowed(["PUT"])

    @app.get("/ready")
    def ready() -> str:
        abort(Response("as it is", status=418))

    return app


def test_an_http_error_keeps_its_words_and_headers(app: Flask) -> None:
    response = app.test_client().get("/busy")
    assert response.status_code == 429
    assert response.get_json() == {"code": "too_many_requests", "message": "Wait a moment."}
    assert response.headers["Retry-After"] == "7"
    assert app.test_client().get("/wrong").headers["Allow"] == "PUT"
    assert app.test_client().get("/nowhere").get_json()["code"] == "not_found"


def test_a_fault_says_nothing_of_itself_and_is_logged(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    response = app.test_client().get("/fault")
    assert response.status_code == 500
    assert response.get_json()["code"] == "internal_error"
    assert "secret" not in response.text
    assert "GET /fault failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_what_is_no_error_stays_as_it_is(app: Flask) -> None:
    redirect = app.test_client().get("/folder")
    assert (redirect.status_code, redirect.headers["Location"]) == (308, "http://localhost/folder/")
    ready = app.test_client().get("/ready")
    assert (ready.status_code, ready.text) == (418, "as it is")
