"""Adding images: decoding in worker processes, encoding in batches, writing in durable transactions."""

import os
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np

from lookalike.catalog import Catalog, ExistingImage, FileLocation, NewImage, PutResult, SameBytes
from lookalike.catalog.records import check_expected
from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.gallery.decoder import Decoder
from lookalike.gallery.verification_records import RecordMaker
from lookalike.imaging import Source, Unchanged
from lookalike.imaging.thumbnails import SIDE
from lookalike.interfaces import OrientedEncoder
from lookalike.pipeline import Pipeline
from lookalike.types import Features, FeatureSpec, Item, Outcome, OutcomeKind, Prepared
from lookalike.verification import RECORD_SIDE

LOOKAHEAD = 512
"""Items whose catalog rows are read with one query."""
ENCODE_BATCH = 32
"""Images encoded and written at once by pipelines with a network; hashes alone use `HASH_BATCH`."""
HASH_BATCH = 512
MAX_BATCH_DELAY = 2.0
"""Seconds after which a batch that is not full is written, so that progress becomes durable."""
FLUSH_OUTCOMES = 4096
"""Yield outcomes after this many consecutive unchanged items."""

Row = Features | None


@dataclass(slots=True)
class IngestItem:
    """An item to read: its row in the catalog, and the size and time of its file before it was read.

    `path` is as the catalog stores it, None for bytes. `wants_record` asks for a verification record.
    """

    item: Item
    known: ExistingImage | None
    path: str | None
    nbytes: int | None = None
    mtime_ns: int | None = None
    wants_record: bool = False

    def outcome(
        self, kind: OutcomeKind, reason: str | None = None, sequence: int | None = None, *, truncated: bool = False
    ) -> Outcome:
        return Outcome(self.item.key, self.path, kind, reason, sequence, truncated)


