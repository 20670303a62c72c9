"""Looks up what is known of items before they are read: their keys, stored images and files."""

import os
from collections.abc import Callable, Iterable, Iterator

from lookalike.catalog import Catalog, ExistingImage, Removal
from lookalike.errors import BadInput
from lookalike.gallery.file_keys import FileKeys
from lookalike.gallery.ingest_items import IngestItem, has_attributes, removed_reason, taken_reason
from lookalike.gallery.missing_files import MissingFinder
from lookalike.gallery.originals import Originals
from lookalike.gallery.presence import FileId, file_id
from lookalike.gallery.seen_images import SeenImages
from lookalike.gallery.verification_records import RecordMaker
from lookalike.image_files import is_text
from lookalike.sources.urls import canonical_url, is_url
from lookalike.types import FeatureSpec, Found, FoundFile, FoundObject, Item, Outcome, ScannedFolder

LOOKAHEAD = 512
"""Items whose catalog rows are read with one query."""
LOOKAHEAD_BYTES = 64 * 1024 * 1024
"""Bytes of members of archives among them, which are read when they are found."""


class ItemLookup:
    """Looks up the items of one run of adding. `singles` are the keys of files that were given by themselves.

    `with_facts` completes what the list of a store did not say; `specs` are the features that a complete image has, at
    the moment. Images that were removed by hand are added `again` or not at all, if their key is not given.
    """

    def __init__(
        self,
        catalog: Catalog,
        tenant: int,
        originals: Originals,
        records: RecordMaker,
        specs: Callable[[], frozenset[FeatureSpec]],
        with_facts: Callable[[list[Found]], list[Found]],
        *,
        again: bool,
    ) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._originals = originals
        self._records = records
        self._specs = specs
        self._with_facts = with_facts
        self._again = again
        self._keys = FileKeys(catalog, tenant)
        self._seen = SeenImages(catalog.changes.last_sequence())
        self._missing = MissingFinder(catalog, tenant, originals)
        self._links: dict[FileId, str] = {}
        self.singles: set[str] = set()
        self.has_removals = catalog.removals.any(tenant)

    def items(self, items: Iterable[Found]) -> Iterator[IngestItem | Outcome]:
        """Look up items in the catalog in batches; a file with the stored size and time is not read."""
        rest = iter(items)
        while chunk := self._with_facts(_next_chunk(rest)):
            yield from self._registered(chunk)
            named = {at: self._named(found) for at, found in enumerate(chunk) if _is_nameless(found)}
            own = {at: item for at, found in enumerate(chunk) if (item := _own_item(found)) is not None}
            known = self._known(named, [item.key for item in own.values()])
            new = [item.key for item in named.values() if item.key not in known]
            removed = self._catalog.removals.by_keys(self._tenant, new) if self.has_removals and new else {}
            for at, found in enumerate(chunk):
                if isinstance(found, Outcome):
                    yield found
                elif isinstance(found, ScannedFolder):
                    folder = self._keys.canonical(found.path)
                    yield from self._missing.report(folder, self._seen) if is_text(folder) else ()
                else:
                    item = named[at] if at in named else own[at]
                    facts = found if isinstance(found, FoundObject) else None
                    yield self._item(item, known.get(item.key), removed.get(item.key), facts, is_found=at in named)

    def _registered(self, chunk: Iterable[Found]) -> Iterator[Outcome]:
        for found in chunk:
            if isinstance(found, FoundFile | FoundObject) and (moved := self._keys.register(found)) is not None:
                yield moved

    def _named(self, found: Found) -> Item:
        assert isinstance(found, FoundFile | FoundObject)
        path = self._keys.path_of(found)
        key = self._keys.key_of(path)
        if found.root is None:
            self.singles.add(key)
        return Item(key, path, found.attributes)

    def _known(self, named: dict[int, Item], keys: list[str]) -> dict[str, ExistingImage]:
        """Return the stored images of keys and files; a file that is stored under another key is named by that."""
        known = self._catalog.images.existing_images(self._tenant, [*keys, *(item.key for item in named.values())])
        others = [at for at, i in named.items() if (stored := known.get(i.key)) is None or stored.path != i.path]
        if others:
            by_path = self._catalog.paths.keys_of(self._tenant, [named[at].path or "" for at in others])
            for at in others:
                item = named[at]
                if (key := by_path.get(item.path or "")) is not None:
                    named[at] = Item(key, item.source, item.attributes)
            if by_path:
                known |= self._catalog.images.existing_images(self._tenant, by_path.values())
        return known

    def _item(
        self,
        item: Item,
        known: ExistingImage | None,
        removal: Removal | None,
        found: FoundObject | None,
        *,
        is_found: bool,
    ) -> IngestItem | Outcome:
        """Return what is to be read of an item, or its outcome where nothing is; the key of a found file is ours."""
        if found is not None:
            self._seen.note(found, known)
        task = self.task(item, known, found)
        if isinstance(task, Outcome) or (task.file is None and not task.is_remote):
            return task
        task.is_found = is_found
        if known is not None and known.path != task.path and (is_found or known.path is not None) and not task.replaces:
            return self._taken(task, known)
        if removal is not None and not self._again:
            if task.file is not None and (removal.nbytes, removal.mtime_ns) == (task.nbytes, task.mtime_ns):
                return task.outcome("removed", removed_reason(removal))
            task.removal = removal
        if known is None and task.file is not None and self._links.get(task.file, item.key) != item.key:
            return task.outcome("linked", f"the same file as {self._links[task.file]}")
        return task

    def task(self, item: Item, known: ExistingImage | None, found: FoundObject | None = None) -> IngestItem | Outcome:
        """Return an item with the state of its file or object; "unchanged" where that is as stored."""
        task = IngestItem(item, known, item.path)
        if found is not None:
            task.replaces = found.replaces
        if task.is_remote:
            task.wants_record = self._records.wants(None)
            if found is not None:
                task.etag, task.nbytes, task.offset, task.data = found.etag, found.nbytes, found.offset, found.data
            if known is None or task.etag is None or not (self.is_complete(known) and has_attributes(item, known)):
                return task
            same = (known.path, known.nbytes, known.etag) == (task.path, task.nbytes, task.etag)
            return task.outcome("unchanged", sequence=known.sequence) if same else task
        if task.path is not None:
            try:
                stat = os.stat(task.path)  # noqa: PTH116 - a third of the time of Path.stat, for every file of a folder
            except OSError:
                return task  # the decoder meets the same error and reports it
            task.nbytes, task.mtime_ns = stat.st_size, stat.st_mtime_ns
            task.wants_record = self._records.wants(stat.st_dev)
            task.file = (stat.st_dev, stat.st_ino)
            if stat.st_nlink > 1 and (known is None or known.path == task.path):
                self._links.setdefault(task.file, item.key)
            if known is not None and self.is_complete(known) and has_attributes(item, known):
                before = (known.path, known.nbytes, known.mtime_ns)
                if before == (task.path, task.nbytes, task.mtime_ns):
                    return task.outcome("unchanged", sequence=known.sequence)
        return task

    def _taken(self, task: IngestItem, known: ExistingImage) -> IngestItem | Outcome:
        """Refuse a file under the key of another, unless it is that file, which was uploaded or has moved."""
        if known.path is None:
            task.taken = "the key is that of an uploaded image with other bytes; give another with --key"
            return task
        if task.file is not None and file_id(known.path) == task.file:
            return task.outcome("linked", f"the same file as {known.path}", known.sequence)
        task.taken = taken_reason(known.path, task.item.key)
        gone = self._originals.state(known.path) == "gone"
        return task if gone else task.outcome("rejected", task.taken)

    def is_complete(self, known: ExistingImage) -> bool:
        """Whether an image has features of all pipelines."""
        return self._specs() <= known.encoded


def _next_chunk(rest: Iterator[Found]) -> list[Found]:
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


def _is_nameless(found: Found) -> bool:
    """Whether the gallery gives it its key."""
    return isinstance(found, FoundFile) or (isinstance(found, FoundObject) and found.key is None)


def _own_item(found: Found) -> Item | None:
    """Return what has a key already as an item."""
    if isinstance(found, FoundObject) and found.key is not None:
        return Item(found.key, found.url, found.attributes)
    return found if isinstance(found, Item) else None
