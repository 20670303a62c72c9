"""Features left to the engine: forgotten once it has them, and what cannot be done any more is said."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lookalike.catalog import Catalog, at_storage_precision
from lookalike.errors import BadInput, BadSetting
from tests.support.catalogs import BACKENDS, HASH, VECTOR, digest, entry, hash_row, vector_row


@contextmanager
def url_with(backend: str, option: str) -> Iterator[str]:
    with BACKENDS[backend]() as url:
        whole = f"sqlite:///{url}" if backend == "sqlite" else url
        yield f"{whole}{'&' if '?' in whole else '?'}{option}"


@pytest.fixture(params=BACKENDS)
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    with url_with(request.param, "features=engine") as url, Catalog.open(url, create=True) as made:
        made.tenant_id("default", create=True)
        yield made
        made.check()


def test_what_the_engine_has_is_forgotten(catalog: Catalog) -> None:
    puts = catalog.put([entry(1, f"k{n}", n) for n in range(5)])
    catalog.put([entry(1, "flat", features={HASH: None})])
    assert catalog.keeper() == "engine"
    assert catalog.released(HASH) == 0
    assert catalog.release_features(HASH, through=3) == 3
    assert catalog.released(HASH) == 3
    stored = catalog.features_of(HASH, [put.id for put in puts])
    assert (stored.ids.tolist(), stored.kept.tolist(), stored.empty.tolist()) == ([4, 5], [1, 2, 3], [])
    assert catalog.features_of(VECTOR, [1]).ids.tolist() == [1]
    changes = catalog.changes(HASH, 0, 100)
    assert (changes.upserts.ids.tolist(), changes.deletes.tolist(), changes.kept.tolist()) == ([4, 5], [6], [1, 2, 3])
    assert catalog.existing_images(1, ["k0"])["k0"].encoded == {HASH, VECTOR}
    assert [record.key for record in catalog.missing(HASH)] == []
    assert catalog.release_features(HASH, through=3) == 0
    assert catalog.release_features(HASH, through=6) == 2
    assert catalog.release_features(VECTOR, through=6) == 5
    assert catalog.features_of(HASH, [6]).empty.tolist() == [6]
    with pytest.raises(BadInput, match="up to change 6"):
        catalog.release_features(HASH, through=7)


def test_what_changes_later_is_kept_again(catalog: Catalog) -> None:
    catalog.put([entry(1, f"k{n}", n) for n in range(4)])
    assert catalog.release_features(VECTOR, through=4) == 4
    catalog.put([entry(1, "k0", "new")])
    catalog.put([entry(1, "k1", 1)])
    catalog.set_attributes(1, "k2", {"n": 1})
    catalog.put_features(VECTOR, [4], [digest(3)], [vector_row(3)])
    changes = catalog.changes(VECTOR, 4, 100)
    assert changes.upserts.ids.tolist() == [1, 2, 4]
    assert changes.kept.tolist() == [3]
    asked = catalog.changes(VECTOR, 4, 100, attributes=True)
    assert (asked.kept.tolist(), asked.kept_tenants.tolist(), asked.kept_attributes) == ([3], [1], [{"n": 1}])
    assert catalog.only_in_engine(VECTOR, 0, 10) == catalog.only_in_engine(VECTOR, 6, 10) == ["k2"]
    assert catalog.only_in_engine(VECTOR, asked.sequence, 10) == catalog.only_in_engine(HASH, 0, 10) == []
    rows = np.stack([vector_row(content) for content in ("new", 1, 3)])
    assert np.array_equal(changes.upserts.features, at_storage_precision(VECTOR, rows))
    catalog.delete(1, ["k2"])
    assert catalog.changes(VECTOR, 4, 100).deletes.tolist() == [3]
    assert catalog.release_features(VECTOR, through=catalog.sequence()) == 3
    assert catalog.changes(VECTOR, 0, 100).upserts.ids.tolist() == []


def test_a_twin_without_features_lends_none(catalog: Catalog) -> None:
    (source,) = catalog.put([entry(1, "source", 1)])
    catalog.release_features(HASH, through=1)
    (copy,) = catalog.put([entry(1, "copy", 1, copy_of=source.id)])
    assert not copy.copied
    assert catalog.existing_images(1, ["copy"])["copy"].encoded == frozenset()
    catalog.put([entry(1, "copy", 1, features={HASH: hash_row(1), VECTOR: vector_row(1)})])
    assert catalog.existing_images(1, ["copy"])["copy"].encoded == {HASH, VECTOR}


def test_thousands_are_released_in_portions(catalog: Catalog) -> None:
    catalog.put([entry(1, f"k{n}", features={HASH: hash_row(n)}) for n in range(5000)])
    assert catalog.release_features(HASH, through=5000) == 5000
    assert catalog.released(HASH) == 5000


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_catalog_that_keeps_features_forgets_none(backend: str) -> None:
    with BACKENDS[backend]() as url, Catalog.open(url, create=True) as catalog:
        catalog.put([entry(catalog.tenant_id("default", create=True), "a")])
        assert catalog.keeper() == "catalog"
        with pytest.raises(BadInput, match="features=engine"):
            catalog.release_features(HASH, through=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_options_stay_as_they_were_made(backend: str) -> None:
    with url_with(backend, "features=engine") as url:
        Catalog.open(url, create=True).close()
        plain = url.replace("features=engine", "")
        for same in (url, plain):
            Catalog.open(same, create=True).close()
        with pytest.raises(BadSetting, match="features=engine"):
            Catalog.open(f"{plain}features=catalog")
        if backend == "postgresql":
            with pytest.raises(BadSetting, match="partitions=0"):
                Catalog.open(f"{plain}partitions=8")


@pytest.mark.parametrize("option", ["partitions=4", "partitions=x", "features=both"])
def test_options_without_sense(tmp_path: Path, option: str) -> None:
    with pytest.raises(BadSetting, match=option.split("=")[0]):
        Catalog.open(f"sqlite:///{tmp_path}/c.sqlite?{option}", create=True)
