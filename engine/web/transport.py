"""The bytes of a tracking request: its body, its key, its origin.

Real clients say the wrong content type, leave out the encoding and put the key in five places
(as requests recorded from their SDKs show), so everything is told by what it is, not by its label.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from engine.intake.wire import MAX_BATCH, NotTaken

#: Largest body on the wire. What is deflated cannot need more than it inflates to.
MAX_WIRE = MAX_BATCH + 1024

_GZIP = b"\x1f\x8b"

Environ = dict[str, Any]
Headers = list[tuple[str, str]]


def read_body(environ: Environ) -> bytes:
    """The body, inflated where it is gzip or deflate, whatever its headers say.

    Raises ``NotTaken``: 413 past 500 KB (inflating stops there, so a bomb costs no more), 400
    where it breaks off, 415 for another encoding.
    """
    length = _length(environ)
    if length is not None and length > MAX_WIRE:
        raise _too_large()
    stream = environ["wsgi.input"]
    body: bytes = stream.read(MAX_WIRE + 1 if length is None else length)
    if length is not None and len(body) < length:
        raise NotTaken("broken_body", f"the body broke off after {len(body)} of {length} bytes")
    encoding = environ.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if body[:2] == _GZIP or encoding == "deflate":
        body = _inflate(body)
    elif encoding not in ("", "identity", "gzip", "x-gzip"):
        raise NotTaken("unknown_encoding", f"{encoding[:40]} is not gzip or deflate", status=415)
    if len(body) > MAX_BATCH:
        raise _too_large()
    return body


def keys(environ: Environ) -> Iterator[str]:
    """The write keys in the headers and the query: Basic user, Bearer, X-Write-Key, writeKey."""
    header = environ.get("HTTP_AUTHORIZATION")
    if header:
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "basic":
            yield _basic_user(value)
        elif scheme.lower() == "bearer":
            yield value.strip()
    header = environ.get("HTTP_X_WRITE_KEY")
    if header:
        yield header.strip()
        yield header.partition(":")[0].strip()  # Jitsu writes key:secret
    query = environ.get("QUERY_STRING")
    if query:
        yield from parse_qs(query).get("writeKey", ())


def cors(environ: Environ) -> Headers:
    """Let the page that asks read the answer. Any origin may write: the key of a page is public."""
    origin = environ.get("HTTP_ORIGIN")
    if not origin:
        return [("Vary", "Origin")]
    return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]


#: The answer to a browser that asks first. The browser keeps it for a day, or less if it likes.
PREFLIGHT: Headers = [
    ("Access-Control-Allow-Methods", "GET, POST, OPTIONS"),
    (
        "Access-Control-Allow-Headers",
        "authorization, content-type, content-encoding, x-retry-count, x-write-key",
    ),
    ("Access-Control-Max-Age", "86400"),
    ("Content-Length", "0"),
]


def _length(environ: Environ) -> int | None:
    """Bytes announced; None where the body comes in chunks and ends when it ends."""
    text = environ.get("CONTENT_LENGTH")
    if not text:
        return None if environ.get("HTTP_TRANSFER_ENCODING") else 0
    if not text.isdecimal():
        raise NotTaken("broken_body", "Content-Length is not a number")
    return int(text)


def _inflate(data: bytes) -> bytes:
    """Inflate gzip (also of several members) or zlib, at most one byte past the limit."""
    parts: list[bytes] = []
    room = MAX_BATCH + 1
    while data and room > 0:
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            part = inflater.decompress(data, room)
        except zlib.error as error:
            raise NotTaken("broken_body", f"the body cannot be inflated: {error}") from error
        room -= len(part)
        parts.append(part)
        if not inflater.eof and room > 0:
            raise NotTaken("broken_body", "the compressed body breaks off")
        data = inflater.unused_data
    return b"".join(parts)


def _basic_user(value: str) -> str:
    try:
        decoded = base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return ""
    return decoded.partition(b":")[0].decode("utf-8", "replace")


def _too_large() -> NotTaken:
    return NotTaken("too_large", f"a request has at most {MAX_BATCH} bytes, inflated", status=413)
