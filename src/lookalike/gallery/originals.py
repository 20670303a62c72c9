"""The files that images were added from, as long as they are what was added."""

from hashlib import sha256
from pathlib import Path

from lookalike.errors import ImageRejected, NotFound
from lookalike.imaging import Limits, read_bytes
from lookalike.types import Record


def read_original(record: Record, limits: Limits) -> bytes:
    """The bytes of an image's file; raises NotFound where there is none, or it has changed since it was added."""
    if record.path is None:
        raise NotFound(f"the image {record.key!r} was added as bytes: there is no file of it")
    try:
        data = read_bytes(Path(record.path), limits)
    except ImageRejected as error:
        raise NotFound(f"the file of {record.key!r} cannot be read: {error}") from error
    if sha256(data).digest() != record.sha256:
        raise NotFound(f"the file of {record.key!r} has changed since it was added; add it again")
    return data
