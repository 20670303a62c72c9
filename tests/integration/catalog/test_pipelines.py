"""The set of pipelines and the ranges of a backfill, in every database; PostgreSQL has concurrent writers."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from lookalike.catalog import Catalog, OtherIndex, PipelinesChanged, StoredIndex
from lookalike.errors import BadInput, Conflict, NotFound
from tests.support.catalogs import HASH, VECTOR, digest, entry, hash_row, vector_row

INITIAL = ("phash", "vgg16")


def states(catalog: Catalog) -> dict[str, str]:
    return {pipeline.name: pipeline.state for pipeline in catalog.pipelines.current().pipelines}


def test_each_change_is_counted_once(catalog: Catalog) -> None:
    pipelines = catalog.pipelines
    assert pipelines.current().pipelines == ()
    assert pipelines.add("new", INITIAL, index_address="flat")
    assert states(catalog) == {"phash": "active", "vgg16": "active", "new": "shadow"}
    assert not pipelines.add("new", INITIAL)
    assert pipelines.promote("new", (), replace=True)
    assert states(catalog) == {"phash": "active", "vgg16": "shadow", "new": "active"}
    assert not pipelines.promote("new", ())
    with pytest.raises(BadInput, match="promote another one first"):
        pipelines.start_drop("new", ())
    assert pipelines.promote("phash", ())
    assert states(catalog) == {"phash": "active", "vgg16": "shadow", "new": "shadow"}
    assert pipelines.start_drop("new", ())
    assert not pipelines.start_drop("new", ())
    pipelines.finish_drop("vgg16")  # not being dropped
    pipelines.finish_drop("new")
    assert states(catalog) == {"phash": "active", "vgg16": "shadow"}
    with pytest.raises(NotFound):
        pipelines.promote("new", ())
    pipelines.set_addresses({"phash": "flat"})
    assert pipelines.current().pipelines[0].index_address == "flat"
    assert pipelines.version() == pipelines.current().version == 5


def test_an_index_is_moved_and_moved_back(catalog: Catalog) -> None:
    pipelines = catalog.pipelines
    assert pipelines.next_generation("phash") == 1
    new = StoredIndex("flat", 1)
    with pytest.raises(Conflict, match="run it again"):
        pipelines.start_index_move("phash", StoredIndex("flat", 7), INITIAL)
    assert pipelines.start_index_move("phash", new, INITIAL)
    assert not pipelines.start_index_move("phash", new, INITIAL)
    first, second = pipelines.current().pipelines
    assert (first.index, first.other, second.other) == (StoredIndex(), OtherIndex("building", new, 0), None)
    assert pipelines.switch_index("phash", INITIAL)
    assert not pipelines.switch_index("phash", INITIAL)
    assert pipelines.current().pipelines[0].index == new
    with pytest.raises(BadInput, match="drop that first"):
        pipelines.start_index_move("phash", StoredIndex("mih", 2), INITIAL)
    assert pipelines.start_index_move("phash", StoredIndex(), INITIAL)  # back
    assert pipelines.switch_index("phash", INITIAL)
    assert pipelines.current().pipelines[0].other == OtherIndex("kept", new, 0)
    pipelines.finish_index_drop("phash")  # not being dropped
    assert pipelines.start_index_drop("phash", INITIAL) == OtherIndex("dropping", new, 0)
    assert pipelines.start_index_drop("phash", INITIAL) == OtherIndex("dropping", new, 0)
    pipelines.finish_index_drop("phash")
    assert (pipelines.start_index_drop("phash", INITIAL), pipelines.next_generation("phash")) == (None, 2)
    assert pipelines.version() == 6


def test_a_batch_with_an_old_set_is_refused_and_leaves_nothing(catalog: Catalog, tenant: int) -> None:
    version = catalog.pipelines.version()
    catalog.images.put([entry(tenant, "a")], pipelines=version)
    catalog.pipelines.add("new", ("phash",))
    before = catalog.changes.last_sequence()
    with pytest.raises(PipelinesChanged):
        catalog.images.put([entry(tenant, "b", 2)], pipelines=version)
    with pytest.raises(PipelinesChanged):
        catalog.features.put(HASH, [1], [digest(0)], [hash_row(5)], pipelines=version)
    assert (catalog.changes.last_sequence(), catalog.images.count()) == (before, 1)
    assert catalog.features.get(HASH, [1]).features[0].tolist() == hash_row(0).tolist()
    catalog.images.put([entry(tenant, "b", 2)], pipelines=version + 1)


def test_writers_and_a_change_at_once_leave_no_image_between(catalog: Catalog, tenant: int) -> None:
    """What is written with the old set is there before the change, and nothing after it."""
    catalog.features.register([HASH, VECTOR])

    def write(writer: int) -> int:
        refused = 0
        for n in range(12):
            version, specs = catalog.pipelines.version(), {HASH: hash_row(n)}
            if version:
                specs[VECTOR] = vector_row(n)
            try:
                catalog.images.put([entry(tenant, f"{writer}/{n}", (writer, n), features=specs)], pipelines=version)
            except PipelinesChanged:
                refused += 1
                specs[VECTOR] = vector_row(n)
                catalog.images.put([entry(tenant, f"{writer}/{n}", (writer, n), features=specs)], pipelines=1)
        return refused

    with ThreadPoolExecutor(3) as threads:
        writers = [threads.submit(write, n) for n in range(2)]
        change = threads.submit(lambda: (catalog.pipelines.add("new", ("phash",)), catalog.changes.last_sequence())[1])
        assert all(writer.result() <= 1 for writer in writers)
        sequence = change.result()
    assert all(record.sequence <= sequence for record in catalog.features.missing(VECTOR))
    assert catalog.images.count() == 24


def test_ranges_are_claimed_once_and_taken_over(catalog: Catalog, tenant: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.catalog.backfills.RANGE_IDS", 2)
    catalog.images.put([entry(tenant, str(n), n) for n in range(5)])
    backfills = catalog.backfills
    backfills.start("new")
    first, second = backfills.claim("new", "a"), backfills.claim("new", "b")
    assert first is not None
    assert second is not None
    assert first.last < second.first
    assert backfills.renew("new", "a", first)
    assert not backfills.renew("new", "b", first)
    backfills.release("new", "a")
    assert backfills.claim("new", "b") == first
    assert not backfills.renew("new", "a", first)
    backfills.finish("new", "a", first)  # another worker has it
    assert backfills.claimed("new") == 2
    while (claimed := backfills.claim("new", "b")) is not None:
        backfills.finish("new", "b", claimed)
    backfills.finish("new", "b", first)
    backfills.finish("new", "b", second)
    assert backfills.claimed("new") == 0
    backfills.start("new")
    assert backfills.claim("new", "c") == first


def test_failures_leave_with_their_images(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, str(n), n, features={HASH: hash_row(n)}) for n in range(4)])
    ids = {record.key: record.id for record in catalog.images.list_page(tenant)}
    backfills = catalog.backfills
    failed = [(ids["0"], digest(0), "gone", "x"), (ids["1"], digest(1), "unreadable", "y"), (99, digest(9), "gone", "")]
    backfills.fail("new", [*failed, (ids["2"], b"another digest", "gone", "z")])  # type: ignore[list-item]
    found = backfills.missing("new", VECTOR)
    assert (found.images, found.failures, found.to_do) == (4, 2, 2)
    assert found.failed == {"gone": {"JPEG": 1}, "unreadable": {"JPEG": 1}}
    assert [r.key for r in catalog.features.missing(VECTOR, not_failed="new")] == ["2", "3"]
    assert [r.key for r in catalog.features.missing(VECTOR, not_failed="other", through_id=ids["1"])] == ["0", "1"]
    catalog.images.delete(tenant, ["0"])
    catalog.features.put(VECTOR, [ids["1"]], [digest(1)], [vector_row(1)])
    assert backfills.missing("new", VECTOR).failed == {}
    backfills.start("new", retry=True)
    assert backfills.missing("new", VECTOR).to_do == 2


def test_cleared_features_are_gone_and_may_come_again(catalog: Catalog, tenant: int) -> None:
    catalog.images.put([entry(tenant, "a", 1)])
    catalog.features.clear(VECTOR)
    assert [record.key for record in catalog.features.missing(VECTOR)] == ["a"]
    assert catalog.features.missing(HASH) == []
    [id_] = catalog.images.ids_matching(tenant, ()).tolist()
    assert catalog.features.put(VECTOR, [id_], [digest(1)], [vector_row(1)]) == [id_]
    assert catalog.features.missing(VECTOR) == []
