"""Encoding images without storing or searching anything."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice

from lookalike.errors import UnsupportedQuery
from lookalike.gallery.index_sync import OpenPipeline
from lookalike.gallery.queries import QUERY_BATCH, PreparedQuery, QueryReader, encode_queries, kind_of, name_of
from lookalike.results import Failure, ImageFeatures, Query


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
