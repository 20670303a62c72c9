"""External indexes: our fields are added and cleared, and nothing else in the index changes."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from elasticsearch import Elasticsearch

from lookalike.errors import BadSetting, FeatureMismatch
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.indexes.flat import FlatIndex
from lookalike.interfaces import VectorIndex
from lookalike.types import Condition, FeatureSpec, ResolvedFilter, Rows
from tests.index_contract import random_features
from tests.support.engines.elasticsearch import name, raw, server

__all__ = ["name"]

SPEC = FeatureSpec("phash", "hamming", 8, "0123456789abcdef" * 4)
WORDS = ("lake at dawn", "mountain lake", "city at night", "a dog on a beach")
OUR_FIELDS = {f"lookalike_{field}" for field in ("id", "tenant", "hash", "segments", "attributes")}
COUNT = 200


@pytest.fixture
def external(name: str) -> Iterator[Elasticsearch]:
    """An existing index for full-text search: strict mapping, two shards, custom routing."""
    with raw(server()) as client:
        client.indices.create(
            index=name,
            settings={"number_of_shards": 2, "number_of_replicas": 0},
            mappings={
                "dynamic": "strict",
                "_meta": {"owner": "search team"},
                "properties": {"caption": {"type": "text"}, "sku": {"type": "keyword"}, "likes": {"type": "integer"}},
            },
        )
        operations: list[dict[str, Any]] = []
        for n in range(COUNT):
            operations.append({"index": {"_id": f"doc-{n}", "routing": f"r{n % 5}"}})
            operations.append({"caption": WORDS[n % 4], "sku": f"S{n}", "likes": n})
        client.bulk(index=name, operations=operations, refresh=True)
        yield client


def images(count: int, key: str, first: int = 0) -> Rows:
    """Image n + 1 belongs to document n."""
    attributes = [
        {key: f"doc-{n}" if key == "doc" else f"S{n}", "odd": bool(n % 2)} for n in range(first, first + count)
    ]
    features = random_features(SPEC, np.random.default_rng(3 + first), count)
    return Rows(np.arange(count) + first + 1, features, np.where(np.arange(count) % 3, 1, 2), attributes)


def opened(name: str, how: str = "id_attribute=doc", spec: FeatureSpec = SPEC) -> VectorIndex:
    return open_index(spec, f"{server()}?mode=exact&index={name}&{how}", "gallery")


def foreign_content(client: Elasticsearch, name: str) -> dict[str, Any]:
    """Documents and mapping without our fields."""
    client.indices.refresh(index=name)
    hits = client.search(index=name, size=1000)["hits"]["hits"]
    mapping = client.indices.get_mapping(index=name)[name]["mappings"]
    fields = {field: kind for field, kind in mapping["properties"].items() if field not in OUR_FIELDS}
    assert set(mapping["properties"]) - set(fields) in (OUR_FIELDS, set())
    documents = {
        hit["_id"]: (hit["_routing"], {k: v for k, v in hit["_source"].items() if k not in OUR_FIELDS}) for hit in hits
    }
    return {"documents": documents, "mapping": {**mapping, "properties": fields}}


@pytest.mark.parametrize("how", ["id_attribute=doc", "id_attribute=sku&id_field=sku"])
def test_other_content_is_unchanged(external: Elasticsearch, name: str, how: str) -> None:
    """After adding, moving, deleting, reopening and clearing."""
    before = foreign_content(external, name)
    key = "doc" if how.endswith("doc") else "sku"
    index = opened(name, how)
    stored = images(120, key)
    index.upsert(stored)
    index.flush(5)
    assert (index.count(), index.count(2), index.sequence) == (120, 40, 5)
    flat = FlatIndex(SPEC, None)
    flat.upsert(stored)
    for tenant in (None, 2):
        expected, found = (each.search(stored.features[:20], 15, tenant=tenant) for each in (flat, index))
        np.testing.assert_array_equal(found.ids, expected.ids)
    assert foreign_content(external, name) == before
    index.delete(np.arange(1, 31))
    moved = Rows(np.array([31]), stored.features[30:31], np.array([1]), [{key: "doc-0" if key == "doc" else "S0"}])
    index.upsert(moved)
    assert index.count() == 90
    index.close()
    index = opened(name, how)
    assert (index.count(), index.sequence) == (90, 5)
    assert external.get(index=name, id="doc-0", routing="r0")["_source"]["lookalike_id"] == 31
    assert external.get(index=name, id="doc-30", routing="r0")["_source"]["lookalike_id"] is None
    index.clear()
    assert (index.count(), index.sequence) == (0, 0)
    index.close()
    assert foreign_content(external, name) == before


def test_attributes_change_without_features(external: Elasticsearch, name: str) -> None:
    """Only our field, in the documents of the images, whatever their routing."""
    before = foreign_content(external, name)
    index = opened(name)
    stored = images(20, "doc")
    index.upsert(stored)
    index.update_attributes(np.array([3, 8, 999]), np.ones(3, np.int64), [{"doc": "doc-2", "odd": "neither"}] * 3)
    filter = ResolvedFilter((Condition("odd", "eq", "neither"),), list)  # type: ignore[arg-type]
    found = index.search(stored.features[7:8], 20, filter=filter).ids[0]
    assert {int(id_) for id_ in found if id_ >= 0} == {3, 8}
    assert index.count() == 20
    index.close()
    assert foreign_content(external, name) == before


def test_search_with_a_full_text_filter(external: Elasticsearch, name: str) -> None:
    """Similar images among the documents about lakes with at least 100 likes."""
    index = opened(name)
    stored = images(COUNT, "doc")
    index.upsert(stored)
    native = {"bool": {"must": [{"match": {"caption": "lake"}}], "filter": [{"range": {"likes": {"gte": 100}}}]}}
    about = {n for n in range(100, COUNT) if "lake" in WORDS[n % 4]}
    filter = ResolvedFilter((), list, {"elasticsearch": native})  # type: ignore[arg-type]
    found = index.search(stored.features[100:101], COUNT, filter=filter)
    assert {int(id_) - 1 for id_ in found.ids[0] if id_ >= 0} == about
    odd = ResolvedFilter((Condition("odd", "eq", True),), list, {"elasticsearch": native})  # type: ignore[arg-type]
    found = index.search(stored.features[100:101], COUNT, filter=odd)
    assert {int(id_) - 1 for id_ in found.ids[0] if id_ >= 0} == {n for n in about if n % 2}
    index.close()


def test_missing_documents_are_reported_not_created(
    external: Elasticsearch, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    index = opened(name)
    with caplog.at_level(logging.WARNING, "lookalike"):
        index.upsert(images(10, "doc", first=COUNT - 5))
        index.upsert(Rows(np.array([900]), np.zeros((1, 8), np.uint8), np.array([1])))
    assert index.count() == 5
    assert "5 images have no document" in caplog.text
    assert "doc-200" in caplog.text
    assert external.count(index=name)["count"] == COUNT
    index.close()


def test_clearing_is_completed_after_a_crash(external: Elasticsearch, name: str) -> None:
    index = opened(name)
    index.upsert(images(20, "doc"))
    index.flush(3)
    index._storage.store_sequence(0, state="clearing")  # type: ignore[attr-defined]
    index.close()
    index = opened(name)
    assert (index.count(), index.sequence) == (0, 0)
    index.close()


def test_incompatible_indexes_are_refused(external: Elasticsearch, name: str) -> None:
    external.indices.put_mapping(index=name, properties={"taken_hash": {"type": "text"}})
    with pytest.raises(BadSetting, match="another prefix"):
        opened(name, "id_attribute=doc&prefix=taken_")
    opened(name).close()
    with pytest.raises(FeatureMismatch, match="another prefix"):
        opened(name, spec=FeatureSpec("phash", "hamming", 8, "another"))
    opened(name, "id_attribute=doc&prefix=second_", FeatureSpec("phash", "hamming", 8, "another")).close()
    with pytest.raises(BadSetting, match="no index"):
        opened("test-nobody")
    with raw(server()) as client:
        assert not client.indices.exists(index="test-nobody")
