"""Rebuilding beside the old index: searches continue, the switch is atomic, and no index is left behind."""

import threading

import numpy as np
import pytest

from lookalike.errors import BadInput, BadSetting, Damaged
from lookalike.indexes.elasticsearch.client import probe
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.interfaces import VectorIndex
from lookalike.types import FeatureSpec, Rows
from tests.index_contract import random_features
from tests.support.engines.elasticsearch import name, raw, server

__all__ = ["name"]

SPEC = FeatureSpec("phash", "hamming", 8, "switch 1")


def rows(count: int, seed: int = 1) -> Rows:
    return Rows(
        np.arange(count) + 1, random_features(SPEC, np.random.default_rng(seed), count), np.ones(count, np.int64)
    )


def opened(name: str) -> VectorIndex:
    return open_index(SPEC, f"{server()}?name={name}", "switch")


def indexes(name: str) -> list[str]:
    with raw(server()) as client:
        return sorted(client.indices.get_alias(index=f"{name}*", expand_wildcards="all"))


def test_searches_continue_during_a_rebuild(name: str) -> None:
    """Row 1 is in both indexes: every search finds it, in this process and in another."""
    index, other = opened(name), opened(name)
    old, new = rows(500), rows(900)
    new.features[:500] = old.features
    index.upsert(old)
    index.flush(3)
    stop, answers, problems = threading.Event(), [0], list[BaseException]()

    def read(reader: VectorIndex) -> None:
        try:
            while not stop.is_set():
                assert reader.search(old.features[:1], 1).distances[0, 0] == 0
                answers[0] += 1
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            problems.append(error)

    readers = [threading.Thread(target=read, args=(each,)) for each in (index, other)]
    for reader in readers:
        reader.start()
    for turn in range(4):
        with index.rebuilding() as fresh:
            fresh.upsert(new)
            assert (fresh.count(), fresh.sequence) == (900, 0)
            assert other.count() == (900 if turn else 500)
            fresh.flush(10 + turn)
        assert (index.count(), other.count(), other.sequence) == (900, 900, 10 + turn)
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    print(f"{answers[0]} searches during 4 switches, none failed")
    assert len(indexes(name)) == 1
    index.close()
    other.close()


def test_a_failed_rebuild_keeps_the_old_index(name: str) -> None:
    index = opened(name)
    index.upsert(rows(50))
    index.flush(3)
    with pytest.raises(BadInput, match="twice"), index.rebuilding() as fresh:
        fresh.upsert(Rows(np.array([5, 5]), rows(2).features, np.array([1, 1])))
    assert (index.count(), index.sequence, len(indexes(name))) == (50, 3, 1)
    index.close()


def test_incomplete_indexes_are_dropped_at_the_next_rebuild(name: str) -> None:
    index = opened(name)
    index.upsert(rows(50))
    index.flush(3)
    unfinished = index.rebuilding()
    unfinished.__enter__().upsert(rows(10))  # and the process dies here
    assert len(indexes(name)) == 2
    index.close()
    index = opened(name)
    assert index.count() == 50
    with index.rebuilding() as fresh:
        fresh.upsert(rows(20))
    assert (index.count(), len(indexes(name))) == (20, 1)
    index.close()


def test_a_missing_index_is_reported_and_not_created_by_writes(name: str) -> None:
    index = opened(name)
    index.upsert(rows(50))
    with raw(server()) as client:
        client.indices.delete(index=indexes(name))
    for use in (lambda: index.upsert(rows(5)), lambda: index.delete(np.array([1])), lambda: index.count()):
        with pytest.raises(Damaged, match="repair"):
            use()
    with pytest.raises(Damaged, match="repair"):
        index.search(rows(1).features, 1)
    assert indexes(name) == []
    index.close()
    index = opened(name)
    assert (index.count(), index.sequence) == (0, 0)
    index.close()


def test_an_index_not_created_by_us_is_refused(name: str) -> None:
    with raw(server()) as client:
        client.indices.create(index=name, mappings={"_meta": {"owner": "somebody"}})
        with pytest.raises(BadSetting, match="not created by lookalike"):
            opened(name)
        assert client.count(index=name)["count"] == 0


def test_index_name() -> None:
    first = "test-named"
    spec = FeatureSpec("phash", "hamming", 8, "0123456789abcdef0123")
    try:
        for options, end in (("", ""), ("?mode=guaranteed&radius=11&rows=100000000", "-4x16")):
            open_index(spec, f"{server()}/{first}{options}", "ab12cd34ef56").close()
            assert f"{first}-ab12cd34ef56-phash-0123456789ab{end}-000001" in indexes(first)
    finally:
        with raw(server()) as client:
            client.indices.delete(index=indexes(first))


def test_concurrent_opening_creates_one_index(name: str) -> None:
    made = list[VectorIndex]()
    openers = [threading.Thread(target=lambda: made.append(opened(name))) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join()
    assert len(made) == 4
    assert len(indexes(name)) == 1
    made[0].upsert(rows(3))
    assert [index.count() for index in made[:1]] == [3]
    for index in made:
        index.close()


def test_probe() -> None:
    found = probe(server())
    assert str(found["version"]).startswith(("8.", "9."))
    assert found["health"] in ("green", "yellow")
    assert found["nodes"] == 1
