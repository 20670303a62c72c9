"""Queries by features made elsewhere: what they find, and which are refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lookalike
from lookalike import BadInput, ImageFeatures, ImageRejected, UnsupportedQuery
from lookalike.gallery import Gallery
from lookalike.gallery.queries import feature_row
from lookalike.types import FeatureSpec
from tests.support.drawn_images import drawn, encoded

IMAGES = 12
COPY = encoded(drawn(5), "JPEG", quality=60)
FLAT = encoded(drawn(20).resize((1, 1)).resize((50, 50)))
VECTOR = FeatureSpec("net", "cosine", 16, "f" * 32)
HASH = FeatureSpec("phash", "hamming", 8, "a" * 32)
UNIT = np.eye(16, dtype=np.float32)[0]


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    with lookalike.open(tmp_path_factory.mktemp("g"), pipelines=["phash"], create=True) as opened:
        opened.add([lookalike.Item(f"{n}.png", encoded(drawn(n)), {"n": n}) for n in range(IMAGES)])
        yield opened


def hash_of(gallery: Gallery, data: bytes) -> ImageFeatures:
    [(_, found)] = gallery.encode([data])
    assert isinstance(found, ImageFeatures)
    return found


@pytest.mark.parametrize("form", ["array", "bytes", "hex", "without a fingerprint"])
def test_a_hash_finds_what_its_image_finds_by_distance_alone(gallery: Gallery, form: str) -> None:
    found = hash_of(gallery, COPY)
    row = found.features["phash"]
    assert isinstance(row, np.ndarray)
    forms = {"array": row, "bytes": row.tobytes(), "hex": row.tobytes().hex(), "without a fingerprint": row}
    prints = {} if form == "without a fingerprint" else found.fingerprints
    answer = gallery.search(ImageFeatures({"phash": forms[form]}, prints), k=IMAGES)
    by_image = gallery.search(COPY, k=IMAGES, orientations=False, verify=False)
    assert [(hit.key, hit.distance) for hit in answer.hits] == [(hit.key, hit.distance) for hit in by_image.hits]
    assert answer.hits[0].key == "5.png"
    assert answer.hits[0].evidence == "copy"
    assert answer.verification is None
    assert answer.exact_within == {"phash": 1.0}


def test_even_the_features_of_a_stored_image_are_not_called_exact(gallery: Gallery) -> None:
    for query in (encoded(drawn(3)), lookalike.StoredImage("3.png")):
        [(_, found)] = gallery.encode([query])
        assert isinstance(found, ImageFeatures)
        hits = gallery.search(found, k=IMAGES, verify=True, deep="auto").hits
        assert (hits[0].key, hits[0].distance, hits[0].evidence) == ("3.png", 0.0, "copy")
        assert not any(hit.verified or hit.evidence == "exact" or hit.verification for hit in hits)


def test_filters_and_pages_hold_for_features(gallery: Gallery) -> None:
    query = hash_of(gallery, COPY)
    whole = [hit.key for hit in gallery.search(query, k=IMAGES).hits]
    assert [hit.key for page in (1, 2, 3) for hit in gallery.search(query, k=4, page=page).hits] == whole
    assert {hit.key for hit in gallery.search(query, k=IMAGES, filter={"n": {"lt": 3}}).hits} == {
        "0.png",
        "1.png",
        "2.png",
    }


def test_a_flat_image_has_no_feature_and_is_compared_with_nothing(gallery: Gallery) -> None:
    found = hash_of(gallery, FLAT)
    assert found.features == {"phash": None}
    answer = gallery.search(found)
    assert answer.hits == ()
    assert list(answer.not_compared) == ["phash"]


def test_encoding_stores_nothing_and_passes_over_what_is_no_image(gallery: Gallery, tmp_path: Path) -> None:
    before = gallery.status()
    (tmp_path / "a.jpg").write_bytes(COPY)
    results = list(gallery.encode([tmp_path / "a.jpg", b"no image", COPY, ImageFeatures({"phash": "0" * 16})]))
    kinds = [type(found) for _, found in results]
    assert kinds == [ImageFeatures, ImageRejected, ImageFeatures, UnsupportedQuery]
    named = results[0][1]
    assert isinstance(named, ImageFeatures)
    assert named.name == str(tmp_path / "a.jpg")
    assert named.fingerprints == gallery.fingerprints()
    assert gallery.status() == before


def test_mixed_queries_are_answered_in_their_order(gallery: Gallery) -> None:
    good, bad = hash_of(gallery, COPY), ImageFeatures({"phash": "00"})
    queries: list[lookalike.Query] = [COPY, good, bad, lookalike.StoredImage("5.png"), good, COPY]
    results = list(gallery.search_many(queries, k=1))
    assert [query for query, _ in results] == queries
    assert [isinstance(answer, UnsupportedQuery) for _, answer in results] == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("query", "options", "word"),
    [
        (ImageFeatures({}), {}, "no features"),
        (ImageFeatures({"vgg19": "00"}), {}, "vgg19"),
        (ImageFeatures({"phash": "0" * 16}), {"deep": True}, "deep"),
        (ImageFeatures({"phash": "0" * 16}, {"phash": "b" * 64}), {}, "another encoder"),
    ],
)
def test_what_cannot_be_searched_is_named(
    gallery: Gallery, query: ImageFeatures, options: lookalike.SearchOptions, word: str
) -> None:
    with pytest.raises(UnsupportedQuery, match=word):
        gallery.search(query, **options)


@pytest.mark.parametrize("call", ["compare", "explain", "why_not", "preview"])
def test_features_are_no_image(gallery: Gallery, call: str) -> None:
    query = ImageFeatures({"phash": "0" * 16})
    arguments = (query,) if call == "preview" else (query, COPY) if call == "compare" else (query, "1.png")
    with pytest.raises(BadInput, match="features"):
        getattr(gallery, call)(*arguments)


@pytest.mark.parametrize(
    ("spec", "value", "word"),
    [
        (HASH, "0" * 14, "16 hexadecimal digits"),
        (HASH, "0" * 18, "16 hexadecimal digits"),
        (HASH, "x" * 16, "hexadecimal"),
        (HASH, b"", "8 bytes"),
        (HASH, UNIT[:8], "uint8"),
        (HASH, np.zeros((1, 8), np.uint8), "8 bytes"),
        (VECTOR, "0" * 32, "vectors"),
        (VECTOR, UNIT.astype(np.float64), "float64"),
        (VECTOR, UNIT[:15], "16 numbers"),
        (VECTOR, UNIT * 2, "normalise"),
        (VECTOR, UNIT * np.nan, "finite"),
    ],
)
def test_a_feature_that_does_not_fit_is_refused_by_name(spec: FeatureSpec, value: object, word: str) -> None:
    with pytest.raises(UnsupportedQuery, match=word) as caught:
        feature_row(spec, value, spec.fingerprint)  # type: ignore[arg-type]
    assert spec.name in str(caught.value)


def test_a_vector_needs_the_fingerprint_of_its_encoder() -> None:
    row = feature_row(VECTOR, UNIT, VECTOR.fingerprint)
    assert row is not None
    np.testing.assert_array_equal(row, UNIT)
    with pytest.raises(UnsupportedQuery, match="no fingerprint"):
        feature_row(VECTOR, UNIT, None)
    with pytest.raises(UnsupportedQuery, match="another encoder"):
        feature_row(VECTOR, None, "e" * 32)
