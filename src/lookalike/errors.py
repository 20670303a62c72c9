"""Exception hierarchy. Every failure is raised as one of these; `None` or `""` never means failure.

LookalikeError
├── BadInput               invalid input: the caller must change the call
│   ├── ImageRejected      bytes that cannot be accepted as an image; `.reason` is a code
│   ├── UnsupportedQuery   a search that is not supported (page beyond the limit, unknown pipeline)
│   ├── BadSetting         an invalid setting, argument or model entry
│   ├── Conflict           a failed precondition: the image has another sequence number than expected
│   └── AccessDenied       a missing or unknown API key, or one without the permission
├── NotFound               no such image, gallery or model
│   └── ChangesPruned      changes that are no longer in the log: a reader of the feed must start again
├── FeatureMismatch        features or an index of another encoder, or of another version of it
├── Damaged                stored data that fails its integrity checks
└── Unavailable            temporary (`.retryable`): an engine that is down, weights that are not downloaded
    ├── GalleryBusy        another process is writing to the gallery
    └── TooManyRequests    a rate limit or the server's capacity is exceeded
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
    """Invalid input: the caller must change the call."""


class ImageRejected(BadInput):
    """Bytes that cannot be accepted as an image.

    `reason` is one of `Reason`; the message explains it and names the limit or the remedy.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason

    def __reduce__(self) -> tuple[type["ImageRejected"], tuple[Reason, str]]:
        return type(self), (self.reason, str(self))  # pickled by decoding processes


class UnsupportedQuery(BadInput):
    """A search that is not supported."""


class BadSetting(BadInput):
    """An invalid setting, argument or model entry."""


class Conflict(BadInput):
    """A failed precondition; `sequence` is the image's present sequence number, None if there is no image."""

    def __init__(self, message: str, *, sequence: int | None = None) -> None:
        super().__init__(message)
        self.sequence = sequence


class AccessDenied(BadInput):
    """A missing or unknown API key (`authenticated` is False), or one without the permission."""

    def __init__(self, message: str, *, authenticated: bool = False) -> None:
        super().__init__(message)
        self.authenticated = authenticated


class NotFound(LookalikeError):
    """No such image, gallery or model."""


class ChangesPruned(NotFound):
    """Changes that are no longer in the log: a reader of the feed must start again from 0."""


class FeatureMismatch(LookalikeError):
    """Features or an index of another encoder, or of another version of it."""


class Damaged(LookalikeError):
    """Stored data that fails its integrity checks."""


class Unavailable(LookalikeError):
    """A temporary failure: an engine that is down, weights that are not downloaded.

    `retry_after` is the number of seconds after which to retry, if known.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GalleryBusy(Unavailable):
    """Another process is writing to the gallery."""


class TooManyRequests(Unavailable):
    """A rate limit of an API key, or the server's capacity, is exceeded."""
