"""Items of a run of adding: what is known of each before it is read, and how they are taken in."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lookalike.catalog import ExistingImage, FileLocation, Removal
from lookalike.errors import BadInput
from lookalike.gallery.presence import FileId
from lookalike.sources.urls import canonical_url, is_url
from lookalike.types import Found, FoundFile, FoundObject, Item, Outcome, OutcomeKind

LOOKAHEAD = 512
"""Items whose catalog rows are read with one query."""
LOOKAHEAD_BYTES = 64 * 1024 * 1024
"""Bytes of members of archives among them, which are read when they are found."""


@dataclass(slots=True)
class IngestItem:
    """An item to read: its row in the catalog, and the size, time and identity of its file before it was read.

    `path` is as the catalog stores it, None for bytes. `wants_record` asks for a verification record. The image is
    rejected with the reason `taken` if its bytes are not those of the known image, and not added if they are those of
    the `removal`. `etag` and `offset` are those of an object or a member; `data` are its bytes from when they were read
    until they are decoded. It `replaces` an image of its key from elsewhere.
    """

    item: Item
    known: ExistingImage | None
    path: str | None
    nbytes: int | None = None
    mtime_ns: int | None = None
    wants_record: bool = False
    file: FileId | None = None
    taken: str | None = None
    removal: Removal | None = None
    is_found: bool = False
    etag: str | None = None
    offset: int | None = None
    data: bytes | None = field(default=None, repr=False)
    replaces: bool = False

    is_remote: bool = field(init=False)
    """Whether it is an object of a store or a member of an archive."""

    def __post_init__(self) -> None:
        self.is_remote = is_url(self.path)

    @property
    def is_unread(self) -> bool:
        """Whether its bytes are those of an object that was not read yet."""
        return self.is_remote and self.data is None

    def rejected(self, reason: str) -> Outcome:
        """Its outcome where it cannot be read."""
        return self.outcome("rejected", reason)

    def outcome(
        self, kind: OutcomeKind, reason: str | None = None, sequence: int | None = None, *, truncated: bool = False
    ) -> Outcome:
        return Outcome(self.item.key, self.path, kind, reason, sequence, truncated)


def next_chunk(rest: Iterator[Found]) -> list[Found]:
    """Return the next items: a number of them, or as many as hold so many bytes."""
    chunk: list[Found] = []
    nbytes = 0
    for found in rest:
        if isinstance(found, Item) and isinstance(found.source, str) and is_url(found.source):
            found = _object_of(found)
        chunk.append(found)
        nbytes += len(found.data or b"") if isinstance(found, FoundObject) else 0
        if len(chunk) == LOOKAHEAD or nbytes >= LOOKAHEAD_BYTES:
            break
    return chunk


def _object_of(item: Item) -> FoundObject | Outcome:
    """Return the object or the file that an item names by its URL."""
    try:
        url = canonical_url(str(item.source))
    except BadInput as error:  # it may hold credentials, and is not repeated
        return Outcome(item.key, None, "rejected", f"unreadable: {error}")
    return FoundObject(url, None, item.attributes, key=item.key)


def is_nameless(found: Found) -> bool:
    """Whether the gallery gives it its key."""
    return isinstance(found, FoundFile) or (isinstance(found, FoundObject) and found.key is None)


def own_item(found: Found) -> Item | None:
    """Return what has a key already as an item."""
    if isinstance(found, FoundObject) and found.key is not None:
        return Item(found.key, found.url, found.attributes)
    return found if isinstance(found, Item) else None


def location(task: IngestItem, known: ExistingImage) -> FileLocation:
    """Return where an unchanged image is now."""
    return FileLocation(known.id, task.path or known.path, task.mtime_ns, task.etag, task.offset)
