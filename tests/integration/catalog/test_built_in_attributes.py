"""Filters and orders by what the catalog knows of files, against the same evaluated in Python, in every database."""

from collections.abc import Iterator
from typing import Any

import pytest

from lookalike.catalog import Catalog
from lookalike.catalog.built_in_attributes import EXIF_ATTRIBUTES, SORTS
from lookalike.errors import BadInput
from lookalike.indexes.elasticsearch.filters import filters_of
from lookalike.indexes.milvus.filters import expression
from lookalike.types import Condition, Op, Record
from tests.support.catalogs import BACKENDS, HASH, entry, fresh

CAMERAS = ["Canon EOS 6D", "Leica M10", "Größe 5", "a", "B"]


@pytest.fixture(scope="module", params=BACKENDS)
def catalog(request: pytest.FixtureRequest) -> Iterator[Catalog]:
    with fresh(request.param) as made:
        yield made


@pytest.fixture(scope="module")
def tenant(catalog: Catalog) -> int:
    """The owner of images that no test changes."""
    tenant = catalog.tenants.get_or_create("default")
    catalog.images.put([made(tenant, number) for number in range(40)])
    return tenant


def made(tenant: int, number: int) -> Any:
    """Images in folders of several depths, some without EXIF data."""
    exif: dict[str, Any] = {}
    if number % 3:
        exif["captured"] = f"20{10 + number % 7}-0{1 + number % 9}-14T09:30:00"
    if number % 4:
        exif["camera"] = CAMERAS[number % 5]
        exif["latitude"], exif["longitude"] = -5.5 + number, 10.0 - number
    if number % 2:
        exif["orientation"] = 1 + number % 8
    key = ["", "alps/", "alps/2019/", "Ärger/x.y/"][number % 4] + f"IMG {number:02} %_.jpg"
    more = {"nbytes": 100 + number % 6, "width": 10 + number % 4, "height": 7, "frames": 1 + number % 2}
    return entry(tenant, key, number, format=["JPEG", "PNG", "GIF"][number % 3], exif=exif, **more)


def value_of(record: Record, name: str) -> Any:
    if name in EXIF_ATTRIBUTES:
        return record.exif.get(EXIF_ATTRIBUTES[name])
    folder, _, file = record.key.rpartition("/")
    return {
        "key": record.key,
        "file.folder": folder,
        "file.name": file,
        "file.format": record.format,
        "file.bytes": record.nbytes,
        "file.width": record.width,
        "file.height": record.height,
        "file.frames": record.frames,
        "file.added": record.created,
    }[name]


def everything(catalog: Catalog, tenant: int) -> list[Record]:
    return catalog.images.list_page(tenant, limit=1000)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("descending", [False, True])
def test_every_order_is_complete_over_pages(catalog: Catalog, tenant: int, sort: str, descending: bool) -> None:
    sort_name = f"-{sort}" if descending else sort
    records = everything(catalog, tenant)
    there = [record for record in records if value_of(record, sort) is not None]
    absent = [record for record in records if value_of(record, sort) is None]
    there.sort(key=lambda record: (value_of(record, sort), record.key), reverse=descending)
    absent.sort(key=lambda record: record.key, reverse=descending)
    found: list[Record] = []
    while page := catalog.images.list_page(tenant, after=found[-1].key if found else None, limit=7, sort=sort_name):
        found += page
    assert [record.key for record in found] == [record.key for record in there + absent]


