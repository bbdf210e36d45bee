"""What can go wrong: one class a kind of failure, all of them a `PicchuError`.

Each class also derives from the built-in exception that fits, so ``except FileNotFoundError`` catches a film
that does not exist. What the classes tell beyond their message:

>>> try:
...     picchu.film("no-such-film.mp4")
... except picchu.NotFound as error:
...     print(error.kind, error.stage, error.retryable)
not_found sample False
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

__all__ = [
    "AlreadyExists",
    "Cancelled",
    "ConfigError",
    "ContentFiltered",
    "DecodeError",
    "Gap",
    "GapWarning",
    "InternalError",
    "InvalidInput",
    "NotFound",
    "PermissionDenied",
    "PicchuError",
    "QuotaExceeded",
    "Throttled",
    "Timeout",
    "Unavailable",
    "Unsupported",
]


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of film that cannot be decoded.

    Attributes:
        start: Time at which it begins, in seconds.
        end: Time at which pictures come again; None if none come.
        reason: Why, in words.
    """

    start: float
    end: float | None
    reason: str


class GapWarning(UserWarning):
    """A stretch of film could not be decoded; reading goes on after it."""


class PicchuError(Exception):
    """Any failure of picchu.

    Attributes:
        kind: The kind's stable name, for example ``"invalid_input"``.
        stage: The stage in which it happened, for example ``"sample"``, if known.
        provider: The implementation that failed, if known.
        retryable: Whether the same call may succeed later.
        context: Keys and values that help to find the cause.
        gap: The stretch of film that is missing, when the error stands for one.
    """

    kind: ClassVar[str] = "internal"

    def __init__(
        self,
        message: str,
        *,
        stage: str | None = None,
        provider: str | None = None,
        retryable: bool = False,
        context: dict[str, str] | None = None,
        gap: Gap | None = None,
    ) -> None:
        super().__init__(message)
        self.stage = stage
        self.provider = provider
        self.retryable = retryable
        self.context = context or {}
        self.gap = gap

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would forget everything but the message.
        return (type(self), self.args, self.__dict__)


class InvalidInput(PicchuError, ValueError):
    """The caller's data is wrong: a file that is not a film, a threshold out of range."""

    kind = "invalid_input"


class ConfigError(PicchuError):
    """The settings do not fit together, or something needed is not installed."""

    kind = "config"


class NotFound(PicchuError, FileNotFoundError):
    """Something named does not exist."""

    kind = "not_found"


class AlreadyExists(PicchuError, FileExistsError):
    """Something exists that must not, for example another film's dataset."""

    kind = "already_exists"


class PermissionDenied(PicchuError, PermissionError):
    """Access was refused."""

    kind = "permission_denied"


class Throttled(PicchuError):
    """The service asked for a lower rate."""

    kind = "throttled"


class QuotaExceeded(PicchuError):
    """A disk, a quota or a budget is used up."""

    kind = "quota_exceeded"


class Timeout(PicchuError, TimeoutError):
    """No answer in time."""

    kind = "timeout"


class Unavailable(PicchuError, OSError):
    """The service or the storage cannot serve now."""

    kind = "unavailable"


class ContentFiltered(PicchuError):
    """A content filter refused the input or the output."""

    kind = "content_filtered"


class DecodeError(PicchuError, ValueError):
    """A picture or a stretch of film cannot be decoded."""

    kind = "decode"


class Unsupported(PicchuError, NotImplementedError):
    """The request is valid, but this implementation cannot do it."""

    kind = "unsupported"


class Cancelled(PicchuError):
    """The work was cancelled."""

    kind = "cancelled"


class InternalError(PicchuError, RuntimeError):
    """A bug in picchu, or a state that should not exist. Please report it."""

    kind = "internal"


_BY_KIND: dict[str, type[PicchuError]] = {
    cls.kind: cls
    for cls in (
        InvalidInput,
        ConfigError,
        NotFound,
        AlreadyExists,
        PermissionDenied,
        Throttled,
        QuotaExceeded,
        Timeout,
        Unavailable,
        ContentFiltered,
        DecodeError,
        Unsupported,
        Cancelled,
        InternalError,
    )
}


def _from_native(
    kind: str,
    message: str,
    stage: str | None,
    provider: str | None,
    retryable: bool,
    context: list[tuple[str, str]],
    gap: tuple[float, float | None, str] | None,
) -> PicchuError:
    """What the native module calls to make an exception."""
    return _BY_KIND.get(kind, InternalError)(
        message,
        stage=stage,
        provider=provider,
        retryable=retryable,
        context=dict(context),
        gap=Gap(*gap) if gap else None,
    )
