"""Copies of catalogs from any database into any other: nothing is lost or changed, and the copy goes on by itself."""

from pathlib import Path
from typing import Any

import pytest

from lookalike.catalog import Catalog
from lookalike.catalog.transfer import load_snapshot, make_separate, table_digests, write_snapshot
from lookalike.errors import BadInput
from lookalike.types import Border
from tests.support.catalogs import BACKENDS, HASH, VECTOR, digest, entry, fresh, hash_row, vector_row

ATTRIBUTES: list[dict[str, Any]] = [
    {},
    {"title": "Größe „5“ 🌄", "n": 3, "deep": {"b": [1, None, True, 2.5], "a": {}}},
    {"whole": 1.0, "large": 1e16, "small": 1e-7, "negative": -0.0, "tenth": 0.1, "long": 2**60},
    {"z": 1, "a": 2, "list": [{"y": 1.0, "x": "\t\\\n"}]},
]


def fill(catalog: Catalog) -> None:
    """Something of every kind that a catalog holds."""
    for name in ("default", "ümlaut"):
        tenant = catalog.tenants.get_or_create(name)
        catalog.images.put(
            [
                entry(
                    tenant,
                    f"{n}/\t{name}.jpg",
                    n,
                    attributes=ATTRIBUTES[n % len(ATTRIBUTES)],
                    path=None if n % 3 else f"/photos/\\{n}.jpg",
                    pixels=digest(("pixels", n)) if n % 2 else None,
                    border=Border(1, 2, 3, n),
                    mtime_ns=2**62 + n,
                    thumbnail=bytes(range(256)) if n % 4 else None,
                    verification_record=bytes([n, 0, 255]) if n % 3 else None,
                    etag=f'"{n}"' if n % 2 else None,
                    offset=2**40 + n if n % 2 else None,
                    truncated=bool(n % 2),
                    frames=n + 1,
                    exif={"camera": "Q", "latitude": n / 7} if n % 2 else {},
                    features={HASH: hash_row(n) if n % 5 else None, VECTOR: vector_row(n)},
                )
                for n in range(12)
            ]
        )
        catalog.images.put([entry(tenant, "only a hash", 77, features={HASH: hash_row(7)})])
        catalog.images.delete(tenant, [f"3/\t{name}.jpg", "only a hash"])
        catalog.roots.register(tenant, "/photos", ["", "photos"])
        catalog.duplicate_feedback.mark(tenant, [f"1/\t{name}.jpg", f"2/\t{name}.jpg"])
        first, second, *_ = catalog.images.ids_matching(tenant, ()).tolist()
        catalog.compared_pairs.put({(first, second): (digest("pair"), True)})
        catalog.calibrations.put(tenant, {"curve": [0.5, 1.0], "name": name})
    catalog.api_keys.create("read", tenant="default")
    catalog.jobs.add("default", "duplicates", {"a": 1})


@pytest.mark.parametrize("target", BACKENDS)
@pytest.mark.parametrize("source", BACKENDS)
def test_a_copy_equals_its_original_and_goes_on_by_itself(source: str, target: str, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.sqlite"
    with fresh(source) as original, fresh(target) as copy:
        fill(original)
        expected = table_digests(original)
        write_snapshot(original.database, path)
        assert table_digests(original) == expected
        path.chmod(0o400)
        with Catalog.open(path, read_only=True) as snapshot:
            snapshot.check()
            assert table_digests(snapshot) == expected
            load_snapshot(snapshot, copy)
        own_id = copy.gallery_id()
        assert make_separate(copy) == 1
        assert copy.gallery_id() not in (own_id, original.gallery_id())
        assert table_digests(copy) == expected
        assert not any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-shm"))
        tenants = original.tenants.ids_by_name()
        assert copy.tenants.ids_by_name() == tenants
        for tenant in tenants.values():
            assert copy.images.list_page(tenant) == original.images.list_page(tenant)
            first, second, *_ = original.images.ids_matching(tenant, ()).tolist()
            assert copy.compared_pairs.get([(first, second)]) == {(first, second): (digest("pair"), True)}
            filter_ids = copy.images.ids_matching(tenant, ())
            assert filter_ids.tolist() == original.images.ids_matching(tenant, ()).tolist()
        for catalog in (original, copy):  # both go on alike, with ids that were never used
            new = catalog.tenants.get_or_create("new")
            assert new not in tenants.values()
            catalog.roots.register(new, "/new", ["", "new"])
            (put,) = catalog.images.put([entry(new, "new", "new")])
            assert put.sequence == catalog.changes.last_sequence()
            assert put.id > max(id_ for t in tenants.values() for id_ in catalog.images.ids_matching(t, ()).tolist())
        assert original.changes.last_sequence() == copy.changes.last_sequence()
        ids = [c.images.get(c.tenants.get_or_create("new"), "new").id for c in (original, copy)]
        assert ids[0] == ids[1] or "sqlite" not in (source, target)


@pytest.mark.parametrize("target", BACKENDS)
def test_only_an_empty_catalog_is_loaded_into(target: str, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.sqlite"
    with fresh("sqlite") as original, fresh(target) as copy:
        fill(original)
        write_snapshot(original.database, path)
        tenant = copy.tenants.get_or_create("somebody")
        copy.images.put([entry(tenant, "precious")])
        before = table_digests(copy)
        with Catalog.open(path, read_only=True) as snapshot, pytest.raises(BadInput, match="empty"):
            load_snapshot(snapshot, copy)
        assert table_digests(copy) == before


@pytest.mark.parametrize("change", ["attributes", "feature", "key", "deletion", "thumbnail"])
def test_digests_see_every_change(change: str) -> None:
    with fresh("sqlite") as catalog:
        fill(catalog)
        tenant = catalog.tenants.get_or_create("default")
        key = "1/\tdefault.jpg"
        before = table_digests(catalog)
        record = catalog.images.get(tenant, key)
        if change == "attributes":
            catalog.images.set_attributes(tenant, key, {"n": 3.5}, merge=True)
        elif change == "feature":
            catalog.features.put(HASH, [record.id], [record.sha256], [hash_row("other")])
        elif change == "key":
            catalog.images.put([entry(tenant, "another")])
        elif change == "deletion":
            catalog.images.delete(tenant, [key])
        else:
            catalog.images.put([entry(tenant, key, 1, thumbnail=b"small")])
        assert table_digests(catalog) != before
