"""The values that the catalog takes and returns, beyond the shared types, and their validation."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadInput, Conflict
from lookalike.text import check_key, check_text
from lookalike.types import UNCUT, Attributes, Border, ExifFields, Features, FeatureSpec, Ids, Record, Rows

DIGEST_BYTES = 32


def check_attributes(attributes: Attributes) -> None:
    """Raise BadInput for attributes that are not a JSON object (NaN and infinity are not JSON)."""
    try:
        text = json.dumps(dict(attributes), ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"attributes must be a JSON object: {error}") from None
    if "\\u0000" in text:
        raise BadInput("attributes contain a NUL character, which is not allowed")


def check_limit(limit: int) -> None:
    """Raise BadInput for a page that could not hold one result."""
    if limit < 1:
        raise BadInput(f"a limit is at least 1, not {limit}")


def check_expected(key: str, expected: int | None, found: int | None) -> None:
    """Raise Conflict where an image's sequence number is not the expected one (0: there must be no such image)."""
    if expected is None or expected == (found or 0):
        return
    if found is None:
        raise Conflict(f"the image {key!r} does not exist; it was expected at sequence {expected}")
    expectation = f"it was expected at sequence {expected}" if expected else "it was expected not to exist"
    raise Conflict(f"the image {key!r} has changed: {expectation}, and is at {found}", sequence=found)


@dataclass(slots=True)  # not frozen: of so many fields, that takes half of the time
class NewImage:
    """An image to add, or to replace the one with its tenant and key.

    `attributes` None keeps the present ones. A row of `features` is `(width,)` in the spec's dtype, or None for an
    image with no meaningful feature; instead, `copy_of` names a stored image with the same bytes, whose features are
    copied exactly, with its verification record where `copy_record`. `expected` is the sequence number that the present
    image must have, 0 where it must not exist. `created` and `updated` are those of an image of another catalog, in
    seconds since 1970; None: now. Raises BadInput for what cannot be stored, so that one bad image does not fail its
    batch.
    """

    tenant_id: int
    key: str
    path: str | None
    sha256: bytes
    nbytes: int
    width: int
    height: int
    format: str
    pixels: bytes | None = None
    mtime_ns: int | None = None
    border: Border = UNCUT
    attributes: Attributes | None = None
    features: Mapping[FeatureSpec, NDArray[Any] | None] = field(default_factory=dict)
    copy_of: int | None = None
    thumbnail: bytes | None = None
    verification_record: bytes | None = None
    copy_record: bool = False
    expected: int | None = None
    frames: int = 1
    truncated: bool = False
    exif: ExifFields = field(default_factory=dict)
    etag: str | None = None
    offset: int | None = None
    created: float | None = None
    updated: float | None = None

    def __post_init__(self) -> None:
        check_key(self.key)
        if self.path is not None:
            check_text("path", self.path)
        if self.attributes:
            check_attributes(self.attributes)
        for digest in (self.sha256, self.pixels):
            if digest is not None and len(digest) != DIGEST_BYTES:
                raise BadInput(f"the digest of {self.key!r} has {len(digest)} bytes instead of {DIGEST_BYTES}")
        if self.copy_of is not None and self.features:
            raise BadInput(f"{self.key!r} has features and names an image to copy them from; give one of the two")
        for spec, row in self.features.items():
            if row is not None and (row.shape != (spec.width,) or row.dtype != spec.dtype):
                expected = f"({spec.width},) {spec.dtype}"
                raise BadInput(f"the {spec.name} row of {self.key!r} is {row.shape} {row.dtype}, not {expected}")


class PutResult(NamedTuple):
    """The result for one image; `copied` is False where `copy_of` was gone, changed or had its features released."""

    id: int
    sequence: int
    created: bool
    copied: bool = True


class FileLocation(NamedTuple):
    """Where the unchanged file of an image is now, and its modification time, or ETag and offset of an object."""

    id: int
    path: str | None
    mtime_ns: int | None
    etag: str | None = None
    offset: int | None = None


class Deleted(NamedTuple):
    """A deleted image, and the sequence number of its deletion."""

    key: str
    id: int
    sequence: int


class SameBytes(NamedTuple):
    """The first stored image with certain bytes."""

    id: int
    key: str


@dataclass(frozen=True, slots=True)
class ExistingImage:
    """What shows whether a file has changed; `encoded` are the specs that the image was encoded for."""

    id: int
    sha256: bytes
    nbytes: int
    mtime_ns: int | None
    path: str | None
    attributes: Attributes
    encoded: frozenset[FeatureSpec]
    sequence: int
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What an index must apply after a sequence number: first `deletes`, then `upserts`; no id is in both.

    Deletions up to `pruned_through` are not in the log any more: an index whose own number is below it, and not 0, must
    be cleared and replayed from 0. Of `released` images only the engine has the features: an index leaves these as they
    are, and takes the rest from `released_tenants` and `released_attributes` (None if not requested).
    """

    sequence: int  # of the last change covered
    upserts: Rows  # images whose features are new
    deletes: Ids  # images that were deleted or have no feature
    more: bool  # whether there are later changes
    pruned_through: int
    released: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    released_tenants: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    released_attributes: Sequence[Attributes] | None = None


class LoggedChange(NamedTuple):
    """A change in the feed: the record of an image that was put, None where the image was deleted."""

    sequence: int
    tenant: str
    key: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class ChangeFeed:
    """Changes after a sequence number, in order, up to and with `sequence`; `last` is that of the catalog's last one.

    Of deletions up to `lost_through` some are not in the log any more, or without their keys.
    """

    changes: Sequence[LoggedChange]
    sequence: int
    last: int
    lost_through: int
    more: bool  # whether there are later changes


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """Features, `(n, width)`, with their `ids`, ascending, and the ids of images that have none.

    `empty` ones have no meaningful feature; of `released` ones only the engine has it.
    """

    ids: Ids
    features: Features
    empty: Ids
    released: Ids = field(default_factory=lambda: np.empty(0, np.int64))


class RecordTotals(NamedTuple):
    """The number of images that have a verification record, and of the bytes of these."""

    images: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class CatalogTotals:
    """The number of images, of the bytes of their files, and of images by format."""

    images: int
    nbytes: int
    by_format: Mapping[str, int]
