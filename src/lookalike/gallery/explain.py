"""What a query and a stored image have in common: distances, hashes, and both images aligned."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from lookalike import imaging
from lookalike.distances import pairwise
from lookalike.gallery.encode import encode_queries
from lookalike.gallery.queries import PreparedQuery
from lookalike.pipeline import Pipeline
from lookalike.results import Comparison, Explanation, HashComparison
from lookalike.types import Features, Pixels, Transform

SEGMENTS = 8
"""Segments of a hash that the published search compares."""
IMAGE_SIDE = 640
"""Pixels of the longer side of the images of an explanation."""


def explain_pair(
    key: str,
    query: PreparedQuery,
    stored: PreparedQuery,
    pixels: tuple[Pixels | None, Pixels | None],
    comparison: Comparison,
    pipelines: Sequence[Pipeline],
) -> Explanation:
    """Explain the comparison of a query with a stored image; `pixels` are theirs, reduced, RGB, where available."""
    hashes = [
        _compare_hashes(query, stored, at, pipeline)
        for at, pipeline in enumerate(pipelines)
        if pipeline.spec.metric == "hamming"
    ]
    transform = None if comparison.verification is None else comparison.verification.transform
    aligned = None
    if transform is not None and pixels[0] is not None and pixels[1] is not None:
        aligned = imaging.thumbnail_of(align(pixels[1], transform, pixels[0].shape[1], pixels[0].shape[0]), IMAGE_SIDE)
    images = [None if side is None else imaging.thumbnail_of(side, IMAGE_SIDE) for side in pixels]
    return Explanation(
        key=key,
        comparison=comparison,
        hashes=tuple(found for found in hashes if found is not None),
        curves={p.name: p.calibration.anchors for p in pipelines},
        query_image=images[0],
        stored_image=images[1],
        aligned=aligned,
    )


def align(stored: Pixels, transform: Transform, width: int, height: int) -> Pixels:
    """The stored image `(h, w, 3)` in the frame of a query of `width` x `height` pixels, black around it."""
    to_query = np.array(transform.matrix)
    # Pillow maps each output pixel (of the query) to a pixel of the input
    scaled = np.diag([width, height, 1.0]) @ to_query @ np.diag([1 / stored.shape[1], 1 / stored.shape[0], 1.0])
    inverse = np.linalg.inv(scaled)
    coefficients = (inverse / inverse[2, 2]).ravel()[:8].tolist()
    image = Image.fromarray(stored)
    size = width, height
    return np.asarray(image.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR))


def _compare_hashes(query: PreparedQuery, stored: PreparedQuery, at: int, pipeline: Pipeline) -> HashComparison | None:
    views = encode_queries([query], at, pipeline, orientations=True)
    other = encode_queries([stored], at, pipeline, orientations=False)
    if not (views.usable[0] and other.usable[0]):
        return None
    code = other.features[0, 0]
    best = views.features[0, int(pairwise("hamming", views.features[0], other.features[0])[:, 0].argmin())]
    differing = np.flatnonzero(np.unpackbits(best) != np.unpackbits(code)).tolist()
    return HashComparison(pipeline.name, best.tobytes(), code.tobytes(), tuple(differing), equal_segments(best, code))


def equal_segments(a: Features, b: Features) -> int:
    """The number of equal segments of two hashes, packed in bytes; the published system cuts 64 bits in 8 of them."""
    pieces = [np.unpackbits(code).reshape(SEGMENTS, -1) for code in (a, b)]
    return int((pieces[0] == pieces[1]).all(axis=1).sum())
