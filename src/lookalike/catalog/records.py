"""What goes into the catalog and what comes out, beyond the shared types."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadInput, Conflict
from lookalike.text import check_text
from lookalike.types import UNCUT, Attributes, Border, Features, FeatureSpec, Ids, Rows

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


def check_expected(key: str, expected: int | None, found: int | None) -> None:
    """Raise Conflict where an image does not stand at the sequence number expected (0: must not be there)."""
    if expected is None or expected == (found or 0):
        return
    if found is None:
        raise Conflict(f"the image {key!r} is gone; it was expected at change {expected}")
    wanted = f"it was expected at change {expected}" if expected else "it was expected not to be there"
    raise Conflict(f"the image {key!r} has changed: {wanted}, and is at {found}", sequence=found)


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to put in, in place of any other with its tenant and key.

    `attributes` None keeps those that are there. `features` holds a row by spec, as the encoder gave it: `(width,)` in
    the spec's dtype, or None for "encoded, and nothing meaningful found". Instead, `copy_of` names a stored image
    with the same bytes, whose features are taken over exactly. `thumbnail` is a small image to keep. `expected` is
    the sequence number at which the image must stand, 0 for one that must not be there yet. Raises BadInput at once
    for what cannot be stored, so that one bad image does not fail its batch.
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
    expected: int | None = None

    def __post_init__(self) -> None:
        if not self.key:
            raise BadInput("an image needs a key that is not empty")
        check_text("key", self.key)
        if self.path is not None:
            check_text("path", self.path)
        if self.attributes:
            check_attributes(self.attributes)
        for digest in (self.sha256, self.pixels):
            if digest is not None and len(digest) != DIGEST_BYTES:
                raise BadInput(f"the digest of {self.key!r} has {len(digest)} bytes instead of {DIGEST_BYTES}")
        if self.copy_of is not None and self.features:
            raise BadInput(f"{self.key!r} brings features and names an image to copy them from; give one of the two")
        for spec, row in self.features.items():
            if row is not None and (row.shape != (spec.width,) or row.dtype != spec.dtype):
                wanted = f"({spec.width},) {spec.dtype}"
                raise BadInput(f"the {spec.name} row of {self.key!r} is {row.shape} {row.dtype}, not {wanted}")


class PutResult(NamedTuple):
    """What became of an entry; `copied` is False only where the image named by `copy_of` was gone or had changed."""

    id: int
    seq: int
    created: bool
    copied: bool = True


class FileLocation(NamedTuple):
    """A file met again with the same content: where it is now, and its time stamp."""

    id: int
    path: str | None
    mtime_ns: int | None


class Deleted(NamedTuple):
    """An image that is gone, and the sequence number of its going."""

    key: str
    id: int
    seq: int


class SameBytes(NamedTuple):
    """The first stored image with certain bytes."""

    id: int
    key: str


@dataclass(frozen=True, slots=True)
class ExistingImage:
    """What tells whether a file has changed; `encoded` are the specs that need no encoding any more.

    `seq` is the change at which the image stands.
    """

    id: int
    sha256: bytes
    nbytes: int
    mtime_ns: int | None
    path: str | None
    attributes: Attributes
    encoded: frozenset[FeatureSpec]
    seq: int


def no_ids() -> Ids:
    """An empty array of ids."""
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Changes:
    """What an index must apply after a sequence number: first `deletes`, then `upserts`; no id is in both.

    `kept` are images changed in other ways whose features the engine alone keeps: an index leaves their features as
    they are, and takes the rest from `kept_tenants` and `kept_attributes` (None where attributes were not asked for).
    `sequence` is the last change covered, `more` says that there are later ones. Deletions up to `pruned` are
    forgotten: an index whose own sequence is below it, and not 0, must be cleared and replayed from 0.
    """

    sequence: int
    upserts: Rows
    deletes: Ids
    more: bool
    pruned: int
    kept: Ids = field(default_factory=no_ids)
    kept_tenants: Ids = field(default_factory=no_ids)
    kept_attributes: Sequence[Attributes] | None = None


@dataclass(frozen=True, slots=True)
class StoredFeatures:
    """Features by image: `ids` (n,) ascending, `features` (n, width); `empty` are ids with no meaningful feature.

    `kept` are ids whose features the engine alone keeps.
    """

    ids: Ids
    features: Features
    empty: Ids
    kept: Ids = field(default_factory=no_ids)


@dataclass(frozen=True, slots=True)
class CatalogTotals:
    """How much there is: images, bytes of their files, and images by format."""

    images: int
    nbytes: int
    by_format: Mapping[str, int]
