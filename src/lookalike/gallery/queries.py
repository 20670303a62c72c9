"""Reading queries: images are decoded for the pipelines, stored images bring their features."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import ImageRejected, LookalikeError, NotFound, UnsupportedQuery
from lookalike.gallery.originals import Originals
from lookalike.gallery.query_sources import query_sources, source_of
from lookalike.imaging import DecodePool, Source, read_bytes
from lookalike.pipeline import Pipeline
from lookalike.results import DEFAULT_TENANT, Failure, ImageFeatures, Query, StoredImage
from lookalike.sources.urls import is_url
from lookalike.types import EncodedViews, Features, Pixels, Prepared, Record

QUERY_BATCH = 64
"""Queries prepared, encoded and searched together."""
LOOKUP_BATCH = 64
"""Stored images whose features are read from the catalog together."""


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query ready to be encoded or searched; `source` is where its bytes can be read again, if they can.

    `rows` are the features of a stored image, or those given without an image, by pipeline, each `(width,)` or None if
    unusable; where they are None, features are encoded from the prepared inputs. `record` is that of a stored image.
    """

    prepared: Prepared
    source: Path | bytes | None
    rows: tuple[Features | None, ...] | None = None
    record: Record | None = None


class QueryReader:
    """Prepares queries for these pipelines; stored images without a tenant of their own are of `tenant`.

    `originals` reads queries by URL: a server's reads only what its operator has named.

    `reduced_side`, unless 0, is the longer side of reduced pixels, which images bring along where that costs nothing.
    """

    def __init__(
        self,
        catalog: Catalog,
        pipelines: Sequence[Pipeline],
        decoder: DecodePool,
        originals: Originals,
        tenant: str | None,
        *,
        reduced_side: int = 0,
    ) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._decoder = decoder
        self._originals = originals
        self._tenant = tenant
        self._reduced_side = reduced_side

    def read_images(self, queries: Iterable[Query]) -> Iterator[tuple[Query, PreparedQuery | Failure]]:
        """Yield each query by path, URL, bytes or pixels, decoded, or with the reason why it cannot be."""
        pending: deque[tuple[Query, Path | bytes, ImageRejected | None]] = deque()

        def sources() -> Iterator[Source]:
            for query, found in query_sources(queries, self._originals):
                failure = found if isinstance(found, ImageRejected) else None  # the others are searched
                source = b"" if isinstance(found, ImageRejected) else found
                pending.append((query, source, failure))
                path, data = (None, source) if isinstance(source, bytes) else (source, None)
                yield Source(path=path, data=data, reduced_side=self._reduced_side, variants=True)

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
        if isinstance(query, ImageFeatures):
            raise UnsupportedQuery(
                "features alone can only be searched with; give the image or the key of a stored one"
            )
        source = source_of(query, self._originals)
        data = source if isinstance(source, bytes) else read_bytes(source, self._originals.limits)
        request = Source(data=data, want_pixels=True, reduced_side=self._reduced_side, variants=True)
        [prepared] = self._decoder.map([request])
        if isinstance(prepared, ImageRejected):
            raise prepared
        assert isinstance(prepared, Prepared)  # never Unchanged: no digest was given
        return PreparedQuery(prepared, source)

    def read_reduced(self, query: PreparedQuery) -> Pixels | None:
        """Decode a query again, to reduced RGB pixels; None if its file cannot be read any more or has changed."""
        path, data = (None, query.source) if isinstance(query.source, bytes) else (query.source, None)
        source = Source(path=path, data=data, reduced_side=self._reduced_side, reduced_required=True)
        [image] = self._decoder.map([source])
        same = isinstance(image, Prepared) and image.sha256 == query.prepared.sha256
        return image.reduced if isinstance(image, Prepared) and same else None


def encode_queries(
    queries: Sequence[PreparedQuery], at: int, pipeline: Pipeline, *, orientations: bool
) -> EncodedViews:
    """Return the features of queries, all prepared or all stored, in pipeline number `at`.

    A prepared query is also encoded in its variants; see `_variants_of`.
    """
    rows = [query.rows[at] for query in queries if query.rows is not None]
    if rows:
        features = np.zeros((len(rows), 1, pipeline.spec.width), pipeline.spec.dtype)
        for n, row in enumerate(rows):
            if row is not None:
                features[n, 0] = row
        return EncodedViews(features, np.array([row is not None for row in rows]))
    prepared = [query.prepared for query in queries]
    encoded = pipeline.encode_views(np.stack([image.inputs[at] for image in prepared]), views=orientations)
    others = [(n, inputs[at]) for n, image in enumerate(prepared) for inputs in _variants_of(image, pipeline)]
    if not others:
        return encoded
    more = pipeline.encode_views(np.stack([view for _, view in others]), views=orientations)
    return _with_views(encoded, [n for n, _ in others], more)


def _variants_of(image: Prepared, pipeline: Pipeline) -> Sequence[tuple[Pixels, ...]]:
    """The variants of a query that this pipeline searches for.

    A network encodes only a transparent image over other backgrounds: each takes as long as the query itself.
    """
    if pipeline.spec.metric == "hamming":
        return image.variants
    if not image.transparent:
        return ()
    from lookalike.imaging.backgrounds import OTHER_BACKGROUNDS  # noqa: PLC0415 - loads the decoders, which lists do not need

    return image.variants[:OTHER_BACKGROUNDS]


def _with_views(encoded: EncodedViews, queries: Sequence[int], more: EncodedViews) -> EncodedViews:
    """Add the usable ones of further views to their queries, whose views are repeated where one has fewer.

    A query whose own views are not usable takes those that are.
    """
    added: dict[int, list[Features]] = {}
    for n, views, usable in zip(queries, more.features, more.usable, strict=True):
        if usable:
            added.setdefault(n, []).append(views)
    if not added:
        return encoded
    views = encoded.features.shape[1]
    blocks = 1 + max(map(len, added.values()))
    features = np.tile(encoded.features, (1, blocks, 1))
    usable = encoded.usable.copy()
    for n, further in added.items():
        own = [encoded.features[n]] if usable[n] else further[:1]
        for block, rows in zip(range(blocks), [*own, *further], strict=False):
            features[n, block * views : (block + 1) * views] = rows
        for block in range(len(own) + len(further), blocks):
            features[n, block * views : (block + 1) * views] = own[0]
        usable[n] = True
    return EncodedViews(features, usable)


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
            name = missing[0]
            reason = (
                f"the image {record.key!r} has no features of {name}: add it again, or make those of all images "
                f"(lookalike pipelines backfill {name}); until then search with its file, or leave {name} out"
            )
            resolved.append(UnsupportedQuery(reason))
        else:
            rows = tuple(column[record.id] for column in columns)
            source = None if record.path is None or is_url(record.path) else Path(record.path)
            resolved.append(PreparedQuery(_prepared(record), source, rows, record))
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
        frames=record.frames,
        truncated=record.truncated,
    )


def kind_of(query: Query) -> str | tuple[str, ...]:
    """How a query is read: as an image, as a stored one, or as features of these pipelines."""
    if isinstance(query, ImageFeatures):
        return tuple(sorted(query.features))
    return "stored" if isinstance(query, StoredImage) else "image"


def name_of(query: Query) -> str:
    """The key of a stored image, the path of a file, else nothing."""
    if isinstance(query, StoredImage):
        return query.key
    return str(query) if isinstance(query, str | Path) else ""
