"""Queries by features that were made elsewhere: each is checked against the encoder of its pipeline."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from lookalike.distances import are_unit
from lookalike.errors import UnsupportedQuery
from lookalike.gallery.queries import PreparedQuery
from lookalike.pipeline import Pipeline
from lookalike.results import ImageFeatures, Query
from lookalike.types import UNCUT, Features, FeatureSpec, Prepared

_NO_IMAGE = Prepared(
    sha256=b"", pixels=None, nbytes=0, width=0, height=0, format="", border=UNCUT, inputs=(), transparent=False
)


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
            rows = tuple(feature_row(p.spec, query.features[p.name], query.fingerprints.get(p.name)) for p in pipelines)
        except UnsupportedQuery as error:
            yield query, error
            continue
        yield query, PreparedQuery(_NO_IMAGE, None, rows)


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


def _check_names(query: ImageFeatures, known: Sequence[str], required: Sequence[str]) -> None:
    if not query.features:
        raise UnsupportedQuery(f"the query has no features; give those of {' or '.join(known)}")
    for name in query.features:
        if name not in known:
            raise UnsupportedQuery(f"the gallery has no pipeline {name!r}; its pipelines are {', '.join(known)}")
    for name in required:
        if name not in query.features:
            raise UnsupportedQuery(f"the query has no feature of {name}; leave it out of the pipelines, or give one")


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