CONDITIONS: list[tuple[str, Op, Any]] = [
    ("file.folder", "eq", "alps"),
    ("file.folder", "in", ("", "Ärger/x.y")),
    ("file.folder", "gte", "alps/"),
    ("file.name", "eq", "IMG 07 %_.jpg"),
    ("file.name", "lt", "IMG 09"),
    ("file.format", "ne", "JPEG"),
    ("file.format", "eq", 5),
    ("file.bytes", "gte", 104),
    ("file.bytes", "eq", 102.0),
    ("file.width", "in", (10, 12)),
    ("file.frames", "gt", 1),
    ("file.height", "exists", True),
    ("file.height", "exists", False),
    ("exif.captured", "gte", "2013"),
    ("exif.captured", "lt", "2012-05"),
    ("exif.captured", "exists", False),
    ("exif.camera", "eq", "Größe 5"),
    ("exif.camera", "ne", "a"),
    ("exif.camera", "in", ("a", "B")),
    ("exif.orientation", "eq", 6),
    ("exif.latitude", "gt", 10.5),
    ("exif.longitude", "lte", -3),
    ("exif.orientation", "exists", True),
]


def holds(record: Record, name: str, op: Op, value: Any) -> bool:
    found = value_of(record, name)
    if op == "exists":
        return (found is not None) == value
    if op == "ne":
        return bool(found != value)
    if found is None or (not isinstance(value, tuple) and isinstance(found, str) != isinstance(value, str)):
        return False
    compare = {
        "eq": lambda: found == value,
        "in": lambda: found in value,
        "lt": lambda: found < value,
        "lte": lambda: found <= value,
        "gt": lambda: found > value,
        "gte": lambda: found >= value,
    }
    return bool(compare[op]())


@pytest.mark.parametrize(("name", "op", "value"), CONDITIONS)
def test_a_filter_means_the_same_everywhere(catalog: Catalog, tenant: int, name: str, op: Op, value: Any) -> None:
    condition = Condition(name, op, value)
    expected = [record for record in everything(catalog, tenant) if holds(record, name, op, value)]
    assert [r.key for r in catalog.images.list_page(tenant, limit=99, conditions=[condition])] == [
        r.key for r in expected
    ]
    assert sorted(catalog.images.ids_matching(tenant, [condition]).tolist()) == sorted(r.id for r in expected)


def test_times_of_adding_are_dates(catalog: Catalog, tenant: int) -> None:
    def number(op: Op, value: str) -> int:
        return len(catalog.images.ids_matching(tenant, [Condition("file.added", op, value)]))

    assert number("gte", "2020-01-01") == number("lt", "2100-01-01T00:00:00Z") == 40
    assert number("lt", "2020-01-01T00:00:00+02:00") == 0
    with pytest.raises(BadInput, match=r"file\.added is compared with a date"):
        number("lt", "yesterday")


def test_what_cannot_be_sorted_by_is_named(catalog: Catalog, tenant: int) -> None:
    with pytest.raises(BadInput, match=r"cannot sort by 'year'.*exif\.captured"):
        catalog.images.list_page(tenant, sort="year")
    with pytest.raises(BadInput, match="which is gone"):
        catalog.images.list_page(tenant, sort="file.name", after="nothing")


def test_a_callers_attribute_does_not_stand_for_a_built_in_one(catalog: Catalog) -> None:
    tenant = catalog.tenants.get_or_create("other")
    catalog.images.put([entry(tenant, "own", "own", attributes={"exif.camera": "mine", "file.format": "mine"})])
    for name in ("exif.camera", "file.format"):
        assert not len(catalog.images.ids_matching(tenant, [Condition(name, "eq", "mine")]))


def test_engines_get_what_is_known_of_exif(catalog: Catalog, tenant: int) -> None:
    rows = catalog.changes.since(HASH, 0, 100, attributes=True).upserts
    assert rows.attributes is not None
    by_id = dict(zip(rows.ids.tolist(), rows.attributes, strict=True))
    for record in everything(catalog, tenant):
        assert by_id[record.id] == {**record.attributes, **{f"exif.{name}": v for name, v in record.exif.items()}}


def test_engines_leave_files_to_the_catalog() -> None:
    of_file, of_exif = Condition("file.bytes", "gte", 5), Condition("exif.camera", "eq", "a")
    assert filters_of([of_file, of_exif], "attributes") is None
    assert expression([of_file, of_exif]) is None
    assert filters_of([of_exif], "attributes") is not None
    assert expression([of_exif]) is not None
