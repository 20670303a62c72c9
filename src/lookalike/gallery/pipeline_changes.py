"""Changes of the pipelines of a gallery while it serves: add, backfill, promote, drop."""

import os
import platform
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from lookalike.catalog import Catalog, IdRange, MissingFeatures, PipelinesChanged, StoredPipeline
from lookalike.catalog.pipelines import find, indexes_of, ranking_name
from lookalike.descriptions import describe_failures
from lookalike.errors import BadInput, Conflict, ImageRejected, NotFound, Unavailable
from lookalike.gallery.originals import READ_THREADS, Originals
from lookalike.gallery.pipeline_pool import DROP_SECONDS, CurrentPipelines, PipelinePool
from lookalike.gallery.presence import FilePresence
from lookalike.imaging import DecodePool, Source
from lookalike.imaging.windows import MAX_WINDOWED_IMAGES
from lookalike.interfaces import Encoder, OrientedEncoder
from lookalike.results import BackfillFailure, BackfillProgress, GalleryPipeline, OtherIndex
from lookalike.sources.urls import is_url
from lookalike.types import Features, FeatureSpec, Prepared, Record

BATCH = 64
"""Images that are read, encoded and written at once."""
REMOTE_BATCH = 16
"""The same, where some are objects of a store, whose bytes are in memory until all are decoded."""
WAIT_SECONDS = 0.5
"""Seconds between two looks at the ranges of other workers, the last of which may have died."""

Failed = tuple[int, bytes, BackfillFailure, str]
"""Id and digest of an image, and why it cannot be encoded."""


@dataclass(slots=True)
class _Batch:
    """What became of the images of a batch: decoded, not decodable, or out of reach."""

    decoded: list[tuple[Record, Prepared]] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    unreachable: int = 0

    def fail(self, image: Record, kind: BackfillFailure, reason: str) -> None:
        self.failed.append((image.id, image.sha256, kind, reason))


