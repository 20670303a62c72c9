"""Known before decoding: keys, stored images and files of items; and the bytes of objects, which are read ahead."""

import os
import platform
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice

from lookalike.catalog import Catalog, ExistingImage, FileLocation, Removal, StoredFile
from lookalike.catalog.origins import Root, root_of
from lookalike.errors import BadInput, ImageRejected, LookalikeError, NotFound, Unavailable
from lookalike.gallery.originals import READ_THREADS, Originals
from lookalike.gallery.presence import FileId, file_id
from lookalike.gallery.verification_records import RecordMaker
from lookalike.image_files import is_text
from lookalike.sources.objects import ObjectInfo, stat_object
from lookalike.sources.urls import MEMBER, canonical_url, is_url
from lookalike.text import check_key
from lookalike.types import FeatureSpec, Found, FoundFile, FoundObject, Item, Outcome, OutcomeKind, ScannedFolder

MAX_COMPARED = 32
"""Files of a folder that is gone which are looked for in a new one, to recognise it as the same folder."""
MIN_FOUND = 0.9
"""Share of them that must be there, with the same size and time."""
MAX_TIME_DIFFERENCE = 2_000_000_000
"""Nanoseconds by which the time of a copied file may differ: FAT stores even seconds."""
UPLOADED = "upload://"
"""Begins the path by which the gallery knows a folder of another machine: its name, and the path there, follow."""
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
LOOKAHEAD = 512
"""Items whose catalog rows are read with one query."""
LOOKAHEAD_BYTES = 64 * 1024 * 1024
"""Bytes of members of archives among them, which are read when they are found."""
MAX_AHEAD = 4 * READ_THREADS
"""Objects read, and not decoded yet."""
MAX_AHEAD_BYTES = 256 * 1024 * 1024
"""Bytes of these, as far as their sizes are known; one object may be larger."""
MAX_CONSECUTIVE_FAILURES = 2 * READ_THREADS
"""Objects in a row that could not be reached, each after several attempts, from which on the store is down."""


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

    def linked(self, same: str) -> Outcome:
        """Its outcome as another path of a file that is stored under the key `same`, or at that path under its own."""
        known = self.known
        reason = f"the same file as {same}"
        if self.item.attributes if known is None else not has_attributes(self.item, known):
            reason += f"; its attributes were not stored: set them on {self.item.key if known is not None else same}"
        return self.outcome("linked", reason, None if known is None else known.sequence)


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


class SeenImages:
    """The stored images whose files or objects a run has seen, as a bitmap, and the number of objects by prefix.

    `sequence` is that of the last change before the run.
    """

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self._bits = bytearray()
        self.counts: Counter[str] = Counter()

    def note(self, found: FoundObject, known: ExistingImage | None) -> None:
        """Note that an object was listed, and which image it is."""
        if found.root is not None:
            self.counts[found.root] += 1
        if known is not None:
            self.note_image(known.id)

    def note_image(self, id_: int) -> None:
        """Note that the file of an image is there."""
        byte = id_ >> 3
        if byte >= len(self._bits):
            self._bits.extend(bytes(max(byte + 1 - len(self._bits), len(self._bits))))
        self._bits[byte] |= 1 << (id_ & 7)

    def has(self, file: StoredFile) -> bool:
        """Whether the file or object of an image was seen, or the image was added since."""
        byte = file.id >> 3
        listed = byte < len(self._bits) and bool(self._bits[byte] & 1 << (file.id & 7))
        return listed or file.sequence > self.sequence


def is_uploaded(root: Root) -> bool:
    """Whether a folder is on a machine that sends its files."""
    return root.path.startswith(UPLOADED)


