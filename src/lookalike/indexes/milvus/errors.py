"""What Milvus and its client say when they fail, as errors of our tree."""

import grpc  # type: ignore[import-untyped]
from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]

from lookalike.errors import BadSetting, LookalikeError, Unavailable, UnsupportedQuery
from lookalike.indexes.milvus.config import Connection

FAILURES: tuple[type[Exception], ...] = (MilvusException, grpc.RpcError, grpc.FutureTimeoutError)
"""All that the client raises where a request fails."""
_UNKNOWN = ("not found", "not exist", "can't find")
_DENIED = ("auth check failure", "unauthenticated", "permission deny", "permission denied", "invalid token")
_MISREAD = ("cannot parse expression", "failed to create query plan", "invalid expression", "at column ")


class IndexNotFound(LookalikeError):
    """A collection, partition or alias that is not there; never leaves the adapter."""


def translate_errors(place: Connection, what: str, error: Exception) -> LookalikeError:
    """The error of our tree that a failure amounts to, in one line, without secrets."""
    code, said = None, str(getattr(error, "message", "") or error)
    below = error if isinstance(error, grpc.RpcError) else error.__cause__  # a failed connection hides the reason
    if isinstance(below, grpc.RpcError) and hasattr(below, "code"):
        code, said = below.code(), f"{below.code().name.lower()}: {below.details()}"
    for secret in (place.password, place.token):
        said = said.replace(secret, "***") if secret else said
    said, lower = said.splitlines()[0][:300] if said else type(error).__name__, said.lower()
    if code == grpc.StatusCode.UNAUTHENTICATED or any(word in lower for word in _DENIED):
        return BadSetting(f"{place.name} refuses user, password or token ({said}); give them in the index's address")
    if "open local milvus failed" in lower:
        return Unavailable(
            f"{place.name} cannot be opened ({said}): the folder must exist, and one process at a time may have the "
            f"file open; for several, use a Milvus server (milvus://host:19530)"
        )
    if any(word in lower for word in _UNKNOWN) and any(word in lower for word in ("collection", "alias", "partition")):
        return IndexNotFound(f"{place.name}: {said}")
    if any(word in lower for word in _MISREAD):
        return UnsupportedQuery(f"{place.name} cannot read the filter: {said}")
    return Unavailable(f"{place.name} failed to answer ({what}): {said}", retry_after=1.0)
