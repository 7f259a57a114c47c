"""The errors that cross room borders. An exception's docstring is its default message."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

#: What an error is about, where it is not the message that was sent.
#:
#: account  us: a wrong key, a suspended account, a sender that is not ours, no money
#: away     the provider: it cannot be reached, or says that it does not work just now
#: busy     our pace: it wants nothing from us for ``retry_after``
Fault = Literal["", "account", "away", "busy"]


class WinbackError(Exception):
    """Something went wrong in Winback."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class ConfigError(WinbackError):
    """A setting is missing or cannot be used."""


class DeliveryError(WinbackError):
    """The provider did not take the message.

    This is the whole error contract between a channel and the runtime. Raise it only
    when the provider is *known* not to have taken the message.

    ``permanent``    never try this message again (bad address, opted out, refused).
    ``retry_after``  else: how long to wait before the next attempt.
    ``suppress``     the address itself is dead or opted out: block it for this channel.
    ``fault``        it is not about this message at all, and would hit any other just so: the
                     message stays due as it was, and the provider is left alone for a while.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool,
        retry_after: timedelta | None = None,
        suppress: bool = False,
        fault: Fault = "",
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.fault = fault
        self.retry_after = retry_after or (None if permanent else timedelta(minutes=1))
        self.suppress = suppress


class OutcomeUnknown(WinbackError):
    """The request left us, but no answer came: the provider may or may not have the message."""


class RenderError(WinbackError):
    """A template could not be rendered.

    ``file`` and ``line`` (1-based) point into the template where they are known.
    """

    def __init__(self, message: str, *, file: str = "", line: int = 0) -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(place + message)
        self.file = file
        self.line = line