class FileKeys:
    """Keys of the files of one tenant; folders are remembered when their first file is added."""

    def __init__(self, catalog: Catalog, tenant: int) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._roots = catalog.roots.of_tenant(tenant)
        self._canonical: dict[str, str] = {}
        self._folders: dict[str, str | None] = {}

    def register(self, found: FoundFile | FoundObject) -> Outcome | None:
        """Remember the folder of a file, if it is new; returns an outcome where a known folder was moved there."""
        if found.root is None or found.root in self._canonical or not is_text(found.root):
            return None
        folder = self.canonical(found.root)
        if root_of(self._roots, folder) is not None or self._adopt(folder):
            return None
        moved = self._moved_to(folder)
        if moved is not None:
            self._move(moved, folder)
            return Outcome(folder, folder, "moved", f"it was {moved.path} before")
        self._remember(folder, alone=found.is_alone)
        return None

    def prefix_of(self, folder: str, machine: str, *, alone: bool, remember: bool) -> str:
        """What the keys of files begin with that a machine sends of its folder; see `Gallery.folder_prefix`."""
        if not is_url(folder) and not _ABSOLUTE.match(folder):
            raise BadInput(f"the path of the folder {folder!r} is not absolute")
        path = folder if is_url(folder) else f"{UPLOADED}{machine}/{folder.lstrip('/')}"
        if not is_url(folder) and machine == platform.node():
            own = self.canonical(folder)
            path = path if root_of(self._roots, own) is None else own
        path = path.rstrip("/") or path
        if remember and root_of(self._roots, path) is None:
            self._remember(path, alone=alone)
        return self.key_of(f"{path}/")

    def _remember(self, folder: str, *, alone: bool) -> None:
        name = os.path.basename(folder) or "files"  # noqa: PTH119 - of a path as text
        self._catalog.roots.register(self._tenant, folder, ["", name] if alone else [name])
        self._read_roots()

    def _move(self, root: Root, folder: str) -> None:
        self._catalog.roots.move(self._tenant, root, folder)
        self._read_roots()

    def _read_roots(self) -> None:
        self._roots = self._catalog.roots.of_tenant(self._tenant)
        self._folders.clear()

    def _adopt(self, folder: str) -> bool:
        """Whether this machine has sent this folder before, or one that holds it: that is known by its path then."""
        machine = f"{UPLOADED}{platform.node()}"
        root = None if is_url(folder) else root_of(self._roots, machine + folder)
        if root is not None:
            self._move(root, root.path.removeprefix(machine) or "/")
        return root is not None

    def canonical(self, folder: str) -> str:
        """The path by which the gallery knows a folder: one reached through a link is the folder itself."""
        if folder not in self._canonical:
            self._canonical[folder] = self._resolve(folder)
        return self._canonical[folder]

    def path_of(self, found: FoundFile | FoundObject) -> str:
        """The path of a file below the path by which the gallery knows its folder."""
        if isinstance(found, FoundObject):
            return found.url
        if found.root is None or (folder := self._canonical.get(found.root, found.root)) == found.root:
            return found.path
        return folder + found.path[len(found.root) :]

    def key_of(self, path: str) -> str:
        """The key of a new file."""
        folder, _, name = path.rpartition("/")
        if folder not in self._folders:
            root = root_of(self._roots, folder)
            below = None if root is None else folder[len(root.path.rstrip("/")) :].lstrip("/")
            self._folders[folder] = None if root is None else root.prefix + (f"{below}/" if below else "")
        return (self._folders[folder] or "") + name

    def _resolve(self, folder: str) -> str:
        if is_url(folder) or root_of(self._roots, folder) is not None:
            return folder
        real = os.path.realpath(folder)
        for root in self._roots:
            if is_url(root.path):
                continue
            known = os.path.realpath(root.path)
            if real == known or real.startswith(f"{known}/"):
                return root.path + real[len(known) :]
        return folder

    def _moved_to(self, folder: str) -> Root | None:
        """The known folder that is gone and whose files are in this one; prefixes of object stores are not compared."""
        for root in () if is_url(folder) else self._roots:
            if is_url(root.path) or os.path.lexists(root.path):
                continue
            files = list(islice(self._catalog.paths.below(self._tenant, root.path), MAX_COMPARED))
            there = sum(
                _is_same_file(folder + file.path[len(root.path) :], file.nbytes, file.mtime_ns) for file in files
            )
            if files and there >= MIN_FOUND * len(files):
                return root
        return None


def _is_same_file(path: str, nbytes: int, mtime_ns: int | None) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116 - for many files
    except OSError:
        return False
    return found.st_size == nbytes and abs(found.st_mtime_ns - (mtime_ns or 0)) <= MAX_TIME_DIFFERENCE


