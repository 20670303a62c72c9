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
        made.tenants.get_or_create("default")
        yield made
        made.check()


def test_what_the_engine_has_is_forgotten(catalog: Catalog) -> None:
    puts = catalog.images.put([entry(1, f"k{n}", n) for n in range(5)])
    catalog.images.put([entry(1, "flat", features={HASH: None})])
    assert catalog.features.keeper() == "engine"
    assert catalog.features.released_through(HASH) == 0
    assert catalog.features.release(HASH, through=3) == 3
    assert catalog.features.released_through(HASH) == 3
    stored = catalog.features.get(HASH, [put.id for put in puts])
    assert (stored.ids.tolist(), stored.released.tolist(), stored.empty.tolist()) == ([4, 5], [1, 2, 3], [])
    assert catalog.features.get(VECTOR, [1]).ids.tolist() == [1]
    changes = catalog.changes.since(HASH, 0, 100)
    assert (changes.upserts.ids.tolist(), changes.deletes.tolist(), changes.released.tolist()) == (
        [4, 5],
        [6],
        [1, 2, 3],
    )
    assert catalog.images.existing_images(1, ["k0"])["k0"].encoded == {HASH, VECTOR}
    assert [record.key for record in catalog.features.missing(HASH)] == []
    assert catalog.features.release(HASH, through=3) == 0
    assert catalog.features.release(HASH, through=6) == 2
    assert catalog.features.release(VECTOR, through=6) == 5
    assert catalog.features.get(HASH, [6]).empty.tolist() == [6]
    with pytest.raises(BadInput, match="up to sequence 6"):
        catalog.features.release(HASH, through=7)


def test_what_changes_later_is_kept_again(catalog: Catalog) -> None:
    catalog.images.put([entry(1, f"k{n}", n) for n in range(4)])
    assert catalog.features.release(VECTOR, through=4) == 4
    catalog.images.put([entry(1, "k0", "new")])
    catalog.images.put([entry(1, "k1", 1)])
    catalog.images.set_attributes(1, "k2", {"n": 1})
    catalog.features.put(VECTOR, [4], [digest(3)], [vector_row(3)])
    changes = catalog.changes.since(VECTOR, 4, 100)
    assert changes.upserts.ids.tolist() == [1, 2, 4]
    assert changes.released.tolist() == [3]
    asked = catalog.changes.since(VECTOR, 4, 100, attributes=True)
    assert (asked.released.tolist(), asked.released_tenants.tolist(), asked.released_attributes) == (
        [3],
        [1],
        [{"n": 1}],
    )
    assert catalog.features.only_in_engine(VECTOR, 0, 10) == catalog.features.only_in_engine(VECTOR, 6, 10) == ["k2"]
    assert (
        catalog.features.only_in_engine(VECTOR, asked.sequence, 10)
        == catalog.features.only_in_engine(HASH, 0, 10)
        == []
    )
    rows = np.stack([vector_row(content) for content in ("new", 1, 3)])
    assert np.array_equal(changes.upserts.features, at_storage_precision(VECTOR, rows))
    catalog.images.delete(1, ["k2"])
    assert catalog.changes.since(VECTOR, 4, 100).deletes.tolist() == [3]
    assert catalog.features.release(VECTOR, through=catalog.changes.last_sequence()) == 3
    assert catalog.changes.since(VECTOR, 0, 100).upserts.ids.tolist() == []


def test_a_twin_without_features_lends_none(catalog: Catalog) -> None:
    (source,) = catalog.images.put([entry(1, "source", 1)])
    catalog.features.release(HASH, through=1)
    (copy,) = catalog.images.put([entry(1, "copy", 1, copy_of=source.id)])
    assert not copy.copied
    assert catalog.images.existing_images(1, ["copy"])["copy"].encoded == frozenset()
    catalog.images.put([entry(1, "copy", 1, features={HASH: hash_row(1), VECTOR: vector_row(1)})])
    assert catalog.images.existing_images(1, ["copy"])["copy"].encoded == {HASH, VECTOR}


def test_thousands_are_released_in_portions(catalog: Catalog) -> None:
    catalog.images.put([entry(1, f"k{n}", features={HASH: hash_row(n)}) for n in range(5000)])
    assert catalog.features.release(HASH, through=5000) == 5000
    assert catalog.features.released_through(HASH) == 5000


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_catalog_that_keeps_features_forgets_none(backend: str) -> None:
    with BACKENDS[backend]() as url, Catalog.open(url, create=True) as catalog:
        catalog.images.put([entry(catalog.tenants.get_or_create("default"), "a")])
        assert catalog.features.keeper() == "catalog"
        with pytest.raises(BadInput, match="features=engine"):
            catalog.features.release(HASH, through=1)


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
