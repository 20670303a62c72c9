"""Adding images: decoding in worker processes, encoding in batches, writing in durable transactions."""

import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Protocol

import numpy as np

from lookalike.catalog import (
    AddedArchive,
    Catalog,
    FileLocation,
    NewImage,
    PipelinesChanged,
    PutResult,
    SameBytes,
    encoded_for,
)
from lookalike.catalog.records import check_expected
from lookalike.errors import BadInput, ImageRejected, NotFound, Unavailable
from lookalike.gallery.item_lookup import (
    IngestItem,
    ItemLookup,
    Prefetcher,
    has_attributes,
    location,
    removed_reason,
    taken_reason,
)
from lookalike.gallery.missing_files import MissingFinder
from lookalike.gallery.originals import Originals
from lookalike.gallery.pipeline_pool import EncodingSet
from lookalike.gallery.presence import FileId, file_id
from lookalike.gallery.verification_records import RecordMaker
from lookalike.imaging import DecodePool, Source, Unchanged
from lookalike.interfaces import OrientedEncoder
from lookalike.results import THUMBNAIL_SIZE
from lookalike.sources.urls import members_of
from lookalike.text import check_key
from lookalike.types import (
    Features,
    FeatureSpec,
    Found,
    FoundArchive,
    Item,
    Outcome,
    OutcomeKind,
    Prepared,
)
from lookalike.verification import RECORD_SIDE

ENCODE_BATCH = 32
"""Images encoded and written at once by pipelines with a network; hashes alone use `HASH_BATCH`."""
HASH_BATCH = 512
RECORD_BATCH = 64
"""Images written at once where they bring pixels for verification records, 0.4 MB each."""
FIRST_BATCH = 4
"""Images of the first batch, so that the first outcomes come soon; later ones double, up to a full batch."""
MAX_BATCH_DELAY = 1.0
"""Seconds after which a batch that is not full is written: encoding and writing included, an interruption loses at
most about two seconds of work."""
MAX_WRITE_SECONDS = 1.0
"""Seconds to encode and write a batch, above which the next ones are smaller."""
FLUSH_OUTCOMES = 4096
"""Yield outcomes after this many consecutive unchanged items."""
MAX_SAME_BYTES = 1000
"""Images with the bytes of a new file that are compared with it, to see whether they are the same file."""

Row = Features | None


class OpenEncoding(Protocol):
    """Opens the pipelines of which new images get features, with `now` those of this moment."""

    def __call__(self, *, now: bool = False) -> EncodingSet: ...


