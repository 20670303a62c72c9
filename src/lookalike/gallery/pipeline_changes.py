"""Changes of a gallery's pipelines while it serves: adding, promoting and dropping one."""

import time

from lookalike.catalog import Catalog, MissingFeatures, StoredPipeline
from lookalike.catalog.pipelines import find, indexes_of, ranking_name
from lookalike.descriptions import describe_failures
from lookalike.errors import BadInput, Conflict
from lookalike.gallery.backfill import Backfill
from lookalike.gallery.originals import Originals
from lookalike.gallery.pipeline_pool import DROP_SECONDS, PipelinePool
from lookalike.imaging.windows import MAX_WINDOWED_IMAGES
from lookalike.interfaces import OrientedEncoder
from lookalike.results import GalleryPipeline, OtherIndex


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