class Backfill:
    """One worker of a backfill, in this process; others may work at the same time, on any host.

    Nothing is kept in memory: an image is done once its features are stored, and the ranges of a worker that was killed
    are taken over. An image that is changed meanwhile is left to its writer.
    """

    def __init__(
        self, name: str, catalog: Catalog, current: CurrentPipelines, encoder: Encoder, decoder: DecodePool,
        originals: Originals,
    ) -> None:  # fmt: skip
        self._name = name
        self._catalog = catalog
        self._current = current
        self._encoder = encoder
        self._decoder = decoder
        self._originals = originals
        self._presence = FilePresence(lambda: catalog.roots.of_tenant(None))
        self._worker = f"{platform.node()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._store_views = catalog.features.keeper() == "catalog"

    def run(self, *, rate: float | None = None, retry: bool = False) -> Iterator[BackfillProgress]:
        """Encode until no image is left, and yield the progress after each batch.

        Args:
            rate: Images per second, at most; None for as many as this machine can.
            retry: Also try the images that an earlier backfill could not encode.

        Raises:
            NotFound: The pipeline was dropped meanwhile.
        """
        self._catalog.backfills.start(self._name, retry=retry)
        total = self._catalog.backfills.missing(self._name, self._encoder.spec).to_do
        encoded = failed = unreachable = 0
        started = time.monotonic()
        try:
            for claimed in self._ranges():
                for batch in self._batches(claimed):
                    encoded += self._store(batch)
                    failed += len(batch.failed)
                    unreachable += batch.unreachable
                    progress = BackfillProgress(encoded, failed, unreachable, total)
                    yield progress
                    if rate is not None:
                        time.sleep(max(0.0, started + progress.done / rate - time.monotonic()))
        finally:
            self._catalog.backfills.release(self._name, self._worker)

    def _ranges(self) -> Iterator[IdRange]:
        """Claim one range after the other; at the end wait for other workers, and take over what they leave."""
        backfills = self._catalog.backfills
        while True:
            self._version()
            claimed = backfills.claim(self._name, self._worker)
            if claimed is not None:
                yield claimed
                backfills.finish(self._name, self._worker, claimed)
            elif backfills.claimed(self._name):
                time.sleep(WAIT_SECONDS)
            else:
                return

    def _batches(self, claimed: IdRange) -> Iterator[_Batch]:
        """Read the images of a range in batches, until another worker takes it over."""
        after = claimed.first - 1
        while self._catalog.backfills.renew(self._name, self._worker, claimed):
            page = self._catalog.features.missing(
                self._encoder.spec, after_id=after, through_id=claimed.last, limit=BATCH, not_failed=self._name
            )
            if not page:
                return
            after = page[-1].id
            size = REMOTE_BATCH if any(is_url(image.path) for image in page) else BATCH
            for at in range(0, len(page), size):
                yield self._read(page[at : at + size])

    def _version(self) -> int:
        """The version of the set of pipelines; raises NotFound where ours is not in it any more."""
        found = self._current.get(now=True)
        if self._name not in found.encoded:
            raise NotFound(f"the pipeline {self._name} was dropped meanwhile")
        return found.version

    def _read(self, images: Sequence[Record]) -> _Batch:
        """Decode the originals of images; thumbnails are no substitute, as they have other features."""
        batch = _Batch()
        with ThreadPoolExecutor(READ_THREADS, "backfill-read") as threads:
            sources = list(threads.map(lambda image: self._source(image, batch), images))
        found = [(image, source) for image, source in zip(images, sources, strict=True) if source is not None]
        results = self._decoder.map(source for _, source in found)
        for (image, _), result in zip(found, results, strict=True):
            if isinstance(result, ImageRejected):
                self._note_rejected(image, result, batch)
            elif isinstance(result, Prepared) and result.sha256 == image.sha256:
                batch.decoded.append((image, result))
            else:
                batch.fail(image, "changed", "the file has changed since it was added; add it again")
        return batch

    def _source(self, image: Record, batch: _Batch) -> Source | None:
        """What is to be decoded of an image; None where there is nothing, which is noted."""
        if image.path is None:
            batch.fail(image, "no_original", "it was added as bytes, which are not kept; add it again")
        elif not is_url(image.path):
            return Source(path=image.path)
        else:
            try:
                return Source(data=self._originals.read_original(image))
            except Unavailable:
                batch.unreachable += 1
            except NotFound as error:
                state = self._originals.state(image.path)
                if state == "unreachable":
                    batch.unreachable += 1
                else:
                    batch.fail(image, "gone" if state == "gone" else "changed", str(error))
        return None

    def _note_rejected(self, image: Record, error: ImageRejected, batch: _Batch) -> None:
        assert image.path is not None
        if is_url(image.path):
            batch.fail(image, "unreadable", f"{error.reason}: {error}")
        elif self._presence.is_out_of_reach(image.path):
            batch.unreachable += 1
        elif self._presence.is_missing(image.path):
            batch.fail(image, "gone", "the file is gone")
        else:
            batch.fail(image, "unreadable", f"{error.reason}: {error}")

    def _store(self, batch: _Batch) -> int:
        """Encode and store what was decoded, and note what could not be; the number of images stored."""
        number = 0
        if batch.decoded:
            inputs = np.stack([prepared.inputs[0] for _, prepared in batch.decoded])
            encoder, views = self._encoder, None
            if self._store_views and isinstance(encoder, OrientedEncoder):
                encoded, views = encoder.encode_stored(inputs)
                self._put(encoder.views_spec, batch, views, encoded.usable)  # first: an image with features has both
            else:
                encoded = encoder.encode(inputs)
            number = self._put(encoder.spec, batch, encoded.features, encoded.usable)
        self._catalog.backfills.fail(self._name, batch.failed)
        return number

    def _put(self, spec: FeatureSpec, batch: _Batch, features: Features, usable: Sequence[bool] | Features) -> int:
        images = [image for image, _ in batch.decoded]
        rows = [row if flag else None for row, flag in zip(features, usable, strict=True)]
        ids, digests = [image.id for image in images], [image.sha256 for image in images]
        while True:
            try:
                return len(self._catalog.features.put(spec, ids, digests, rows, pipelines=self._version()))
            except PipelinesChanged:
                continue  # if ours is in the new set, the features are as good as before


