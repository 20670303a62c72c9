"""The recall meter against galleries whose index misses what the test says it misses."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import lookalike
from lookalike.catalog import Catalog
from lookalike.factory import open_gallery
from lookalike.gallery import Gallery
from lookalike.gallery.recall_meter import MAX_WAITING, RecallMeter
from lookalike.pipeline import Pipeline, Ranked
from lookalike.types import NO_GUARANTEE, EncodedViews, Item
from tests.support.drawn_images import drawn, encoded

IMAGES = 30


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[Gallery]:
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        for tenant, places in (("other", (0,)), ("default", (1, 2))):
            numbers = [n for n in range(IMAGES) if n % 3 in places]
            gallery.add([Item(f"{n}.png", encoded(drawn(n))) for n in numbers], tenant=tenant)
        gallery.search(encoded(drawn(0)))  # opens the pipeline
        yield gallery


def pipeline_of(gallery: Gallery) -> Pipeline:
    [opened] = gallery._pipelines.now_open()
    return opened.pipeline


def offer(
    meter: RecallMeter, gallery: Gallery, *, tenant: str | None, missing: int = 0, seed: int = 100, k: int = 11
) -> None:
    """Offer a search whose answer lacks its `missing` nearest hits, as an approximate index may return it."""
    pipeline, catalog = pipeline_of(gallery), gallery.catalog
    feature = np.random.default_rng(seed).integers(0, 256, (1, 1, pipeline.spec.width), dtype=np.uint8)
    tenant_id = None if tenant is None else catalog.tenants.find(tenant)
    [exact] = pipeline.search_features(feature, k + missing, tenant=tenant_id)
    found = Ranked(exact.ids[missing:], exact.distances[missing:], NO_GUARANTEE)
    encoded_views = EncodedViews(feature, np.array([True]))
    sequence = catalog.changes.last_sequence()
    meter.offer(pipeline, encoded_views, [found], k, tenant=tenant_id, max_distance=None, sequence=sequence)


@pytest.fixture
def meter(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> Iterator[RecallMeter]:
    """A meter whose thread does nothing; the tests measure by themselves."""
    monkeypatch.setattr(RecallMeter, "_loop", lambda self: None)
    meter = RecallMeter(gallery.catalog, 0.5)
    yield meter
    meter.close()


@pytest.mark.parametrize("tenant", [None, "default", "other"])
def test_a_complete_answer_has_recall_one(gallery: Gallery, meter: RecallMeter, tenant: str | None) -> None:
    for seed in range(5):
        offer(meter, gallery, tenant=tenant, seed=seed)
    meter.measure_waiting()
    [measured] = meter.measurements()
    assert (measured.tenant, measured.pipeline, measured.queries, measured.recall) == (tenant, "phash", 5, 1.0)
    assert 0 < measured.low < 1


def test_missing_neighbours_are_counted_by_tenant(gallery: Gallery, meter: RecallMeter) -> None:
    offer(meter, gallery, tenant="default", missing=0)
    offer(meter, gallery, tenant="other", missing=10)
    meter.measure_waiting()
    recall = {measured.tenant: measured.recall for measured in meter.measurements()}
    assert recall["default"] == 1
    assert recall["other"] <= 0.2  # ties with the tenth hit are interchangeable


def test_later_changes_do_not_count(gallery: Gallery, meter: RecallMeter) -> None:
    offer(meter, gallery, tenant="default")
    keys = [record.key for record in gallery.ls()]
    gallery.remove(keys[:5])
    gallery.put(keys[6], encoded(drawn(777)))  # replaced
    for n in range(40):
        gallery.put(f"new {n}", encoded(drawn(1000 + n)))
    meter.measure_waiting()
    assert [measured.recall for measured in meter.measurements()] == [1.0]


def test_exact_searches_are_not_repeated(gallery: Gallery, tmp_path: Path) -> None:
    with open_gallery(tmp_path / "gallery", serving=True) as served:
        for n in range(5):
            served.search(encoded(drawn(n)))
        assert served._recall_meter is not None
        served._recall_meter.measure_waiting()
        assert served.status().recall == ()


def test_a_deleted_tenant_of_no_image_and_an_empty_catalog_measure_nothing(tmp_path: Path) -> None:
    with Catalog.open(tmp_path / "catalog.sqlite", create=True) as catalog:
        meter = RecallMeter(catalog, 0.1)
        meter.measure_waiting()
        assert meter.measurements() == ()
        meter.close()


def test_of_many_searches_a_bounded_choice_waits(gallery: Gallery, meter: RecallMeter) -> None:
    for seed in range(3 * MAX_WAITING):
        offer(meter, gallery, tenant="default", seed=seed)
    meter.measure_waiting()
    assert [measured.queries for measured in meter.measurements()] == [MAX_WAITING]


def test_the_thread_measures_and_stops(gallery: Gallery) -> None:
    meter = RecallMeter(gallery.catalog, 0.5)
    offer(meter, gallery, tenant="default")
    meter.close()
    assert all(measured.recall == 1.0 for measured in meter.measurements())
