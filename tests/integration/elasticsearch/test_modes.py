"""What each mode finds, compared with the embedded indexes; and the guarantees of segment plans."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import BadSetting
from lookalike.indexes.elasticsearch.index import ElasticIndex, open_index
from lookalike.indexes.elasticsearch.segments import BITS, SEGMENTATIONS, Segmentation, best_plan, published_plan
from lookalike.indexes.flat import FlatIndex
from lookalike.indexes.mih.index import MihIndex
from lookalike.types import FULLY_EXACT, FeatureSpec, Rows
from tests.index_contract import random_features
from tests.support.engines.elasticsearch import name, server

__all__ = ["name"]

SPEC = FeatureSpec("phash", "hamming", 8, "modes 1")
COUNT = 12_000


def rows() -> Rows:
    """Codes around a few centres, and 11,000 with mostly equal bytes: more than one page of hits."""
    rng = np.random.default_rng(5)
    features = random_features(SPEC, rng, COUNT)
    features[1000:] = features[0]
    features[1000:, 7] = rng.integers(0, 256, COUNT - 1000)
    features[1000:, 6] ^= rng.integers(0, 2, COUNT - 1000, dtype=np.uint8)
    return Rows(np.arange(COUNT) + 1, features, rng.integers(1, 4, COUNT))


def queries(stored: Rows) -> np.ndarray:
    """Stored codes with a few bits flipped, distant ones, and one in the dense cluster."""
    rng = np.random.default_rng(6)
    order = rng.random((30, 64)).argsort(axis=1)
    flips = np.packbits(order < rng.integers(0, 12, (30, 1)), axis=1)
    return np.concatenate([stored.features[:30] ^ flips, random_features(SPEC, rng, 5), stored.features[:1]])


@pytest.mark.parametrize("m", [8, 5, 3])
def test_the_published_rule(name: str, m: int) -> None:
    """At least m of 8 bytes equal, all found and ranked as by the embedded index."""
    stored = rows()
    searched = queries(stored)
    embedded = MihIndex(SPEC, None, equal_bytes=m)
    embedded.upsert(stored)
    with_m = open_index(SPEC, f"{server()}?m={m}&name={name}", "modes")
    with_m.upsert(stored)
    for tenant, radius in ((None, None), (2, None), (None, 9.0)):
        expected = embedded.search(searched, COUNT, tenant=tenant, max_distance=radius)
        found = with_m.search(searched, COUNT, tenant=tenant, max_distance=radius)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        assert found.exact_within == expected.exact_within == 8 - m
    with_m.close()


@pytest.mark.parametrize("radius", [0, 4, 7, 11])
def test_guaranteed_equals_flat_within_its_radius(name: str, radius: int) -> None:
    stored = rows()
    searched = queries(stored)
    flat = FlatIndex(SPEC, None)
    flat.upsert(stored)
    index = open_index(SPEC, f"{server()}?mode=guaranteed&radius={radius}&rows={COUNT}&name={name}", "modes")
    index.upsert(stored)
    for tenant, limit in ((None, None), (2, None), (None, 3.0), (None, 30.0)):
        within = float(radius if limit is None else min(radius, limit))
        expected = flat.search(searched, 2000, tenant=tenant, max_distance=within)
        found = index.search(searched, 2000, tenant=tenant, max_distance=limit)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.distances, expected.distances)
        assert found.exact_within >= radius
    index.close()


def test_exact_equals_flat_at_any_distance(name: str) -> None:
    """Both by segment search and by scanning."""
    stored = rows()
    searched = queries(stored)
    flat = FlatIndex(SPEC, None)
    flat.upsert(stored)
    index = open_index(SPEC, f"{server()}?mode=exact&radius=5&name={name}", "modes")
    index.upsert(stored)
    for k, limit, many in ((3, None, slice(None)), (50, 20.0, slice(3)), (5, 4.0, slice(2)), (2, None, slice(30, 33))):
        expected, found = (each.search(searched[many], k, max_distance=limit) for each in (flat, index))
        np.testing.assert_array_equal(found.ids, expected.ids)
        assert found.exact_within == FULLY_EXACT
    index.close()


def test_several_processes_see_what_was_flushed(name: str) -> None:
    """Two indexes as in two processes: the second sees rows and sequence after the flush, the first at once."""
    one, two = (open_index(SPEC, f"{server()}?name={name}", "modes") for _ in range(2))
    stored = rows()
    one.upsert(stored)
    assert one.count() == COUNT
    assert two.sequence == 0
    one.flush(7)
    assert (two.sequence, two.count()) == (7, COUNT)
    assert isinstance(two, ElasticIndex)
    assert two.search(stored.features[:1], 1, fresh=True).distances[0, 0] == 0
    one.close()
    two.close()


@given(st.integers(0, 19), st.sampled_from(SEGMENTATIONS), st.integers(1, 10**9), st.data())
@settings(max_examples=150, deadline=None)
def test_plans_find_every_code_within_their_radius(radius: int, count: int, size: int, data: st.DataObject) -> None:
    segmentation = Segmentation(count)
    plan = best_plan(radius, size, segmentation)
    if plan is None:
        return
    assert plan.radius >= radius
    code = data.draw(st.integers(0, 2**BITS - 1))
    flipped = data.draw(st.sets(st.integers(0, BITS - 1), min_size=radius, max_size=radius))
    other = code ^ sum(1 << bit for bit in flipped)
    queried = segmentation.terms(code, plan)
    own = segmentation.terms(other, published_like(segmentation))
    assert sum(mine[0] in terms for mine, terms in zip_segments(own, queried)) >= plan.min_matches
    assert plan.terms == sum(map(len, queried))


def published_like(segmentation: Segmentation):  # type: ignore[no-untyped-def]
    """A plan that queries a code's own segments only."""
    return type(published_plan(5))(segmentation, (1,) * segmentation.count, 1)


