"""Reading what a URL names: an object of a store, or a member of an archive."""

from collections.abc import Callable
from pathlib import Path

from lookalike.errors import BadInput, ImageRejected, NotFound, Unavailable
from lookalike.imaging import Limits
from lookalike.sources.archives import read_member
from lookalike.sources.objects import MAX_ATTEMPTS, read_object
from lookalike.sources.urls import canonical_url, is_url, split_member


def read_url(
    url: str, limits: Limits, *, offset: int | None = None, nbytes: int | None = None, attempts: int = MAX_ATTEMPTS
) -> bytes:
    """Return the bytes of an object or of an archive's member; `offset` and `nbytes` as far as known.

    Raises ImageRejected for too many bytes, NotFound, BadInput for what cannot be read, and Unavailable where the store
    is down.
    """
    if split_member(url)[1] is not None:
        return read_member(url, limits, offset, nbytes, attempts)
    return read_object(url, limits, nbytes, attempts)


def read_query(url: str, read: Callable[[str], bytes]) -> Path | bytes:
    """Return what `read` gives of a query by URL, or the path that a `file://` URL names.

    Raises ImageRejected where it cannot be read, whatever the reason: other queries are answered.
    """
    try:
        canonical = canonical_url(url)
        return read(canonical) if is_url(canonical) else Path(canonical)
    except ImageRejected:
        raise
    except (BadInput, NotFound, Unavailable) as error:
        raise ImageRejected("unreadable", str(error)) from error
