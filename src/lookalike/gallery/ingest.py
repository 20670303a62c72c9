"""Adding images: reading and decoding in processes beside us, encoding in batches, writing durably."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np

from lookalike.catalog import Catalog, ExistingImage, FileLocation, NewImage, PutResult, SameBytes
from lookalike.catalog.records import check_expected
from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.gallery.decoder import Decoder
from lookalike.imaging import Source, Unchanged
from lookalike.imaging.thumbnails import SIDE
from lookalike.pipeline import Pipeline
from lookalike.types import Features, FeatureSpec, Item, Outcome, OutcomeKind, Prepared

LOOKAHEAD = 512
"""Items whose catalog rows are looked up with one query."""
ENCODE_BATCH = 32
"""Images encoded and written at once where a network encodes them; hashes alone go by `HASH_BATCH`."""
HASH_BATCH = 512
MAX_BATCH_DELAY = 2.0
"""Seconds after which a batch is written although it is not full, so that progress becomes durable."""
FLUSH_OUTCOMES = 4096
"""Items in a row that needed no decoding after which their outcomes are passed on before going further."""

Row = Features | None


@dataclass(slots=True)
class IngestItem:
    """One item that must be read: how it stands in the catalog, and how its file looked before it was read.

    `path` is as the catalog keeps it, None for bytes.
    """

    item: Item
    known: ExistingImage | None
    path: str | None
    nbytes: int | None = None
    mtime_ns: int | None = None

    def outcome(self, kind: OutcomeKind, reason: str | None = None, sequence: int | None = None) -> Outcome:
        """This job's outcome."""
        return Outcome(self.item.key, self.path, kind, reason, sequence)


