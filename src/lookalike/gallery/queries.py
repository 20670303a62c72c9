"""Reading queries: images are decoded for the pipelines, stored images and queries by features bring theirs."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lookalike.catalog import Catalog
from lookalike.distances import are_unit
from lookalike.errors import ImageRejected, LookalikeError, NotFound, UnsupportedQuery
from lookalike.gallery.originals import READ_THREADS, Originals
from lookalike.gallery.stored_views import views_of
from lookalike.imaging import DecodePool, Source, encode_pixels, read_bytes
from lookalike.pipeline import Pipeline
from lookalike.results import DEFAULT_TENANT, Failure, ImageFeatures, Query, StoredImage
from lookalike.sources.read_url import read_query
from lookalike.sources.urls import is_url
from lookalike.types import UNCUT, Features, FeatureSpec, Pixels, Prepared, Record

QUERY_BATCH = 64
"""Queries prepared, encoded and searched together."""
LOOKUP_BATCH = 64
"""Stored images whose features are read from the catalog together."""
QuerySource = Path | bytes | ImageRejected
"""Where the bytes of a query are, or why it cannot be read."""
_NO_IMAGE = Prepared(
    sha256=b"", pixels=None, nbytes=0, width=0, height=0, format="", border=UNCUT, inputs=(), transparent=False
)


def source_of(query: Query, originals: Originals) -> Path | bytes:
    """The path or the bytes of a query that is an image; those of an object are read.

    Raises ImageRejected for pixels that are no image, and for an object that cannot be read.
    """
    assert not isinstance(query, StoredImage | ImageFeatures)
    if isinstance(query, bytes):
        return query
    if not isinstance(query, str | Path):
        return encode_pixels(query)
    return read_query(str(query), originals.read) if is_url(query) else Path(query)


def query_sources(queries: Iterable[Query], originals: Originals) -> Iterator[tuple[Query, QuerySource]]:
    """Yield each query with its source, in order; up to `READ_THREADS` objects are read at once."""
    ahead: deque[tuple[Query, Future[QuerySource]]] = deque()
    threads: ThreadPoolExecutor | None = None
    try:
        for query in queries:
            if is_url(query):
                threads = threads or ThreadPoolExecutor(READ_THREADS, thread_name_prefix="lookalike-query")
                ahead.append((query, threads.submit(_source_or_reason, query, originals)))
                if len(ahead) < READ_THREADS:
                    continue
            while ahead and (not is_url(query) or len(ahead) >= READ_THREADS):
                first, future = ahead.popleft()
                yield first, future.result()
            if not is_url(query):
                yield query, _source_or_reason(query, originals)
        for first, future in ahead:
            yield first, future.result()
    finally:
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


def _source_or_reason(query: Query, originals: Originals) -> QuerySource:
    try:
        return source_of(query, originals)
    except ImageRejected as error:
        return error


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query ready to be encoded or searched; `source` is where its bytes can be read again, if they can.

    `rows` are the features of a stored image, or those given without an image, by pipeline, each `(views, width)` or
    None if unusable; a given one has one view, a stored hash all orientations. Where they are None, features are
    encoded from the prepared inputs. `record` is that of a stored image.
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


def resolve_stored(
    catalog: Catalog, pipelines: Sequence[Pipeline], tenant: str | None, queries: Sequence[StoredImage]
) -> list[PreparedQuery | NotFound | UnsupportedQuery]:
    """Return each stored image with its features, or the reason why it cannot be searched."""
    records = [_record(catalog, query, tenant) for query in queries]
    ids = [record.id for record in records if isinstance(record, Record)]
    stored = [catalog.features.get(pipeline.spec, ids) for pipeline in pipelines]
    views = [views_of(catalog, p.encoder, features) for p, features in zip(pipelines, stored, strict=True)]
    columns: list[dict[int, Features | None]] = [
        dict.fromkeys(features.empty.tolist()) | dict(zip(features.ids.tolist(), rows, strict=True))
        for features, rows in zip(stored, views, strict=True)
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


def read_features(
    queries: Iterable[Query], pipelines: Sequence[Pipeline], known: Sequence[str], required: Sequence[str]
) -> Iterator[tuple[Query, PreparedQuery | UnsupportedQuery]]:
    """Yield each `ImageFeatures` as a query of these pipelines, all of which it names, or the reason why it is refused.

    `known` are the names of the gallery's pipelines, `required` those that the caller chose by name.
    """
    for query in queries:
        assert isinstance(query, ImageFeatures)
        try:
            _check_names(query, known, required)
            given = [feature_row(p.spec, query.features[p.name], query.fingerprints.get(p.name)) for p in pipelines]
        except UnsupportedQuery as error:
            yield query, error
            continue
        yield query, PreparedQuery(_NO_IMAGE, None, tuple(None if row is None else row[None] for row in given))


def _check_names(query: ImageFeatures, known: Sequence[str], required: Sequence[str]) -> None:
    if not query.features:
        raise UnsupportedQuery(f"the query has no features; give those of {' or '.join(known)}")
    for name in query.features:
        if name not in known:
            raise UnsupportedQuery(f"the gallery has no pipeline {name!r}; its pipelines are {', '.join(known)}")
    for name in required:
        if name not in query.features:
            raise UnsupportedQuery(f"the query has no feature of {name}; leave it out of the pipelines, or give one")


def feature_row(spec: FeatureSpec, value: str | bytes | Features | None, fingerprint: str | None) -> Features | None:
    """Return a feature as a row `(width,)` of the spec's dtype; None is that of an image without a usable feature.

    Raises UnsupportedQuery for another length or dtype, and for the fingerprint of another encoder. A hash may come
    without a fingerprint, for a hash is often all that another system stores; a vector may not.
    """
    if fingerprint is None and spec.metric == "cosine" and value is not None:
        raise UnsupportedQuery(
            f"the vector of {spec.name} has no fingerprint, so that nobody can tell which encoder made it; give the "
            f"fingerprint that `lookalike encode` prints with it"
        )
    if fingerprint is not None and fingerprint != spec.fingerprint:
        raise UnsupportedQuery(
            f"the feature of {spec.name} was made by another encoder (fingerprint {fingerprint[:12]}, not "
            f"{spec.fingerprint[:12]}): encode the image with the encoder of this gallery"
        )
    if value is None:
        return None
    if spec.metric == "hamming":
        return _hash_row(spec, value)
    return _vector_row(spec, value)


def _hash_row(spec: FeatureSpec, value: str | bytes | Features) -> Features:
    if isinstance(value, str):
        try:
            value = bytes.fromhex(value)
        except ValueError:
            raise UnsupportedQuery(
                f"the hash of {spec.name} must be {2 * spec.width} hexadecimal digits, not {value[:80]!r}"
            ) from None
    if isinstance(value, bytes):
        value = np.frombuffer(value, np.uint8)
    if value.dtype != spec.dtype:
        raise UnsupportedQuery(f"the hash of {spec.name} must be uint8, packed bits, not {value.dtype}")
    if value.shape != (spec.width,):
        raise UnsupportedQuery(
            f"the hash of {spec.name} must have {spec.width} bytes ({2 * spec.width} hexadecimal digits), not "
            f"{'x'.join(map(str, value.shape))}"
        )
    return value


def _vector_row(spec: FeatureSpec, value: str | bytes | Features) -> Features:
    if isinstance(value, str | bytes):
        raise UnsupportedQuery(f"{spec.name} has vectors, not hashes: give {spec.width} numbers of 32 bits (float32)")
    if value.dtype != spec.dtype:
        raise UnsupportedQuery(f"the vector of {spec.name} must be float32, not {value.dtype}; convert it")
    if value.shape != (spec.width,):
        shape = "x".join(map(str, value.shape))
        raise UnsupportedQuery(f"the vector of {spec.name} must have {spec.width} numbers, not {shape}")
    if not are_unit(value[None]).all():
        norm = float(np.linalg.norm(value))
        raise UnsupportedQuery(f"the vector of {spec.name} must be finite and of length 1, not {norm:g}; normalise it")
    return value
