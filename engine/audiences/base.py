"""What the ad platforms are told of the settings."""

from __future__ import annotations

from typing import Protocol


class AdSettings(Protocol):
    """The settings that open an ad platform; see ``engine.settings``."""

    @property
    def google_datamanager_base_url(self) -> str: ...
    @property
    def google_datamanager_token(self) -> str: ...
    @property
    def google_credentials(self) -> str: ...
    @property
    def meta_base_url(self) -> str: ...
    @property
    def meta_access_token(self) -> str: ...
    @property
    def meta_app_secret(self) -> str: ...
