"""Capacity planning: the article's arithmetic, what is chosen when, and what is refused."""

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from benchmarks.plan_check import planned
from hypothesis import given
from hypothesis import strategies as st

from lookalike.capacity import measurements
from lookalike.capacity.planner import (
    ENGINES,
    MILVUS_TYPES,
    PHASH,
    VGG16,
    PipelineSpec,
    PlanRequest,
    feature_bytes,
    machines_for,
    make_plan,
)
from lookalike.errors import BadSetting
from lookalike.indexes.elasticsearch.config import read_settings
from lookalike.indexes.milvus.config import BUILD, DEFAULT_EFFORT, FLAT_ROWS, SERVER_INDEXES
from lookalike.indexes.milvus.config import Settings as MilvusSettings

GB = 10**9
SIZES = (1, 1000, 50_000, 10**6, 10**7, 10**8, 10**9, 10**10)


@pytest.mark.parametrize(("images", "size"), [(1, 2048), (10**6, 2 * GB), (10**9, 2000 * GB)])
def test_the_articles_arithmetic(images: int, size: int) -> None:
    assert VGG16.feature_bytes == 512 * 4
    assert images * VGG16.feature_bytes == pytest.approx(size, rel=0.03)


def test_a_scan_holds_the_vectors_and_little_more() -> None:
    [part] = make_plan(PlanRequest(10**6, (VGG16,), {"vgg16": "flat"})).pipelines
    assert 2.048 * GB < part.disk < 2.1 * GB
    assert part.disk < part.memory < 1.1 * part.disk


def test_small_galleries_stay_embedded_and_large_ones_leave() -> None:
    small = make_plan(PlanRequest(50_000))
    assert [part.engine for part in small.pipelines] == ["mih", "hnsw"]
    assert small.catalog.database == "sqlite"
    large = make_plan(PlanRequest(10**9, tenants=10**6))
    assert [part.engine for part in large.pipelines] == ["elasticsearch", "milvus"]
    assert large.catalog.database == "postgresql"
    assert "GB in one process" in large.pipelines[1].why


def test_the_end_of_an_embedded_index_is_where_the_choice_turns() -> None:
    until = {index.pipeline: index.max_images or 0 for index in make_plan(PlanRequest(50_000)).pipelines}
    for place, name, engine in ((0, "phash", "mih"), (1, "vgg16", "hnsw")):
        assert make_plan(PlanRequest(until[name])).pipelines[place].engine == engine
        assert make_plan(PlanRequest(until[name] + 1)).pipelines[place].engine != engine


def test_many_searches_are_a_reason_to_leave_too() -> None:
    part = make_plan(PlanRequest(10**6, searches=10_000)).pipelines[1]
    assert part.engine == "milvus"
    assert "cores busy" in part.why


def test_several_machines_share_servers() -> None:
    plan = make_plan(PlanRequest(10**6, machines=2))
    assert [part.engine for part in plan.pipelines] == ["elasticsearch", "milvus"]
    assert plan.catalog.database == "postgresql"


@pytest.mark.parametrize("engine", ENGINES)
def test_more_images_never_take_less(engine: str) -> None:
    pipeline = PHASH if engine in ("mih", "elasticsearch") else VGG16
    most = 10**9 if engine in ("mih", "hnsw") else 10**10
    plans = [make_plan(PlanRequest(n, (pipeline,), {pipeline.name: engine})) for n in SIZES if n <= most]
    for before, after in pairwise(plans):
        assert before.pipelines[0].memory <= after.pipelines[0].memory or engine == "milvus"
        assert before.pipelines[0].disk < after.pipelines[0].disk
        assert before.catalog.disk < after.catalog.disk


def test_memory_falls_and_the_disk_grows_from_type_to_type() -> None:
    parts = [
        make_plan(PlanRequest(10**8, (VGG16,), {"vgg16": name})).pipelines[0]
        for name in ("HNSW", "FLAT", "IVF_SQ8", "DISKANN")
    ]
    assert all(more.memory > less.memory for more, less in pairwise(parts))
    assert parts[-1].disk == max(part.disk for part in parts)
    assert [part.index_type for part in parts] == ["HNSW", "FLAT", "IVF_SQ8", "DISKANN"]


