"""Folders, paths and removals of the catalog, and the migration from schema 2: on every database."""

from collections.abc import Iterator

import pytest

from lookalike.catalog import Catalog
from tests.support.catalogs import BACKENDS, entry, fresh, make_schema_2


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def catalog(backend: str) -> Iterator[Catalog]:
    with fresh(backend) as made:
        yield made


def test_folders_have_names_of_their_own(catalog: Catalog) -> None:
    ann, bob = catalog.tenants.get_or_create("ann"), catalog.tenants.get_or_create("bob")
    first = catalog.roots.register(ann, "/a/DCIM", ["", "DCIM"])
    assert first.prefix == ""
    assert catalog.roots.register(ann, "/a/DCIM", ["x"]) == first
    names = [catalog.roots.register(ann, f"/{n}/DCIM", ["", "DCIM"]).name for n in "bcd"]
    assert names == ["DCIM", "DCIM-2", "DCIM-3"]
    catalog.images.put([entry(bob, "pics/1.jpg", path="/other/1.jpg")])
    assert catalog.roots.register(bob, "/pics", ["", "pics"]).name == "pics-2"  # keys of another file begin with it


def test_files_of_a_folder(catalog: Catalog) -> None:
    tenant = catalog.tenants.get_or_create("ann")
    paths = ["/p/b.jpg", "/p/ü.jpg", "/p/Z/c.jpg", "/p2/d.jpg", "/p-x/e.jpg", "/p.jpg"]
    catalog.images.put([entry(tenant, path, path, path=path) for path in paths])
    catalog.images.put([entry(tenant, "uploaded", path=None)])
    assert [file.path for file in catalog.paths.below(tenant, "/p")] == ["/p/Z/c.jpg", "/p/b.jpg", "/p/ü.jpg"]
    assert {file.key for file in catalog.paths.below(tenant, None)} == set(paths)
    assert catalog.paths.keys_of(tenant, ["/p/b.jpg", "/p/none.jpg"]) == {"/p/b.jpg": "/p/b.jpg"}


def test_all_pages_of_a_folder(catalog: Catalog) -> None:
    """More files than a query reads, some of them stored twice at the border of two pages."""
    tenant = catalog.tenants.get_or_create("ann")
    catalog.images.put([entry(tenant, f"{n}", n, path=f"/p/{n // 3:05}.jpg") for n in range(2500)])
    assert sorted(int(file.key) for file in catalog.paths.below(tenant, "/p")) == list(range(2500))


def test_a_moved_folder_takes_its_files_along(catalog: Catalog) -> None:
    tenant = catalog.tenants.get_or_create("ann")
    root = catalog.roots.register(tenant, "/old", [""])
    catalog.images.put([entry(tenant, "a/1.jpg", path="/old/a/1.jpg"), entry(tenant, "2.jpg", path="/older/2.jpg")])
    catalog.roots.move(tenant, root, "/new/place")
    assert [root.path for root in catalog.roots.of_tenant(tenant)] == ["/new/place"]
    assert {file.path for file in catalog.paths.below(tenant, None)} == {"/new/place/a/1.jpg", "/older/2.jpg"}


def test_removals_are_remembered_until_forgotten(catalog: Catalog) -> None:
    tenant = catalog.tenants.get_or_create("ann")
    assert not catalog.removals.any(tenant)
    for content in (1, 2):
        catalog.images.put([entry(tenant, "a", content, mtime_ns=content)])
        catalog.images.delete(tenant, ["a"])
    catalog.images.put([entry(tenant, "b")])
    catalog.images.delete(tenant, ["b"], remember=False)
    found = catalog.removals.by_keys(tenant, ["a", "b"])
    assert {key: removal.mtime_ns for key, removal in found.items()} == {"a": 2}
    catalog.removals.forget(tenant, ["a"])
    assert not catalog.removals.any(tenant)


def test_migration_finds_the_folders(backend: str) -> None:
    with BACKENDS[backend]() as url:
        with Catalog.open(url, create=True) as catalog:
            tenant = catalog.tenants.get_or_create("ann")
            stored = {"a.jpg": "/pics/a.jpg", "2019/b.jpg": "/pics/2019/b.jpg", "c.jpg": "/pics/2019/c.jpg"}
            stored |= {"DCIM/1.jpg": "/card/DCIM/1.jpg", "given": "/elsewhere/x.jpg"}
            catalog.images.put([entry(tenant, key, key, path=path) for key, path in stored.items()])
            catalog.images.put([entry(tenant, "uploaded.jpg", path=None)])
            make_schema_2(catalog)
        with Catalog.open(url) as catalog:
            found = {root.path: root.name for root in catalog.roots.of_tenant(tenant)}
            assert found == {"/pics": "", "/card": "card"}
            assert {file.key: file.path for file in catalog.paths.below(tenant, None)} == stored
            assert catalog.roots.register(tenant, "/new", ["", "new"]).name == "new"
            catalog.images.delete(tenant, ["given"])
            assert catalog.removals.any(tenant)
            catalog.check()