class ItemLookup:
    """Looks up the items of one run of adding. `singles` are the keys of files that were given by themselves.

    `with_facts` completes what the list of a store did not say, `report_missing` yields the images that are gone from a
    folder; `specs` are the features that a complete image has, at the moment. Images that were removed by hand are
    added `again` or not at all, if their key is not given.
    """

    def __init__(
        self,
        catalog: Catalog,
        tenant: int,
        originals: Originals,
        records: RecordMaker,
        specs: Callable[[], frozenset[FeatureSpec]],
        with_facts: Callable[[list[Found]], list[Found]],
        report_missing: Callable[[str, SeenImages], Iterator[Outcome]],
        *,
        again: bool,
    ) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._originals = originals
        self._records = records
        self._specs = specs
        self._with_facts = with_facts
        self._report_missing = report_missing
        self._again = again
        self._keys = FileKeys(catalog, tenant)
        self._seen = SeenImages(catalog.changes.last_sequence())
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
                    yield from self._report_missing(folder, self._seen) if is_text(folder) else ()
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
        try:
            check_key(item.key)
        except BadInput as error:
            return Outcome(item.key, item.path, "rejected", str(error))
        task = self.task(item, known, found)
        if isinstance(task, Outcome):
            if known is not None:  # its file is as stored
                self._seen.note_image(known.id)
            return task
        if task.file is None and not task.is_remote:
            return task
        task.is_found = is_found
        if known is not None and known.path != task.path and (is_found or known.path is not None) and not task.replaces:
            return self._taken(task, known)
        if removal is not None and not self._again:
            if task.file is not None and (removal.nbytes, removal.mtime_ns) == (task.nbytes, task.mtime_ns):
                return task.outcome("removed", removed_reason(removal))
            task.removal = removal
        if known is None and task.file is not None and self._links.get(task.file, item.key) != item.key:
            return task.linked(self._links[task.file])
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
            return task.linked(known.path)
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


class Prefetcher:
    """Reads the objects of one run of adding images. Threads are started for the first object."""

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._threads: ThreadPoolExecutor | None = None
        self._failures = 0

    def close(self) -> None:
        """Read nothing more."""
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
            self._threads = None

    def run(self, tasks: Iterator[IngestItem | Outcome]) -> Iterator[IngestItem | Outcome]:
        """Yield tasks in their order, those of objects with their bytes; one that cannot be read is a rejected outcome.

        Raises Unavailable where so many in a row could not be reached that the store must be down.
        """
        ahead: deque[tuple[IngestItem | Outcome, Future[bytes] | None, int]] = deque()
        nbytes = 0
        for task in tasks:
            future, size = None, 0
            if not isinstance(task, Outcome) and task.is_unread:
                future, size = self._pool().submit(self.read, task), task.nbytes or 0
            elif not ahead:
                yield task
                continue
            ahead.append((task, future, size))
            nbytes += size
            while ahead and (len(ahead) >= MAX_AHEAD or nbytes > MAX_AHEAD_BYTES or _is_ready(ahead[0][1])):
                first, future, size = ahead.popleft()
                nbytes -= size
                yield self._finished(first, future)
        while ahead:
            first, future, _ = ahead.popleft()
            yield self._finished(first, future)

    def read(self, task: IngestItem) -> bytes:
        """Return the bytes of one object; raises as `Originals.read`."""
        assert task.path is not None
        return self._originals.read(task.path, nbytes=task.nbytes)

    def with_facts(self, chunk: list[Found]) -> list[Found]:
        """Return found things with the size and ETag of those objects whose list did not say them."""
        at = [n for n, one in enumerate(chunk) if isinstance(one, FoundObject) and _needs_facts(one)]
        if not at:
            return chunk
        result = list(chunk)
        wanted = [one for n in at if isinstance(one := chunk[n], FoundObject)]
        for n, one, facts in zip(at, wanted, self._pool().map(_facts, wanted), strict=True):
            if isinstance(facts, ObjectInfo):
                result[n] = replace(one, etag=facts.etag, nbytes=facts.nbytes)
            else:
                self._note(facts)
                result[n] = Outcome(one.relative, one.url, "rejected", _reason(facts))
        return result

    def _pool(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="lookalike-read")
        return self._threads

    def _finished(self, task: IngestItem | Outcome, future: Future[bytes] | None) -> IngestItem | Outcome:
        if isinstance(task, Outcome) or future is None:
            return task
        try:
            task.data = future.result()
        except LookalikeError as error:
            self._note(error)
            return task.rejected(_reason(error))
        self._failures = 0
        return task

    def _note(self, error: LookalikeError) -> None:
        if not isinstance(error, Unavailable):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= MAX_CONSECUTIVE_FAILURES:
            raise Unavailable(
                f"{self._failures} objects in a row could not be reached; run the same command again later. "
                f"The last one: {error}"
            ) from error


def _is_ready(future: Future[bytes] | None) -> bool:
    return future is None or future.done()


def _needs_facts(one: FoundObject) -> bool:
    return one.etag is None and one.data is None and is_url(one.url) and MEMBER not in one.url


def _facts(one: FoundObject) -> ObjectInfo | LookalikeError:
    try:
        return stat_object(one.url)
    except (BadInput, NotFound, Unavailable) as error:
        return error


def _reason(error: LookalikeError) -> str:
    return f"{error.reason if isinstance(error, ImageRejected) else 'unreadable'}: {error}"
