"""``GET /winback.js``: the tracking snippet, as it lies in ``static/winback.js``."""

from __future__ import annotations

import gzip
from hashlib import blake2b
from pathlib import Path

from flask import Blueprint, Response, request

SOURCE = Path(__file__).parent / "static" / "winback.js"

#: Seconds that a browser keeps it. A page asks for it on every visit.
MAX_AGE = 3600


def blueprint() -> Blueprint:
    """The one address. Read and compressed once, when the process starts."""
    pages = Blueprint("snippet", __name__)
    plain = SOURCE.read_bytes()
    packed = gzip.compress(plain, 9, mtime=0)
    tag = blake2b(plain, digest_size=8).hexdigest()

    @pages.get("/winback.js")
    def winback_js() -> Response:
        small = request.accept_encodings["gzip"] > 0
        response = Response(packed if small else plain, content_type="text/javascript")
        if small:
            response.content_encoding = "gzip"
        response.vary.add("Accept-Encoding")
        response.cache_control.public = True
        response.cache_control.max_age = MAX_AGE
        response.set_etag(f"{tag}-gzip" if small else tag)
        response.access_control_allow_origin = "*"
        response.make_conditional(request)  # in place: 304 where the browser has it
        return response

    return pages
