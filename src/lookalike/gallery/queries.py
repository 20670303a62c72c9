"""Reading queries: images are decoded for the pipelines, stored images bring their features."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import ImageRejected, LookalikeError, NotFound, UnsupportedQuery
from lookalike.gallery.decoder import Decoder
from lookalike.imaging import Limits, Source, encode_pixels, read_bytes
from lookalike.pipeline import Pipeline
from lookalike.results import DEFAULT_TENANT, Failure, Query, StoredImage
from lookalike.types import EncodedViews, Features, Prepared, Record

LOOKUP_BATCH = 64
"""Stored images whose features are read from the catalog together."""


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query ready to be encoded or searched; `source` is where its bytes can be read again, if they can.

    `rows` are the features of a stored image by pipeline, each `(width,)` or None if unusable; where `rows` is None,
    features are encoded from the prepared inputs.
    """

    prepared: Prepared
    source: Path | bytes | None
    rows: tuple[Features | None, ...] | None = None


class QueryReader:
    """Prepares queries for these pipelines; stored images without a tenant of their own are of `tenant`."""

    def __init__(
        self, catalog: Catalog, pipelines: Sequence[Pipeline], decoder: Decoder, limits: Limits, tenant: str | None
    ) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._decoder = decoder
        self._limits = limits
        self._tenant = tenant

    def read_images(self, queries: Iterable[Query]) -> Iterator[tuple[Query, PreparedQuery | Failure]]:
        """Yield each query by path, bytes or pixels, decoded, or with the reason why it cannot be."""
        pending: deque[tuple[Query, Path | bytes, ImageRejected | None]] = deque()

        def sources() -> Iterator[Source]:
            for query in queries:
                source: Path | bytes = b""
                failure = None
                try:
                    source = _source(query)
                except ImageRejected as error:  # pixels that are no image; the others are searched
                    failure = error
                pending.append((query, source, failure))
                yield Source(data=source) if isinstance(source, bytes) else Source(path=source)

        for image in self._decoder.map(sources()):
            query, source, failure = pending.popleft()
            if failure is not None:
                yield query, failure
            elif isinstance(image, Prepared):
                yield query, PreparedQuery(image, source)
            elif isinstance(image, ImageRejected):
                yield query, image

    def read_stored(self, queries: Iterable[Query]) -> Iterator[tuple[Query, PreparedQuery | Failure]]:
        """Yield each stored image with its features, or with the reason why it cannot be searched."""
        stored = (query for query in queries if isinstance(query, StoredImage))
        while batch := list(islice(stored, LOOKUP_BATCH)):
            yield from zip(batch, resolve_stored(self._catalog, self._pipelines, self._tenant, batch), strict=True)

    def read_one(self, query: Query) -> PreparedQuery:
        """Return one query with the digest of its pixels, as comparisons need it; raises a `Failure`."""
        if isinstance(query, StoredImage):
            [found] = resolve_stored(self._catalog, self._pipelines, self._tenant, [query])
            if isinstance(found, LookalikeError):
                raise found
            return found
        source = _source(query)
        data = source if isinstance(source, bytes) else read_bytes(source, self._limits)
        [prepared] = self._decoder.map([Source(data=data, want_pixels=True)])
        if isinstance(prepared, ImageRejected):
            raise prepared
        assert isinstance(prepared, Prepared)  # never Unchanged: no digest was given
        return PreparedQuery(prepared, source)


def encode_queries(
    queries: Sequence[PreparedQuery], at: int, pipeline: Pipeline, *, orientations: bool
) -> EncodedViews:
    """Return the features of queries, all prepared or all stored, in pipeline number `at`."""
    rows = [query.rows[at] for query in queries if query.rows is not None]
    if not rows:
        return pipeline.encode_views(np.stack([query.prepared.inputs[at] for query in queries]), views=orientations)
    features = np.zeros((len(rows), 1, pipeline.spec.width), pipeline.spec.dtype)
    for n, row in enumerate(rows):
        if row is not None:
            features[n, 0] = row
    return EncodedViews(features, np.array([row is not None for row in rows]))


def resolve_stored(
    catalog: Catalog, pipelines: Sequence[Pipeline], tenant: str | None, queries: Sequence[StoredImage]
) -> list[PreparedQuery | NotFound | UnsupportedQuery]:
    """Return each stored image with its features, or the reason why it cannot be searched."""
    records = [_record(catalog, query, tenant) for query in queries]
    ids = [record.id for record in records if isinstance(record, Record)]
    stored = [catalog.features.get(pipeline.spec, ids) for pipeline in pipelines]
    columns: list[dict[int, Features | None]] = [
        dict.fromkeys(features.empty.tolist()) | dict(zip(features.ids.tolist(), features.features, strict=True))
        for features in stored
    ]
    released = {
        id_: p.name for p, features in zip(pipelines, stored, strict=True) for id_ in features.released.tolist()
    }
    resolved: list[PreparedQuery | NotFound | UnsupportedQuery] = []
    for record in records:
        if isinstance(record, NotFound):
            resolved.append(record)
            continue
        missing = [p.name for p, column in zip(pipelines, columns, strict=True) if record.id not in column]
        if record.id in released:
            reason = (
                f"the features of {record.key!r} for {released[record.id]} are stored by the engine only (the catalog "
                "was created with features=engine); search with the image's file instead of its key"
            )
            resolved.append(UnsupportedQuery(reason))
        elif missing:
            reason = f"the image {record.key!r} has no features of the current {missing[0]} encoder; add it again"
            resolved.append(UnsupportedQuery(reason))
        else:
            rows = tuple(column[record.id] for column in columns)
            source = None if record.path is None else Path(record.path)
            resolved.append(PreparedQuery(_prepared(record), source, rows))
    return resolved


def _record(catalog: Catalog, query: StoredImage, tenant: str | None) -> Record | NotFound:
    tenant_id = catalog.tenants.find(query.tenant or tenant or DEFAULT_TENANT)
    try:
        if tenant_id is not None:
            return catalog.images.get(tenant_id, query.key)
    except NotFound as error:
        return error
    return NotFound(f"there is no image {query.key!r}")


def _prepared(record: Record) -> Prepared:
    return Prepared(
        sha256=record.sha256,
        pixels=record.pixels,
        nbytes=record.nbytes,
        width=record.width,
        height=record.height,
        format=record.format,
        border=record.border,
        inputs=(),
    )


def _source(query: Query) -> Path | bytes:
    """Return the path or the bytes of a query that is no stored image."""
    assert not isinstance(query, StoredImage)
    return Path(query) if isinstance(query, str | Path) else query if isinstance(query, bytes) else encode_pixels(query)
