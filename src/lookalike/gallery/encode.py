"""Encoding queries: all views of whole images and of their windows, and features alone, without a search."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

import numpy as np

from lookalike.errors import UnsupportedQuery
from lookalike.gallery.index_sync import OpenPipeline
from lookalike.gallery.queries import QUERY_BATCH, PreparedQuery, QueryReader, kind_of, name_of
from lookalike.imaging.resizing import resize_to
from lookalike.imaging.windows import windows_of
from lookalike.pipeline import Pipeline
from lookalike.results import Failure, ImageFeatures, Query
from lookalike.types import EncodedViews, Features, Pixels, Prepared

AUTO_MS = 1000.0
"""Milliseconds within which windows are searched with without being asked for."""


def encode_queries(
    queries: Sequence[PreparedQuery], at: int, pipeline: Pipeline, *, orientations: bool
) -> EncodedViews:
    """Return the features of queries, all prepared or all stored, in pipeline number `at`.

    A prepared query is also encoded in its variants; see `_variants_of`.
    """
    rows = [query.rows[at] for query in queries if query.rows is not None]
    if rows:
        views = max((len(row) for row in rows if row is not None), default=1) if orientations else 1
        features = np.zeros((len(rows), views, pipeline.spec.width), pipeline.spec.dtype)
        for n, row in enumerate(rows):
            if row is not None:
                features[n] = row[:views]
        return EncodedViews(features, np.array([row is not None for row in rows]))
    prepared = [query.prepared for query in queries]
    encoded = _encode(np.stack([image.inputs[at] for image in prepared]), pipeline, orientations=orientations)
    others = [(n, inputs[at]) for n, image in enumerate(prepared) for inputs in _variants_of(image, pipeline)]
    if not others:
        return encoded
    more = _encode(np.stack([view for _, view in others]), pipeline, orientations=orientations)
    return _with_views(encoded, [n for n, _ in others], more)


def _encode(images: Pixels, pipeline: Pipeline, *, orientations: bool) -> EncodedViews:
    """Encode a batch in all views, or only in the one that is stored."""
    if orientations:
        return pipeline.encoder.encode_views(images)
    encoded = pipeline.encoder.encode(images)
    return EncodedViews(encoded.features[:, None, :], encoded.usable)


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


def encode_images(
    images: Iterable[Query], opened: Sequence[OpenPipeline], reader: QueryReader
) -> Iterator[tuple[Query, ImageFeatures | Failure]]:
    """Yield each image with its features, or with its error, in order."""
    fingerprints = {o.pipeline.name: o.pipeline.spec.fingerprint for o in opened}
    for kind, run in groupby(images, kind_of):
        if isinstance(kind, tuple):
            yield from ((query, UnsupportedQuery("the query is encoded already")) for query in run)
            continue
        read = (reader.read_stored if kind == "stored" else reader.read_images)(run)
        while batch := list(islice(read, QUERY_BATCH)):
            prepared = [result for _, result in batch if isinstance(result, PreparedQuery)]
            rows = [
                encode_queries(prepared, at, o.pipeline, orientations=False) for at, o in enumerate(opened) if prepared
            ]
            number = 0
            for query, result in batch:
                if not isinstance(result, PreparedQuery):
                    yield query, result
                    continue
                features = {
                    o.pipeline.name: encoded.features[number, 0] if encoded.usable[number] else None
                    for o, encoded in zip(opened, rows, strict=True)
                }
                number += 1
                yield query, ImageFeatures(features, fingerprints, name_of(query))


def encode_windows(pixels: Pixels, pipeline: Pipeline) -> EncodedViews:
    """Features of the windows of a query `(height, width, 3)`, as its views: finds images that are a part of it."""
    inputs = np.stack([resize_to(window, pipeline.input) for window in windows_of(pixels)])
    encoded = pipeline.encoder.encode(inputs)
    features = encoded.features[encoded.usable]
    return EncodedViews(features[None], np.array([len(features) > 0]))


def encode_whole(pixels: Pixels, windowed: Pipeline) -> EncodedViews:
    """A query for a pipeline of windows of stored images: finds images of which it is a part."""
    return windowed.encoder.encode_views(resize_to(pixels, windowed.input)[None])


def encode_parts(pixels: Pixels, windowed: Pipeline) -> EncodedViews:
    """The windows of a query, for a pipeline of windows: they find images that share a part with it."""
    return _encode(resize_to(pixels, windowed.input)[None], windowed, orientations=False)
