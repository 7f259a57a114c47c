"""An S3-compatible store, by obstore (the ``object_store`` of Apache Arrow's Rust).

A put is whole or nothing: small files go in one request, large ones in parts that appear with the
last request only. A folder of the store is the beginning of a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from engine.audiences.base import PlaceSettings
from engine.errors import ConfigError, DeliveryError

if TYPE_CHECKING:
    from obstore.store import S3Config

CONNECT, WHOLE = timedelta(seconds=10), timedelta(minutes=5)
#: For one that answers 5xx or nothing.
RETRIES = 3


class S3:
    """The files of a bucket whose names begin with ``prefix``."""

    def __init__(self, bucket: str, prefix: str, **config: Any) -> None:
        self._name = f"s3://{bucket}"
        self._prefix = prefix.strip("/")
        endpoint = str(config.get("endpoint") or "")
        self._store = S3Store(
            bucket,
            config=cast("S3Config", {name: value for name, value in config.items() if value}),
            client_options={
                "connect_timeout": CONNECT,
                "timeout": WHOLE,
                # Only for a store of one's own that was named so, such as one on this machine.
                "allow_http": endpoint.startswith("http://"),
            },
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=30)},
        )

    @classmethod
    def from_settings(cls, to: str, settings: PlaceSettings) -> S3:
        """Raises ``ConfigError`` without keys."""
        parts = urlsplit(to)
        if not (settings.aws_access_key_id and settings.aws_secret_access_key):
            raise ConfigError("S3 needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        return cls(
            parts.netloc,
            unquote(parts.path),
            endpoint=settings.s3_endpoint,
            region=settings.aws_region,
            access_key_id=settings.aws_access_key_id,
            secret_access_key=settings.aws_secret_access_key,
            session_token=settings.aws_session_token,
        )

    def put(self, files: Sequence[tuple[str, Path]]) -> None:
        for name, source in files:
            try:
                obstore.put(self._store, f"{self._prefix}/{name}".lstrip("/"), source)
            except (PermissionDeniedError, UnauthenticatedError):
                raise DeliveryError(
                    f"{self._name} refuses the file: check AWS_ACCESS_KEY_ID, "
                    "AWS_SECRET_ACCESS_KEY and what they may do",
                    permanent=True,
                ) from None
            except (BaseError, OSError) as error:
                # Its text may tell of signatures: only what kind it is.
                raise DeliveryError(
                    f"{self._name} does not take the file ({type(error).__name__}): check the "
                    "bucket, AWS_REGION and AWS_ENDPOINT_URL",
                    permanent=False,
                ) from None
