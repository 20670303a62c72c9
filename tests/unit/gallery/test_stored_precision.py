"""A gallery whose vectors are stored in 8 bits answers by what it stores, with any index, and after a rebuild."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lookalike
from lookalike.catalog import at_storage_precision
from lookalike.config import GallerySettings, from_environment
from lookalike.distances import pairwise
from lookalike.factory import create_gallery, open_gallery
from lookalike.results import ImageFeatures
from lookalike.samples import sample_paths
from lookalike.types import INT8_SUFFIX, Item

NAME = "vgg16-copy-256-int8"
QUERY, *PATHS = sample_paths()[:6]


def distances(gallery: lookalike.Gallery) -> dict[str, float]:
    """The distance of each image from the query, by key."""
    return {hit.key: hit.distance for hit in gallery.search(QUERY, pipelines=[NAME], verify=False).hits}


def encoded(gallery: lookalike.Gallery, paths: Sequence[Path]) -> np.ndarray:
    """Features `(n, 256)` as the encoder gives them."""
    found = [features for _, features in gallery.encode(paths) if isinstance(features, ImageFeatures)]
    return np.stack([np.asarray(features.features[NAME]) for features in found])


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_vectors_in_8_bits_are_searched_as_they_are_stored(tmp_path: Path, index: str) -> None:
    settings = replace(from_environment(), gallery=tmp_path / "gallery")
    create_gallery(tmp_path / "gallery", GallerySettings((NAME,), {NAME: index}), settings)
    with open_gallery(settings=settings) as gallery:
        gallery.add([Item(path.name, path) for path in PATHS])
        [spec] = gallery.feature_specs()
        assert spec.fingerprint.endswith(INT8_SUFFIX)
        stored = gallery.catalog.features.of_tenant(spec, 1)
        rows = encoded(gallery, PATHS)
        assert not np.array_equal(stored.features, rows)
        np.testing.assert_array_equal(stored.features, at_storage_precision(spec, rows))
        [expected] = np.minimum(pairwise("cosine", encoded(gallery, [QUERY]), stored.features), 1)
        found = distances(gallery)
        assert found == pytest.approx({path.name: d for path, d in zip(PATHS, expected, strict=True)}, abs=1e-5)
        gallery.repair()
        assert distances(gallery) == found
