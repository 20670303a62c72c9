"""The error tree. Every failure a caller can meet is one of these; `None` or `""` never means failure.

LookalikeError
├── BadInput               the caller can mend it by calling differently
│   ├── ImageRejected      bytes that are not an image we accept; `.reason` says why in one word
│   ├── UnsupportedQuery   a search that cannot be answered as asked (page beyond the limit, unknown pipeline)
│   ├── BadSetting         a setting, argument or model entry that makes no sense
│   ├── Conflict           the image has changed meanwhile: it is not at the sequence number that was expected
│   └── AccessDenied       a service that wants a key, or a key that may not do this
├── NotFound               no such image, gallery, model
├── FeatureMismatch        features or an index of another encoder, or of another version of it
├── Damaged                stored data that fails its own checks
└── Unavailable            it may work later (`.retryable`): an engine that is down, weights not fetched yet
    ├── GalleryBusy        another process is writing to this gallery
    └── TooManyRequests    more requests than a key is allowed, or than a service can take at once
"""

from typing import Literal

Reason = Literal[
    "empty",
    "not_an_image",
    "unsupported",
    "truncated",
    "damaged",
    "too_many_bytes",
    "too_many_pixels",
    "too_many_frames",
    "too_small",
    "timeout",
    "crashed",
    "unreadable",
]


class LookalikeError(Exception):
    """Base of every error raised by this package."""

    retryable = False


class BadInput(LookalikeError):
    """The caller can mend it by calling differently."""


class ImageRejected(BadInput):
    """Bytes that are not an image we accept.

    `reason` is one of `Reason`; the message says the same for people and names the limit or the remedy.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    def __reduce__(self) -> tuple[type["ImageRejected"], tuple[Reason, str]]:
        return type(self), (self.reason, str(self))  # crosses the pipe from a decoding process


class UnsupportedQuery(BadInput):
    """A search that cannot be answered as asked."""


class BadSetting(BadInput):
    """A setting, argument or model entry that makes no sense."""


class Conflict(BadInput):
    """The image has changed meanwhile; `sequence` is where it stands now, None where there is none."""

    def __init__(self, message: str, *, sequence: int | None = None) -> None:
        super().__init__(message)
        self.sequence = sequence


class AccessDenied(BadInput):
    """A service that wants a key (`authenticated` is False then), or a key that may not do this."""

    def __init__(self, message: str, *, authenticated: bool = False) -> None:
        super().__init__(message)
        self.authenticated = authenticated


class NotFound(LookalikeError):
    """No such image, gallery or model."""


class FeatureMismatch(LookalikeError):
    """Features or an index of another encoder, or of another version of it."""


class Damaged(LookalikeError):
    """Stored data that fails its own checks."""


class Unavailable(LookalikeError):
    """It may work later: an engine that is down, weights that were not fetched yet.

    `retry_after` is the number of seconds after which trying again makes sense, where that is known.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GalleryBusy(Unavailable):
    """Another process is writing to this gallery."""


class TooManyRequests(Unavailable):
    """More requests than a key is allowed, or than a service can take at once."""