@given(
    st.integers(1, 10**12),
    st.integers(1, 10**6),
    st.integers(64, 4096),
    st.sampled_from([None, 0, 1, 2]),
    st.sampled_from([4, 16, 64, 512, 4096]),
)
def test_every_plan_is_made_of_sensible_numbers(
    images: int, tenants: int, dimensions: int, replicas: int | None, memory: int
) -> None:
    pipelines = (PHASH, PipelineSpec("own", "cosine", dimensions))
    plan = make_plan(
        PlanRequest(images, pipelines, tenants=min(tenants, images), replicas=replicas, memory=memory * GB)
    )
    for part in plan.pipelines:
        assert 0 < part.disk < math.inf
        assert 0 < part.memory < math.inf
        assert part.machines >= 1
        if part.engine == "milvus":
            assert (MilvusSettings.read(part.url).buckets or 0) <= 1024
    assert plan.days is None, "the speed of a model of one's own was not measured"


@pytest.mark.parametrize("images", [10**9, 10**10])
@pytest.mark.parametrize("tenants", [1, 10, 10**6])
def test_the_addresses_are_understood_by_the_engines(tenants: int, images: int) -> None:
    plan = make_plan(PlanRequest(images, tenants=tenants))
    elastic = read_settings(plan.pipelines[0].url)
    assert elastic.shards == {10**9: 5, 10**10: 50}[images]
    assert elastic.replicas == plan.pipelines[0].copies - 1 == 1
    assert elastic.routing == ("id" if tenants == 1 else "tenant")
    milvus = MilvusSettings.read(plan.pipelines[1].url)
    assert milvus.index == plan.pipelines[1].index_type
    assert milvus.replicas == plan.pipelines[1].copies == 2
    assert (milvus.tenants, milvus.buckets) == (
        "partitions" if tenants == 10 else "key",
        1024 if tenants > 10 else None,
    )


def test_the_settings_are_those_of_the_adapter() -> None:
    assert measurements.MILVUS_SCAN_ROWS == FLAT_ROWS
    assert DEFAULT_EFFORT["IVF_SQ8"] == measurements.IVF_PROBES
    assert BUILD["HNSW"]["M"] == measurements.GRAPH_M
    assert BUILD["IVF_SQ8"]["nlist"] == measurements.IVF_LISTS
    assert set(MILVUS_TYPES) == {"FLAT", *SERVER_INDEXES}


def test_days_shrink_with_machines_and_grow_with_precision() -> None:
    one = make_plan(PlanRequest(10**8, precision="bf16")).days
    ten = make_plan(PlanRequest(10**8, machines=10, precision="bf16")).days
    slow = make_plan(PlanRequest(10**8, precision="fp32")).days
    hashes = make_plan(PlanRequest(10**8, (PHASH,))).days
    assert one is not None
    assert ten is not None
    assert slow is not None
    assert hashes is not None
    assert one == pytest.approx(10 * ten)
    assert slow > 2 * one > 50 * hashes


def test_what_features_take_in_a_catalog_beside_servers_is_noted() -> None:
    large = make_plan(PlanRequest(10**9))
    assert large.catalog.features > 0.7 * large.catalog.disk
    assert "features=engine" in large.notes[0]
    assert "reading the images again" in large.notes[0]


@pytest.mark.parametrize(
    ("request_fields", "remedy"),
    [
        ({"images": 0}, "from 1 to 1,000,000,000,000"),
        ({"images": 10, "tenants": 11}, "tenants: 11 is out of range; from 1 to 10"),
        ({"images": 10**13}, "from 1 to 1,000,000,000,000"),
        ({"images": 10, "replicas": 99}, "replicas: 99 is out of range; from 0 to 10"),
        ({"images": 10, "memory": GB}, "GB of memory: 1 is out of range; from 2"),
        ({"images": 10, "precision": "fp64"}, "one of fp32, bf16, int8"),
        ({"images": 10, "pipelines": ()}, "name one or more pipelines"),
        ({"images": 10, "engines": {"sscd": "flat"}}, "none of the pipelines"),
        ({"images": 10, "engines": {"vgg16": "mih"}}, "choose flat, hnsw, milvus"),
        ({"images": 10, "engines": {"phash": "hnsw"}}, "choose flat, mih, elasticsearch"),
        ({"images": 10, "engines": {"phash": "HNSW"}}, "choose flat, mih, elasticsearch"),
        ({"images": 10, "engines": {"vgg16": "elasticsearch"}}, "choose flat, hnsw, milvus"),
        ({"images": 10, "engines": {"vgg16": "annoy"}}, "no engine is called 'annoy'"),
        ({"images": 10**10, "engines": {"phash": "mih"}}, "at most 4,294,967,296 rows"),
        ({"images": 10**10, "engines": {"vgg16": "hnsw"}}, "choose milvus"),
        ({"images": 10, "engines": {"vgg16": "hnsw"}, "replicas": 1}, "leave out --replicas, or choose milvus"),
    ],
)
def test_impossible_requests_are_refused_with_a_remedy(request_fields: dict[str, object], remedy: str) -> None:
    with pytest.raises(BadSetting, match=remedy):
        make_plan(PlanRequest(**request_fields))  # type: ignore[arg-type]