class Ingest:
    """One run of adding images to a tenant; an outcome is yielded once it is durable. `exif` stores EXIF fields."""

    def __init__(
        self,
        catalog: Catalog,
        pipelines: Sequence[Pipeline],
        decoder: Decoder,
        tenant: int,
        records: RecordMaker,
        *,
        exif: bool = True,
    ) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._decoder = decoder
        self._tenant = tenant
        self._records = records
        self._exif = exif
        self._locations: list[FileLocation] = []
        self._specs = frozenset(p.spec for p in pipelines)
        self._store_views = catalog.features.keeper() == "catalog"  # else duplicates are not found by features
        self._batch = HASH_BATCH if all(p.spec.metric == "hamming" for p in pipelines) else ENCODE_BATCH

    def run(self, items: Iterable[Item | Outcome]) -> Iterator[Outcome]:
        """Add items, and yield their outcomes; memory is bounded."""
        tasks = self._items(items)
        for task in tasks:
            if isinstance(task, Outcome):
                yield task
            else:
                yield from self._run_from(task, tasks)

    def put(self, item: Item, expected: int | None) -> Outcome:
        """Add one item if its stored image has the sequence number `expected` (0: no stored image; None: any).

        Raises ImageRejected, Conflict, and BadInput for a key or attributes that cannot be stored.
        """
        known = self._catalog.images.existing_images(self._tenant, [item.key]).get(item.key)
        # before decoding, which may be in vain
        check_expected(item.key, expected, None if known is None else known.sequence)
        task = self._item(item, known)
        if isinstance(task, Outcome):
            return task
        [result] = self._decoder.map([self._source(task)])
        if isinstance(result, ImageRejected):
            raise result
        if isinstance(result, Prepared):
            [outcome] = self._write([(task, result)], expected)
        else:
            outcome = self._unchanged(task, result, expected)
            self._write_locations()
        if outcome.outcome == "rejected":
            raise BadInput(outcome.reason or "")
        return outcome

    def _run_from(self, first: IngestItem, tasks: Iterator[IngestItem | Outcome]) -> Iterator[Outcome]:
        """Decode `first` and the items that follow, until many consecutive items need no decoding."""
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
                if len(outcomes) >= FLUSH_OUTCOMES:
                    return

        for result in self._decoder.map(sources()):
            task = decoding.popleft()
            if isinstance(result, Prepared):
                ready.append((task, result))
            elif isinstance(result, ImageRejected):
                outcomes.append(task.outcome("rejected", f"{result.reason}: {result}"))
            else:
                outcomes.append(self._unchanged(task, result))
            if len(ready) >= self._batch or (ready and time.monotonic() - since > MAX_BATCH_DELAY):
                outcomes += self._write(ready)
                ready, since = [], time.monotonic()
            yield from outcomes
            outcomes.clear()
        outcomes += self._write(ready)
        self._write_locations()
        yield from outcomes

    def _items(self, items: Iterable[Item | Outcome]) -> Iterator[IngestItem | Outcome]:
        """Look up items in the catalog in batches; a file with the stored size and time is not read."""
        rest = iter(items)
        while chunk := list(islice(rest, LOOKAHEAD)):
            known = self._catalog.images.existing_images(self._tenant, [i.key for i in chunk if isinstance(i, Item)])
            for item in chunk:
                yield item if isinstance(item, Outcome) else self._item(item, known.get(item.key))

    def _item(self, item: Item, known: ExistingImage | None) -> IngestItem | Outcome:
        task = IngestItem(item, known, item.path)
        if task.path is not None:
            try:
                stat = os.stat(task.path)  # noqa: PTH116 - a third of the time of Path.stat, for every file of a folder
            except OSError:
                return task  # the decoder meets the same error and reports it
            task.nbytes, task.mtime_ns = stat.st_size, stat.st_mtime_ns
            task.wants_record = self._records.wants(stat.st_dev)
            if known is not None and self._complete(known) and _same_attributes(item, known):
                before = (known.path, known.nbytes, known.mtime_ns)
                if before == (task.path, task.nbytes, task.mtime_ns):
                    return task.outcome("unchanged", sequence=known.sequence)
        return task

    def _complete(self, known: ExistingImage) -> bool:
        return self._specs <= known.encoded

    def _source(self, task: IngestItem) -> Source:
        digest = task.known.sha256 if task.known is not None and self._complete(task.known) else None
        if isinstance(task.item.source, bytes):  # no file to read later: pixel digest and thumbnail are made now
            return Source(data=task.item.source, known=digest, want_pixels=True, thumbnail_side=SIDE)
        side = RECORD_SIDE if task.wants_record else 0
        return Source(path=task.path, known=digest, reduced_side=side, reduced_apart=bool(side))

    def _unchanged(self, task: IngestItem, result: Unchanged, expected: int | None = None) -> Outcome:
        """Handle a file whose bytes are stored already; its path and attributes may be new."""
        assert task.known is not None
        self._locations.append(FileLocation(task.known.id, task.path or task.known.path, task.mtime_ns))
        if _same_attributes(task.item, task.known):
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

    def _write(self, ready: list[tuple[IngestItem, Prepared]], expected: int | None = None) -> list[Outcome]:
        """Encode a batch and write it in one transaction; features of stored images with the same bytes are copied."""
        if not ready:
            return []
        stored = self._same_bytes(ready)
        new: dict[bytes, Prepared] = {p.sha256: p for _, p in ready if p.sha256 not in stored}
        features = dict(zip(new, self._encode(list(new.values())), strict=True))
        recorded = self._catalog.verification_records.present(copy.id for copy in stored.values())
        records = self._make_records(ready, {digest for digest, copy in stored.items() if copy.id in recorded})
        first_keys = {digest: copy.key for digest, copy in stored.items()}
        new_images: list[NewImage] = []
        outcomes: list[Outcome] = []
        written: list[IngestItem] = []
        for task, prepared in ready:
            digest = prepared.sha256
            try:
                image = self._new_image(task, prepared, features.get(digest), stored.get(digest), expected)
                record = records.get(digest) if task.wants_record else None
                new_images.append(replace(image, verification_record=record, copy_record=task.wants_record))
                written.append(task)
            except BadInput as error:
                outcomes.append(task.outcome("rejected", str(error)))
        results = self._put(new_images, {prepared.sha256: prepared for _, prepared in ready})
        for task, image, result in zip(written, new_images, results, strict=True):
            first_key = first_keys.setdefault(image.sha256, task.item.key)
            reason = None if first_key == task.item.key else f"same bytes as {first_key}"
            kind: OutcomeKind = "updated" if task.known is not None else "added" if reason is None else "duplicate"
            outcomes.append(task.outcome(kind, reason, result.sequence, truncated=image.truncated))
        return outcomes

    def _put(self, new_images: Sequence[NewImage], prepared: Mapping[bytes, Prepared]) -> list[PutResult]:
        """Write images; those whose `copy_of` was removed meanwhile by another writer are encoded after all."""
        results = self._catalog.images.put(new_images)
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

    def _same_bytes(self, ready: Sequence[tuple[IngestItem, Prepared]]) -> Mapping[bytes, SameBytes]:
        """Return stored images with the same bytes whose features can be copied, except those this batch replaces."""
        found = self._catalog.images.same_bytes(self._tenant, {prepared.sha256 for _, prepared in ready})
        if not found:
            return {}
        replaced = {task.item.key for task, _ in ready}
        known = self._catalog.images.existing_images(self._tenant, {copy.key for copy in found.values()} - replaced)
        return {digest: copy for digest, copy in found.items() if copy.key in known and self._complete(known[copy.key])}

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
            expected=expected,
            frames=prepared.frames,
            truncated=prepared.truncated,
            exif=prepared.exif if self._exif else {},
        )


def _same_attributes(item: Item, known: ExistingImage) -> bool:
    return item.attributes is None or dict(item.attributes) == dict(known.attributes)