class Ingest:
    """One run of adding: `run(items)` yields one outcome an item, each only once it is durable."""

    def __init__(self, catalog: Catalog, pipelines: Sequence[Pipeline], decoder: Decoder, tenant: int) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._decoder = decoder
        self._tenant = tenant
        self._seen: list[FileLocation] = []
        self._specs = frozenset(p.spec for p in pipelines)
        self._batch = HASH_BATCH if all(p.spec.metric == "hamming" for p in pipelines) else ENCODE_BATCH

    def run(self, items: Iterable[Item | Outcome]) -> Iterator[Outcome]:
        """Add items; memory stays bounded however many there are."""
        jobs = self._items(items)
        for job in jobs:
            if isinstance(job, Outcome):
                yield job
            else:
                yield from self._run_from(job, jobs)

    def put(self, item: Item, expected: int | None) -> Outcome:
        """Add one item where its image stands at change `expected` (0: where there is none; None: in any case).

        Raises ImageRejected, Conflict, and BadInput for what cannot be stored.
        """
        known = self._catalog.images.existing_images(self._tenant, [item.key]).get(item.key)
        check_expected(item.key, expected, None if known is None else known.sequence)  # spares the decoding
        job = self._item(item, known)
        if isinstance(job, Outcome):
            return job
        [result] = self._decoder.map([self._source(job)])
        if isinstance(result, ImageRejected):
            raise result
        if isinstance(result, Prepared):
            [outcome] = self._write([(job, result)], expected)
        else:
            outcome = self._unchanged(job, result, expected)
            self._note_seen()
        if outcome.outcome == "rejected":
            raise BadInput(outcome.reason or "")
        return outcome

    def _run_from(self, first: IngestItem, jobs: Iterator[IngestItem | Outcome]) -> Iterator[Outcome]:
        """Keep the pool busy with `first` and what follows, until a long row of items needs no decoding."""
        decoding: deque[IngestItem] = deque()
        settled: list[Outcome] = []
        ready: list[tuple[IngestItem, Prepared]] = []
        since = time.monotonic()

        def sources() -> Iterator[Source]:
            for job in chain((first,), jobs):
                if isinstance(job, Outcome):
                    settled.append(job)
                else:
                    decoding.append(job)
                    yield self._source(job)
                if len(settled) >= FLUSH_OUTCOMES:
                    return

        for result in self._decoder.map(sources()):
            job = decoding.popleft()
            if isinstance(result, Prepared):
                ready.append((job, result))
            elif isinstance(result, ImageRejected):
                settled.append(job.outcome("rejected", f"{result.reason}: {result}"))
            else:
                settled.append(self._unchanged(job, result))
            if len(ready) >= self._batch or (ready and time.monotonic() - since > MAX_BATCH_DELAY):
                settled += self._write(ready)
                ready, since = [], time.monotonic()
            yield from _drain(settled)
        settled += self._write(ready)
        self._note_seen()
        yield from settled

    def _items(self, items: Iterable[Item | Outcome]) -> Iterator[IngestItem | Outcome]:
        """Look items up in the catalog by the hundred; a file that was not touched since needs no reading."""
        rest = iter(items)
        while chunk := list(islice(rest, LOOKAHEAD)):
            known = self._catalog.images.existing_images(self._tenant, [i.key for i in chunk if isinstance(i, Item)])
            for item in chunk:
                yield item if isinstance(item, Outcome) else self._item(item, known.get(item.key))

    def _item(self, item: Item, known: ExistingImage | None) -> IngestItem | Outcome:
        job = IngestItem(item, known, item.path)
        if job.path is not None:
            try:
                stat = os.stat(job.path)  # noqa: PTH116 - a third of the time of Path.stat, for every file of a folder
            except OSError:
                return job  # the reader meets the same error and says so
            job.nbytes, job.mtime_ns = stat.st_size, stat.st_mtime_ns
            if known is not None and self._complete(known) and _same_attributes(item, known):
                before = (known.path, known.nbytes, known.mtime_ns)
                if before == (job.path, job.nbytes, job.mtime_ns):
                    return job.outcome("unchanged", sequence=known.sequence)
        return job

    def _complete(self, known: ExistingImage) -> bool:
        return self._specs <= known.encoded

    def _source(self, job: IngestItem) -> Source:
        digest = job.known.sha256 if job.known is not None and self._complete(job.known) else None
        if isinstance(job.item.source, bytes):  # no file to look at later: pixels digested and a small image made now
            return Source(data=job.item.source, known=digest, want_pixels=True, thumbnail_side=SIDE)
        return Source(path=job.path, known=digest)

    def _unchanged(self, job: IngestItem, result: Unchanged, expected: int | None = None) -> Outcome:
        """The bytes are those we have; the file may have moved, its attributes may be new."""
        assert job.known is not None
        self._seen.append(FileLocation(job.known.id, job.path or job.known.path, job.mtime_ns))
        if _same_attributes(job.item, job.known):
            return job.outcome("unchanged", sequence=job.known.sequence)
        key, attributes = job.item.key, job.item.attributes or {}
        try:
            seq = self._catalog.images.set_attributes(self._tenant, key, attributes, merge=False, expected=expected)
        except NotFound:
            return job.outcome("rejected", "it was removed by another writer at this moment; add it again")
        return job.outcome("updated", "attributes", seq)

    def _note_seen(self) -> None:
        """Where unchanged files are now; only spares reading them again, so it can wait for the end of the batch."""
        if self._seen:
            self._catalog.images.update_file_locations(self._seen)
            self._seen = []

    def _write(self, ready: list[tuple[IngestItem, Prepared]], expected: int | None = None) -> list[Outcome]:
        """Encode a batch and write it in one transaction; what another key holds already is not encoded again."""
        if not ready:
            return []
        twins = self._same_bytes(ready)
        new: dict[bytes, Prepared] = {p.sha256: p for _, p in ready if p.sha256 not in twins}
        features = dict(zip(new, self._encode(list(new.values())), strict=True))
        firsts: dict[bytes, str] = {digest: twin.key for digest, twin in twins.items()}
        entries: list[NewImage] = []
        outcomes: list[Outcome] = []
        written: list[IngestItem] = []
        for job, prepared in ready:
            try:
                entries.append(
                    self._entry(job, prepared, features.get(prepared.sha256), twins.get(prepared.sha256), expected)
                )
            except BadInput as error:
                outcomes.append(job.outcome("rejected", str(error)))
                continue
            written.append(job)
        done = self._put(entries, {prepared.sha256: prepared for _, prepared in ready})
        for job, entry, put in zip(written, entries, done, strict=True):
            first = firsts.setdefault(entry.sha256, job.item.key)
            outcomes.append(_written(job, first if first != job.item.key else None, put.sequence))
        return outcomes

    def _put(self, entries: Sequence[NewImage], images: Mapping[bytes, Prepared]) -> list[PutResult]:
        """Write entries; those whose twin another writer removed meanwhile are encoded after all."""
        done = self._catalog.images.put(entries)
        orphans = [(entry, put) for entry, put in zip(entries, done, strict=True) if not put.copied]
        rows = self._encode([images[entry.sha256] for entry, _ in orphans])
        for spec in self._specs if orphans else ():
            ids, digests = [put.id for _, put in orphans], [entry.sha256 for entry, _ in orphans]
            self._catalog.features.put(spec, ids, digests, [row[spec] for row in rows])
        return done

    def _same_bytes(self, ready: Sequence[tuple[IngestItem, Prepared]]) -> Mapping[bytes, SameBytes]:
        """Stored images with the same bytes whose features can be copied; those this batch replaces are none."""
        found = self._catalog.images.same_bytes(self._tenant, {p.sha256 for _, p in ready})
        replaced = {job.item.key for job, _ in ready}
        known = (
            self._catalog.images.existing_images(self._tenant, {twin.key for twin in found.values()} - replaced)
            if found
            else {}
        )
        return {d: twin for d, twin in found.items() if twin.key in known and self._complete(known[twin.key])}

    def _encode(self, images: Sequence[Prepared]) -> list[dict[FeatureSpec, Row]]:
        """Each image's row in each pipeline; none where its feature means nothing."""
        rows: list[dict[FeatureSpec, Row]] = [{} for _ in images]
        if not images:
            return rows
        for at, pipeline in enumerate(self._pipelines):
            encoded = pipeline.encoder.encode(np.stack([image.inputs[at] for image in images]))
            for row, feature, usable in zip(rows, encoded.features, encoded.usable, strict=True):
                row[pipeline.spec] = feature if usable else None
        return rows

    def _entry(
        self,
        job: IngestItem,
        prepared: Prepared,
        features: dict[FeatureSpec, Row] | None,
        twin: SameBytes | None,
        expected: int | None,
    ) -> NewImage:
        return NewImage(
            tenant_id=self._tenant,
            key=job.item.key,
            path=job.path,
            sha256=prepared.sha256,
            pixels=prepared.pixels,
            nbytes=prepared.nbytes,
            mtime_ns=job.mtime_ns,
            width=prepared.width,
            height=prepared.height,
            format=prepared.format,
            border=prepared.border,
            attributes=job.item.attributes,
            features=features or {},
            copy_of=twin.id if twin is not None else None,
            thumbnail=prepared.thumbnail,
            expected=expected,
        )


def _written(job: IngestItem, twin: str | None, seq: int) -> Outcome:
    reason = None if twin is None else f"same bytes as {twin}"
    if job.known is not None:
        return job.outcome("updated", reason, seq)
    return job.outcome("added" if twin is None else "duplicate", reason, seq)


def _same_attributes(item: Item, known: ExistingImage) -> bool:
    return item.attributes is None or dict(item.attributes) == dict(known.attributes)


def _drain(settled: list[Outcome]) -> Iterator[Outcome]:
    yield from settled
    settled.clear()
