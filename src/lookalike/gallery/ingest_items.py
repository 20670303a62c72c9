"""An item of a run of adding, with what is known of it before it is read."""

from dataclasses import dataclass, field
from datetime import datetime

from lookalike.catalog import ExistingImage, FileLocation, Removal
from lookalike.gallery.presence import FileId
from lookalike.sources.urls import is_url
from lookalike.types import Item, Outcome, OutcomeKind


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


def location(task: IngestItem, known: ExistingImage) -> FileLocation:
    """Return where an unchanged image is now."""
    return FileLocation(known.id, task.path or known.path, task.mtime_ns, task.etag, task.offset)


def taken_reason(path: str | None, key: str) -> str:
    """Why an image is not stored under the key of another."""
    whose = path or "an uploaded image"
    return f"the key is that of {whose}; give another with --key, or remove that image first (`lookalike rm {key}`)"


def removed_reason(removal: Removal) -> str:
    """Why a removed image is not added again."""
    day = datetime.fromtimestamp(removal.at).astimezone().strftime("%Y-%m-%d")
    return f"it was removed from the gallery on {day}; `lookalike add --again` adds it"


def has_attributes(item: Item, known: ExistingImage) -> bool:
    """Whether an item brings no attributes, or those that are stored."""
    return item.attributes is None or dict(item.attributes) == dict(known.attributes)
