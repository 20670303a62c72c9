"""The objects of images, and of changes of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from lookalike import results, types
from lookalike.results import ChangeKind
from lookalike.types import OutcomeKind
from lookalike.wire.objects import Json, Problem, WireObject, convert, doc, rfc3339

MAX_REPORTED_KEYS = 1000
"""Deleted keys that a response names."""
FRAMES = "Frames of an animation, or pages; the first is compared, unless the images are exactly the same."
_SHA256 = "6fe9c1e2b3d0f3a4a5b6c7d8e9f00112233445566778899aabbccddeeff00112"


def thumbnail_url(key: str) -> str:
    """The path of an image's thumbnail on a server."""
    return f"/v1/images/{quote(key, safe='')}/thumbnail"


@dataclass(frozen=True, slots=True)
class Border(WireObject):
    """Pixels cut from each side of an image."""

    left: int
    top: int
    right: int
    bottom: int


@dataclass(frozen=True, slots=True)
class Image(WireObject):
    """An image of the gallery."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "key": "alps/IMG_1.jpg",
        "width": 4032,
        "height": 3024,
        "format": "JPEG",
        "bytes": 2481937,
        "sha256": _SHA256,
        "border": {"left": 0, "top": 0, "right": 0, "bottom": 0},
        "attributes": {"album": "Alps", "year": 2019},
        "created": "2026-01-31T09:30:00.250000Z",
        "updated": "2026-01-31T09:30:00.250000Z",
        "sequence": 17,
        "thumbnail": "/v1/images/alps%2FIMG_1.jpg/thumbnail",
        "frames": 1,
        "truncated": False,
        "exif": {"captured": "2019-07-14T09:30:00", "camera": "Canon EOS 6D", "orientation": 1},
        "path": "/photos/alps/IMG_1.jpg",
        "missing": False,
    }

    key: str
    width: int = field(metadata=doc("Pixels, as a viewer shows the image."))
    height: int
    format: str
    bytes: int
    sha256: str
    border: Border = field(
        metadata=doc("Pixels cut from each side before computing features: left, top, right, bottom.")
    )
    attributes: Json
    created: str = field(metadata=doc("RFC 3339, UTC."))
    updated: str
    sequence: int = field(metadata=doc("The number of the image's last change."))
    thumbnail: str = field(metadata=doc("The path of its thumbnail on the server."))
    frames: int = field(default=1, metadata=doc(FRAMES))
    truncated: bool = field(default=False, metadata=doc("Whether pixels are missing in the file."))
    exif: Json = field(
        default_factory=dict,
        metadata=doc(
            "What its EXIF data say of `captured` (local time), `camera`, `orientation`, `latitude`, `longitude`, "
            "`subsecond`, `exposure` (seconds), `f_number` and `iso`."
        ),
    )
    path: str | None = field(
        default=None,
        metadata=doc(
            "The file that it was added from, on the server's machine; null if it was added as bytes, and for callers "
            "without access to the server's files."
        ),
    )
    missing: bool = field(
        default=False, metadata=doc("Whether its file is gone while the folder that it was added from is there.")
    )

    @classmethod
    def of(cls, record: types.Record, *, show_path: bool = False) -> "Image":
        """The object of a record, with the path of its file or without."""
        return convert(
            cls,
            record,
            bytes=record.nbytes,
            sha256=record.sha256.hex(),
            created=rfc3339(record.created),
            updated=rfc3339(record.updated),
            thumbnail=thumbnail_url(record.key),
            path=record.path if show_path else None,
        )


@dataclass(frozen=True, slots=True)
class ImageList(WireObject):
    """Images in the order of their keys."""

    images: list[Image]
    next: str | None = field(metadata=doc("The cursor of the next page; null at the end."))
    total: int | None = field(
        default=None, metadata=doc("How many there are; on the first page only, where all are listed.")
    )


@dataclass(frozen=True, slots=True)
class Outcome(WireObject):
    """What became of an image. It is durable. A last line of a batch with `error` alone says why it broke off."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {
        "key": "alps/IMG_1.jpg",
        "outcome": "added",
        "reason": None,
        "sequence": 17,
        "truncated": False,
    }

    key: str
    outcome: OutcomeKind
    reason: str | None = field(
        metadata=doc("Names the image that it is a duplicate of; why it was rejected: a word, a colon, a sentence.")
    )
    sequence: int | None = field(
        metadata=doc("The image's last change; a search with this `min_sequence` sees it. Null if it was rejected.")
    )
    truncated: bool = field(default=False, metadata=doc("Whether pixels are missing in a file that was added."))


@dataclass(frozen=True, slots=True)
class OutcomeList(WireObject):
    """What became of the images of one request, in its order."""

    outcomes: list[Outcome]
    error: Problem | None = field(metadata=doc("Why the images after these were not read; null if all were."))


@dataclass(frozen=True, slots=True)
class DeleteResult(WireObject):
    """What was deleted, durably. Unknown keys are ignored."""

    EXAMPLE: ClassVar[Mapping[str, Any] | None] = {"deleted": 1, "keys": ["alps/IMG_1.jpg"], "sequence": 18}

    deleted: int
    keys: list[str] = field(metadata=doc(f"Those deleted, the first {MAX_REPORTED_KEYS:,}."))
    sequence: int = field(metadata=doc("The catalog's last change; a search with this `min_sequence` sees it."))


@dataclass(frozen=True, slots=True)
class Change(WireObject):
    """A change of the gallery. An image is reported once, with its last change: treat added and updated alike."""

    sequence: int
    kind: ChangeKind
    key: str
    image: Image | None = field(metadata=doc("The image as it is now; null where it was deleted."))
    tenant: str | None = field(default=None, metadata=doc("Only where the changes of all tenants were requested."))

    @classmethod
    def of(cls, change: results.Change, *, tenant: bool = False) -> "Change":
        """The object of a change, with its tenant or without."""
        return convert(cls, change, tenant=change.tenant if tenant else None)


@dataclass(frozen=True, slots=True)
class ChangeList(WireObject):
    """Changes in the order of their sequence numbers."""

    changes: list[Change]
    next: str = field(metadata=doc("Continue from here: `after` of the next request."))
    sequence: int = field(metadata=doc("All changes up to this one are covered."))
    more: bool = field(metadata=doc("Whether further changes are there already."))