class Ingest:
    """One run of adding images to a tenant; an outcome is yielded once it is durable. `exif` stores EXIF fields.

    Images that were removed by hand are added `again` or not at all, if their key is not given. Where the gallery's
    pipelines change meanwhile, the catalog refuses a batch without the features of those of now (`open_encoding`), and
    it is decoded and encoded again.
    """

    def __init__(
        self,
        catalog: Catalog,
        open_encoding: OpenEncoding,
        tenant: int,
        originals: Originals,
        records: RecordMaker,
        *,
        exif: bool = True,
        again: bool = False,
    ) -> None:
        self._catalog = catalog
        self._prefetcher = Prefetcher(originals)
        self._lookup = ItemLookup(
            catalog,
            tenant,
            originals,
            records,
            lambda: self._specs,
            self._prefetcher.with_facts,
            MissingFinder(catalog, tenant, originals).report,
            again=again,
        )
        self._open_encoding = open_encoding
        self._tenant = tenant
        self._records = records
        self._exif = exif
        self._again = again
        self._locations: list[FileLocation] = []
        self._store_views = catalog.features.keeper() == "catalog"  # else duplicates are not found by features
        self._batch = FIRST_BATCH
        self._use(open_encoding())

    def _use(self, encoding: EncodingSet) -> None:
        """Encode for this set of pipelines from now on."""
        self._pipelines, self._decoder, self._version = encoding.pipelines, encoding.decoder, encoding.version
        self._specs = frozenset(p.spec for p in self._pipelines)
        self._max_batch = HASH_BATCH if all(p.spec.metric == "hamming" for p in self._pipelines) else ENCODE_BATCH
        self._batch = min(self._batch, self._max_batch)

    def run(self, items: Iterable[Found]) -> Iterator[Outcome]:
        """Add items, and yield their outcomes; memory is bounded. An archive is finished before what follows it."""
        rest = iter(items)
        archives: list[FoundArchive] = []

        def until_archive() -> Iterator[Found]:
            for item in rest:
                if isinstance(item, FoundArchive):
                    archives.append(item)
                    return
                yield item

        try:
            while True:
                yield from self._run(until_archive())
                if not archives:
                    return
                yield from self._run_archive(archives.pop())
        finally:
            self._prefetcher.close()

    def _run(self, items: Iterable[Found]) -> Iterator[Outcome]:
        tasks = self._prefetcher.run(self._lookup.items(items))
        for task in tasks:
            if isinstance(task, Outcome):
                yield task
            else:
                yield from self._run_from(task, tasks)

    def _run_archive(self, archive: FoundArchive) -> Iterator[Outcome]:
        """Add the members of an archive; one that was added as it is, is not read."""
        added = self._catalog.archives.get(self._tenant, archive.url)
        same = added is not None and (added.etag, added.nbytes) == (archive.etag, archive.nbytes)
        if added is not None and same and archive.attributes is None and not self._again:
            files = list(self._catalog.paths.below(self._tenant, members_of(archive.url)))
            if len(files) == added.images and added.is_encoded_for(self._specs):
                yield from (Outcome(file.key, file.path, "unchanged", sequence=file.sequence) for file in files)
                if added.rejected:
                    reason = f"{added.rejected:,} of its members were rejected when it was added; it has not changed"
                    yield Outcome(archive.url, archive.url, "rejected", reason)
                return
        rejected = 0
        for outcome in self._run(archive.members()):
            rejected += outcome.outcome == "rejected"
            if outcome.path == archive.url:  # it cannot be read to its end
                archive = replace(archive, etag=None)
            yield outcome
        if archive.etag is not None:
            number = sum(1 for _ in self._catalog.paths.below(self._tenant, members_of(archive.url)))
            now = AddedArchive(archive.etag, archive.nbytes, encoded_for(self._specs), number, rejected)
            self._catalog.archives.put(self._tenant, archive.url, now)

    def put(self, item: Item, expected: int | None) -> Outcome:
        """Add one item if its stored image has the sequence number `expected` (0: no stored image; None: any).

        Raises ImageRejected, Conflict, and BadInput for a key or attributes that cannot be stored.
        """
        check_key(item.key)
        known = self._catalog.images.existing_images(self._tenant, [item.key]).get(item.key)
        # before decoding, which a conflict would waste
        check_expected(item.key, expected, None if known is None else known.sequence)
        task = self._lookup.task(item, known)
        if isinstance(task, Outcome):
            return task
        if task.is_unread:
            task.data = self._prefetcher.read(task)
        decoder = self._decoder
        [result] = decoder.map([self._source(task)])
        if isinstance(result, ImageRejected):
            raise result
        if isinstance(result, Prepared):
            [outcome] = self._write([(task, result)], decoder, expected)
        else:
            outcome = self._unchanged(task, result, expected)
            self._write_locations()
        if outcome.outcome == "rejected":
            raise BadInput(outcome.reason or "")
        return outcome

    def _run_from(self, first: IngestItem, tasks: Iterator[IngestItem | Outcome]) -> Iterator[Outcome]:
        """Decode `first` and the items that follow, until many consecutive items need no decoding.

        Where the pipelines change, those that follow are left to another call.
        """
        decoder = self._decoder
        decoding: deque[IngestItem] = deque()
        outcomes: list[Outcome] = []
        ready: list[tuple[IngestItem, Prepared]] = []
        since = time.monotonic()

        def sources() -> Iterator[Source]:
            for task in chain((first,), tasks):
                if isinstance(task, Outcome):
                    outcomes.append(task)
                else:
                    decoding.append(task)
                    yield self._source(task)
                if len(outcomes) >= FLUSH_OUTCOMES or self._decoder is not decoder:
                    return

        for result in decoder.map(sources()):
            task = decoding.popleft()
            if isinstance(result, Prepared):
                ready.append((task, result))
            elif isinstance(result, ImageRejected):
                outcomes.append(task.outcome("rejected", f"{result.reason}: {result}"))
            else:
                outcomes.append(self._unchanged(task, result))
            full = min(self._batch, RECORD_BATCH) if task.wants_record else self._batch
            if len(ready) >= full or (ready and time.monotonic() - since > MAX_BATCH_DELAY):
                outcomes += self._write_batch(ready, decoder)
                ready, since = [], time.monotonic()
            yield from outcomes
            outcomes.clear()
        outcomes += self._write(ready, decoder)
        self._write_locations()
        yield from outcomes

    def _write_batch(self, ready: list[tuple[IngestItem, Prepared]], decoder: DecodePool) -> list[Outcome]:
        """Write a batch, and adapt the size of the next one to the time that this one took."""
        started = time.monotonic()
        outcomes = self._write(ready, decoder)
        if time.monotonic() - started > MAX_WRITE_SECONDS:
            self._batch = max(len(ready) // 2, 1)
        elif len(ready) >= self._batch:
            self._batch = min(2 * self._batch, self._max_batch)
        return outcomes

    def _source(self, task: IngestItem) -> Source:
        digest = task.known.sha256 if task.known is not None and self._lookup.is_complete(task.known) else None
        if isinstance(task.item.source, bytes):  # no file to read later: pixel digest and thumbnail are made now
            return Source(data=task.item.source, known=digest, want_pixels=True, thumbnail_side=THUMBNAIL_SIZE)
        side = RECORD_SIDE if task.wants_record else 0
        path, data = (None, task.data) if task.is_remote else (task.path, None)
        task.data = None
        return Source(path=path, data=data, known=digest, reduced_side=side, reduced_apart=bool(side))

    def _unchanged(self, task: IngestItem, result: Unchanged, expected: int | None = None) -> Outcome:
        """Handle a file whose bytes are stored already; its path and attributes may be new."""
        assert task.known is not None
        self._locations.append(location(task, task.known))
        if has_attributes(task.item, task.known):
            return task.outcome("unchanged", sequence=task.known.sequence)
        key, attributes = task.item.key, task.item.attributes or {}
        try:
            seq = self._catalog.images.set_attributes(self._tenant, key, attributes, merge=False, expected=expected)
        except NotFound:
            return task.outcome("rejected", "it was removed by another writer at the same time; add it again")
        return task.outcome("updated", "attributes", seq)

    def _write_locations(self) -> None:
        """Write the locations of unchanged files; they only save reading them again, so they can wait for the batch."""
        if self._locations:
            self._catalog.images.update_file_locations(self._locations)
            self._locations = []

    def _write(
        self, ready: list[tuple[IngestItem, Prepared]], decoder: DecodePool, expected: int | None = None
    ) -> list[Outcome]:
        """Write a batch that `decoder` has prepared, for the pipelines of the moment at which it is written."""
        rejected: list[Outcome] = []
        while True:
            if decoder is not self._decoder:
                decoder = self._decoder
                ready, failed = self._decode_again(ready)
                rejected += failed
            try:
                return rejected + (self._encode_and_put(ready, expected) if ready else [])
            except PipelinesChanged:
                self._use(self._open_encoding(now=True))

    def _decode_again(
        self, ready: Sequence[tuple[IngestItem, Prepared]]
    ) -> tuple[list[tuple[IngestItem, Prepared]], list[Outcome]]:
        """Decode a batch for other pipelines; a file that cannot be read any more is rejected."""
        decoded: list[tuple[IngestItem, Prepared]] = []
        rejected: list[Outcome] = []
        for task, before in ready:
            try:
                if task.is_unread:
                    task.data = self._prefetcher.read(task)
                [result] = self._decoder.map([replace(self._source(task), known=None)])
                if isinstance(result, ImageRejected):
                    raise result
            except (ImageRejected, NotFound, Unavailable) as error:
                rejected.append(task.rejected(f"unreadable: {error}"))
                continue
            assert isinstance(result, Prepared)  # never Unchanged: no digest was given
            if result.sha256 == before.sha256:
                decoded.append((task, result))
            else:
                rejected.append(task.rejected("unreadable: the file changed while it was added; add it again"))
        return decoded, rejected

    def _encode_and_put(self, ready: list[tuple[IngestItem, Prepared]], expected: int | None) -> list[Outcome]:
        """Encode a batch and write it in one transaction; features of stored images with the same bytes are copied."""
        first = self._catalog.images.same_bytes(self._tenant, {prepared.sha256 for _, prepared in ready})
        ready, outcomes = self._without_refused(ready, first)
        if not ready:
            return outcomes
        stored = self._copyable(ready, first)
        new: dict[bytes, Prepared] = {p.sha256: p for _, p in ready if p.sha256 not in stored}
        features = dict(zip(new, self._encode(list(new.values())), strict=True))
        recorded = self._catalog.verification_records.present(copy.id for copy in stored.values())
        records = self._make_records(ready, {digest for digest, copy in stored.items() if copy.id in recorded})
        first_keys = {digest: copy.key for digest, copy in stored.items()}
        new_images: list[NewImage] = []
        written: list[IngestItem] = []
        for task, prepared in ready:
            digest = prepared.sha256
            try:
                record = records.get(digest) if task.wants_record else None
                image = self._new_image(task, prepared, features.get(digest), stored.get(digest), record, expected)
                new_images.append(image)
                written.append(task)
            except BadInput as error:
                outcomes.append(task.outcome("rejected", str(error)))
        results = self._put(new_images, {prepared.sha256: prepared for _, prepared in ready})
        for task, image, result in zip(written, new_images, results, strict=True):
            first_key = first_keys.setdefault(image.sha256, task.item.key)
            reason = None if first_key == task.item.key else f"same bytes as {first_key}"
            kind: OutcomeKind = "updated" if task.known is not None else "added" if reason is None else "duplicate"
            outcomes.append(task.outcome(kind, reason, result.sequence, truncated=image.truncated))
        if self._lookup.has_removals:
            self._catalog.removals.forget(self._tenant, [image.key for image in new_images])
        return outcomes

    def _without_refused(
        self, ready: Sequence[tuple[IngestItem, Prepared]], first: Mapping[bytes, SameBytes]
    ) -> tuple[list[tuple[IngestItem, Prepared]], list[Outcome]]:
        """Split off what is not stored: other images under a taken key, removed images, and further links of a file."""
        files = self._files_with_bytes([p.sha256 for t, p in ready if t.known is None and p.sha256 in first])
        paths = self._paths_of_new(ready)
        kept: list[tuple[IngestItem, Prepared]] = []
        outcomes: list[Outcome] = []
        for task, prepared in ready:
            same = files.setdefault(prepared.sha256, {})
            if task.taken is not None and task.known is not None and task.known.sha256 != prepared.sha256:
                outcomes.append(task.outcome("rejected", task.taken))
            elif task.removal is not None and task.removal.sha256 == prepared.sha256:
                outcomes.append(task.outcome("removed", removed_reason(task.removal)))
            elif task.known is None and task.file is not None and task.file in same:
                outcomes.append(task.linked(same[task.file]))
            elif task.is_found and task.known is None and paths.setdefault(task.item.key, task.path) != task.path:
                outcomes.append(task.outcome("rejected", taken_reason(paths[task.item.key], task.item.key)))
            else:
                kept.append((task, prepared))
                if task.file is not None:
                    same[task.file] = task.item.key
        return kept, outcomes

    def _paths_of_new(self, ready: Sequence[tuple[IngestItem, Prepared]]) -> dict[str, str | None]:
        """Return the files under the keys of new files that were stored since these were looked up.

        Files of one folder cannot have the same key; those that were given by themselves can.
        """
        new = [task.item.key for task, _ in ready if task.is_found and task.known is None]
        looked_up = [key for key in new if key in self._lookup.singles]
        if not looked_up:
            return {}
        known = self._catalog.images.existing_images(self._tenant, looked_up)
        return {key: image.path for key, image in known.items()}

    def _files_with_bytes(self, digests: Sequence[bytes]) -> dict[bytes, dict[FileId, str]]:
        """Return the keys of stored images by their bytes and their file, as far as that is there."""
        if not digests:
            return {}
        found = self._catalog.images.by_digest("sha256", self._tenant, digests, limit=MAX_SAME_BYTES)
        files: dict[bytes, dict[FileId, str]] = {}
        for digest, records in found.items():
            ids = ((file_id(record.path), record.key) for record in records if record.path is not None)
            files[digest] = {id_: key for id_, key in ids if id_ is not None}
        return files

    def _put(self, new_images: Sequence[NewImage], prepared: Mapping[bytes, Prepared]) -> list[PutResult]:
        """Write images; those whose `copy_of` was removed meanwhile by another writer are encoded after all."""
        results = self._catalog.images.put(new_images, pipelines=self._version)
        orphans = [(image, result) for image, result in zip(new_images, results, strict=True) if not result.copied]
        rows = self._encode([prepared[image.sha256] for image, _ in orphans])
        for spec in rows[0] if rows else ():
            ids, digests = [result.id for _, result in orphans], [image.sha256 for image, _ in orphans]
            self._catalog.features.put(spec, ids, digests, [row[spec] for row in rows])
        bare = [(image, result.id) for image, result in orphans if image.copy_record and not image.verification_record]
        made = self._records.make([prepared[image.sha256] for image, _ in bare])
        rows_of = [(id_, image.sha256, data) for (image, id_), data in zip(bare, made, strict=True) if data is not None]
        self._catalog.verification_records.put(rows_of)
        return results

    def _make_records(
        self, ready: Sequence[tuple[IngestItem, Prepared]], copied: Collection[bytes]
    ) -> Mapping[bytes, bytes | None]:
        """Make the records of those images that want one, by digest, except of those whose record is copied."""
        images = {p.sha256: p for task, p in ready if task.wants_record and p.sha256 not in copied}
        return dict(zip(images, self._records.make(list(images.values())), strict=True))

    def _copyable(
        self, ready: Sequence[tuple[IngestItem, Prepared]], found: Mapping[bytes, SameBytes]
    ) -> Mapping[bytes, SameBytes]:
        """Return stored images with the same bytes whose features can be copied, except those this batch replaces."""
        if not found:
            return {}
        replaced = {task.item.key for task, _ in ready}
        known = self._catalog.images.existing_images(self._tenant, {copy.key for copy in found.values()} - replaced)
        return {
            digest: copy
            for digest, copy in found.items()
            if copy.key in known and self._lookup.is_complete(known[copy.key])
        }

    def _encode(self, images: Sequence[Prepared]) -> list[dict[FeatureSpec, Row]]:
        """Return each image's row in each pipeline; None if its feature is not usable."""
        rows: list[dict[FeatureSpec, Row]] = [{} for _ in images]
        if not images:
            return rows
        for at, pipeline in enumerate(self._pipelines):
            inputs = np.stack([image.inputs[at] for image in images])
            encoder, views = pipeline.encoder, None
            if self._store_views and isinstance(encoder, OrientedEncoder):
                encoded, views = encoder.encode_stored(inputs)
            else:
                encoded = encoder.encode(inputs)
            for row, feature, usable in zip(rows, encoded.features, encoded.usable, strict=True):
                row[pipeline.spec] = feature if usable else None
            if views is not None and isinstance(encoder, OrientedEncoder):
                for row, stored, usable in zip(rows, views, encoded.usable, strict=True):
                    row[encoder.views_spec] = stored if usable else None
        return rows

    def _new_image(
        self,
        task: IngestItem,
        prepared: Prepared,
        features: dict[FeatureSpec, Row] | None,
        same_bytes: SameBytes | None,
        record: bytes | None,
        expected: int | None,
    ) -> NewImage:
        return NewImage(
            tenant_id=self._tenant,
            key=task.item.key,
            path=task.path,
            sha256=prepared.sha256,
            pixels=prepared.pixels,
            nbytes=prepared.nbytes,
            mtime_ns=task.mtime_ns,
            width=prepared.width,
            height=prepared.height,
            format=prepared.format,
            border=prepared.border,
            attributes=task.item.attributes,
            features=features or {},
            copy_of=None if same_bytes is None else same_bytes.id,
            thumbnail=prepared.thumbnail,
            verification_record=record,
            copy_record=task.wants_record,
            expected=expected,
            frames=prepared.frames,
            truncated=prepared.truncated,
            exif=prepared.exif if self._exif else {},
            etag=task.etag,
            offset=task.offset,
        )
