"""What keeps the demo's pages safe to open: headers, and no foreign hand on a form."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Response, abort, request

#: Everything from this server, no inline script or style, nobody else's frame around it.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def protect(response: Response) -> Response:
    """Set the headers of a page; for ``Blueprint.after_request``. A page's own policy stays."""
    response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    if response.mimetype == "text/html":
        response.headers["Cache-Control"] = "no-store"
    return response


def refuse_foreign_posts() -> None:
    """Answer 403 to a form that another site sent; for ``Blueprint.before_request``.

    By ``Sec-Fetch-Site``, which every browser of today sends and no page can forge; an older
    one sends ``Origin``. A client that sends neither is no browser and carries no cookie of a
    shopper. https://developer.mozilla.org/docs/Web/HTTP/Headers/Sec-Fetch-Site
    """
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        foreign = site not in ("same-origin", "none")
    else:
        foreign = origin is not None and urlsplit(origin).netloc != request.host
    if foreign:
        abort(403, "This form was sent from another site. Open the shop itself and try again.")