def test_every_constant_says_where_it_comes_from() -> None:
    names = [name for name in vars(measurements) if name.isupper() and name not in ("MB", "GB", "TB")]
    assert len(names) > 50
    lines = Path(measurements.__file__).read_text().splitlines()
    explained = [match[1] for line in lines if (match := re.match(r"(\w+) = .+  # .+; .+", line))]
    assert explained == names


@pytest.mark.parametrize(
    ("kind", "rows", "held"),
    [
        ("HNSW", 50_000, 197),
        ("HNSW", 100_000, 340),
        ("FLAT", 50_000, 206),
        ("FLAT", 200_000, 601),
        ("IVF_SQ8", 50_000, 83),
        ("IVF_SQ8", 200_000, 242),
    ],
)
def test_milvus_holds_what_was_measured(kind: str, rows: int, held: int) -> None:
    """Megabytes of Milvus 2.3.5 with a loaded collection beyond an empty one (benchmarks/plan_check.py)."""
    assert planned(kind, rows).searching == pytest.approx(held * measurements.MB, rel=0.15)


@pytest.mark.parametrize(
    ("dimensions", "sqlite", "postgresql"),
    [(256, 588, 609), (512, 1369, 1194), (1024, 4106, 2867)],
)
def test_rows_of_vectors_lie_in_pages_as_measured(dimensions: int, sqlite: float, postgresql: float) -> None:
    """Bytes a row with its keys: `dbstat` of SQLite, `pg_relation_size` of PostgreSQL 15."""
    pipeline = PipelineSpec("own", "cosine", dimensions)
    assert feature_bytes("sqlite", pipeline) == pytest.approx(sqlite, rel=0.03)
    assert feature_bytes("postgresql", pipeline) == pytest.approx(postgresql, rel=0.05)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_vectors_in_8_bits_take_half_of_those_at_half_precision(database: str) -> None:
    half, int8 = PipelineSpec("half", "cosine", 256), PipelineSpec("small", "cosine", 512, "int8")
    assert feature_bytes(database, int8) == feature_bytes(database, half)


def test_no_number_of_machines_is_faster_than_the_catalog() -> None:
    plan = make_plan(PlanRequest(10**9, (PHASH,), machines=1000))
    assert plan.rate == measurements.CATALOG_RATE
    assert any("the catalog takes 12,500 images/s at most" in note for note in plan.notes)
    assert plan.core_hours == pytest.approx(10**9 * measurements.READ / 3600)


@pytest.mark.parametrize("hours", [24, 168])
def test_the_machines_for_a_deadline_are_the_fewest(hours: int) -> None:
    request = PlanRequest(10**8, precision="int8")
    machines = machines_for(request, hours * 3600)
    rates = [make_plan(replace(request, machines=n)).rate for n in (machines, machines - 1)]
    assert rates[0] is not None
    assert rates[1] is not None
    assert 10**8 / rates[0] <= hours * 3600 < 10**8 / rates[1]


def test_a_deadline_that_cannot_be_planned_is_refused() -> None:
    with pytest.raises(BadSetting, match="take 23 hours, whatever machines add them"):
        machines_for(PlanRequest(10**9, (PHASH,)), 3600)
    with pytest.raises(BadSetting, match="give a longer --deadline"):
        machines_for(PlanRequest(1, (PHASH,)), 0)
    with pytest.raises(BadSetting, match="the speed of mine in bf16 was not measured"):
        machines_for(PlanRequest(10, (PHASH, PipelineSpec("mine", "cosine", 8))), 3600)