def zip_segments(own: list[list[str]], queried: list[list[str]]) -> list[tuple[list[str], list[str]]]:
    """A code's segments and the terms that a plan queries, by position; some segments are not queried."""
    by_position = {terms[0][0]: terms for terms in queried}
    return [(mine, by_position.get(mine[0][0], [])) for mine in own]


@pytest.mark.parametrize("m", range(1, 9))
def test_the_bound_of_the_published_rule_is_tight(m: int) -> None:
    """A code that differs by one bit in each of 9 - m bytes is missed, and no nearer one."""
    plan = published_plan(m)
    assert plan.radius == 8 - m
    code = 0x0123456789ABCDEF
    differing = code ^ sum(1 << (8 * byte) for byte in range(9 - m))
    same = sum(
        a == b
        for a, b in zip(plan.segmentation.terms(code, plan), plan.segmentation.terms(differing, plan), strict=True)
    )
    assert same < m
    assert (code ^ differing).bit_count() == plan.radius + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("m=9", "from 1 to 8"),
        ("m=5&mode=exact", "does not apply"),
        ("radius=3", "does not apply"),
        ("mode=guaranteed&radius=40", "from 0 to 31"),
        ("mode=other", "published, guaranteed, exact"),
        ("colour=red", "no option 'colour'"),
        ("name=UPPER", "lower-case"),
        ("index=theirs", "id_attribute"),
        ("index=theirs&id_attribute=x&shards=2", "existing index"),
        ("prefix=x_", "index=NAME"),
        ("nodes=nowhere", "HOST:PORT"),
        ("tls=false&ca=/nowhere.pem", "certificate"),
        ("tls=true&ca=/nowhere.pem", "no certificate"),
    ],
)
def test_invalid_settings_are_refused(options: str, message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        open_index(SPEC, f"elasticsearch://127.0.0.1:9?{options}", "modes")


@pytest.mark.parametrize(
    "spec",
    [FeatureSpec("vgg16", "cosine", 512, "x"), FeatureSpec("pdq", "hamming", 32, "x")],
    ids=["vectors", "256 bits"],
)
def test_unsupported_features_are_refused(spec: FeatureSpec) -> None:
    with pytest.raises(BadSetting, match="64-bit"):
        open_index(spec, "elasticsearch://127.0.0.1:9", "modes")