class PipelineChanges:
    """Changes the set of pipelines of a gallery, of which all its processes learn; see `catalog.pipelines`."""

    def __init__(self, catalog: Catalog, pool: PipelinePool, originals: Originals) -> None:
        self._catalog = catalog
        self._pool = pool
        self._originals = originals

    def states(self, *, count: bool = True) -> list[GalleryPipeline]:
        """Return all pipelines in order of precedence; `count` the images that lack their features."""
        stored = self._pool.current.stored()
        ranking = ranking_name(stored)
        return [self._described(pipeline, ranks=pipeline.name == ranking, count=count) for pipeline in stored]

    def state(self, name: str) -> GalleryPipeline:
        """Return one pipeline; only its images are counted. Raises NotFound for an unknown one."""
        stored = self._pool.current.stored()
        own = find(stored, name)
        return self._described(own, ranks=name == ranking_name(stored), count=True)

    def add(self, name: str, index: str | None) -> GalleryPipeline:
        """Add a shadow pipeline; raises BadSetting for an unknown encoder or index, or one that cannot be loaded."""
        self._pool.builder.check(name, index)
        if self._pool.builder.is_windowed(name) and (images := self._catalog.images.count(None)) > MAX_WINDOWED_IMAGES:
            raise BadInput(
                f"windows of stored images are searched in galleries of up to {MAX_WINDOWED_IMAGES:,} images; this one "
                f"has {images:,}"
            )
        self._pool.builder.encoder(name)  # its weights are here before others need them
        self._catalog.pipelines.add(name, self._pool.current.initial, index_address=index)
        self._pool.current.get(now=True)
        return self.state(name)

    def promote(self, name: str, *, replace: bool, incomplete: bool) -> list[GalleryPipeline]:
        """Let a pipeline rank; raises Conflict while images lack its features, unless `incomplete` is given."""
        if self._pool.builder.is_windowed(name):
            raise BadInput(f"{name} holds windows of stored images: searches use it as it is, and it cannot rank")
        current = self._pool.current
        if name in current.get(now=True).encoded and not incomplete:
            self._check_complete(name)
        self._catalog.pipelines.promote(name, current.initial, replace=replace)
        current.get(now=True)
        return self.states()

    def drop(self, name: str) -> None:
        """Take a pipeline from the set, wait until no process uses it, and free its index and its features.

        A drop that was interrupted is finished by another one.
        """
        current = self._pool.current
        own = find(current.stored(), name)
        self._catalog.pipelines.start_drop(name, current.initial)
        current.get(now=True)
        time.sleep(DROP_SECONDS)
        specs = [spec for spec in self._catalog.features.specs() if spec.name == name]
        if specs:
            encoder = self._pool.builder.encoder(name)
            for index in indexes_of(own):
                self._pool.builder.drop_index(name, index)
            if isinstance(encoder, OrientedEncoder):
                specs.append(encoder.views_spec)
        self._pool.builder.wipe(name)
        for spec in specs:
            self._catalog.features.clear(spec)
        self._catalog.pipelines.finish_drop(name)

    def backfill(self, name: str) -> Backfill:
        """Return a worker of the backfill of a pipeline; raises UnsupportedQuery for an unknown one."""
        self._pool.check(name)
        encoder = self._pool.builder.encoder(name)
        decoder = self._pool.decoder_for((encoder.input,))
        return Backfill(name, self._catalog, self._pool.current, encoder, decoder, self._originals)

    def _described(self, stored: StoredPipeline, *, ranks: bool, count: bool) -> GalleryPipeline:
        counted = count and stored.state != "dropping"
        lacking = self._missing(stored.name) if counted else MissingFeatures(0, {})
        other = stored.other
        return GalleryPipeline(
            stored.name,
            stored.state,
            ranks,
            self._pool.builder.address(stored.name, stored.index),
            lacking.images if counted else None,
            lacking.failed,
            stored.created,
            stored.promoted,
            None if other is None else OtherIndex(other.state, self._pool.builder.engine(stored.name, other.index)),
        )

    def _missing(self, name: str) -> MissingFeatures:
        return self._catalog.backfills.missing(name, self._pool.builder.encoder(name).spec)

    def _check_complete(self, name: str) -> None:
        lacking = self._missing(name)
        if not lacking.images:
            return
        parts = [f"{lacking.to_do:,} to encode (lookalike pipelines backfill {name})"] if lacking.to_do else []
        parts += describe_failures(lacking.failed)
        raise Conflict(
            f"{lacking.images:,} images have no features of {name}: {'; '.join(parts)}. Searches by it would not find "
            "them; --incomplete promotes it all the same"
        )
