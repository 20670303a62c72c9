"""An Elasticsearch whose disk fills up: by its own watermarks, and to the last byte in the middle of a write."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from scripts.elasticsearch import Node

from lookalike.config import GallerySettings, from_environment
from lookalike.errors import Unavailable
from lookalike.factory import create_gallery, open_gallery
from lookalike.gallery import Gallery
from lookalike.indexes import circuit_breaker
from lookalike.indexes.elasticsearch import index as elasticsearch_index
from lookalike.interfaces import VectorIndex
from lookalike.types import FeatureSpec
from tests.faults.test_full_disk import (
    BACK_SECONDS,
    CIRCUIT,
    add_some,
    add_until_full,
    exact,
    lost_of,
    postgresql_on_small_disk,
    write_until_refused,
)
from tests.support.engines import elasticsearch, postgresql
from tests.support.faults.network_namespace import Network
from tests.support.faults.networked_engines import BATCH, Engine
from tests.support.faults.small_disk import Disk, small_disk
from tests.support.faults.timed_calls import Watch, insist
from tests.support.waiting import HANG_SECONDS

SEARCH_SECONDS, WRITE_SECONDS = 3, 4
"""The options `timeout` and `bulk_timeout` here."""
WATERMARK = "cluster.routing.allocation.disk"
FLOOD_MB = 8


@pytest.fixture(scope="module")
def disk() -> Iterator[Disk]:
    with small_disk(128) as made:
        yield made


@pytest.fixture(scope="module")
def node(disk: Disk) -> Iterator[Node]:
    """A server on the small disk, which looks every ten seconds (its least) how full it is."""
    marks = {"low": 3 * FLOOD_MB, "high": 2 * FLOOD_MB, "flood_stage": FLOOD_MB}
    settings = {
        "path.data": str(disk.path / "elasticsearch"),
        "cluster.info.update.interval": "10s",
        f"{WATERMARK}.threshold_enabled": "true",
        **{f"{WATERMARK}.watermark.{name}": f"{mb}mb" for name, mb in marks.items()},
    }
    with elasticsearch.nodes(settings=settings, heap_mb=384) as [started]:
        yield started


@pytest.fixture
def engine(node: Node, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The server, with a circuit that rests for a second only."""
    monkeypatch.setattr(circuit_breaker.CircuitBreaker.__init__, "__kwdefaults__", {**CIRCUIT, "reset_timeout": 1.0})
    url = f"{elasticsearch.url_of(node)}?replicas=0&timeout={SEARCH_SECONDS}&bulk_timeout={WRITE_SECONDS}"
    yield Engine(Network("", ""), url, FeatureSpec("phash", "hamming", 8, "full 1"), elasticsearch_index.open_index)
    disk.relieve()


def test_elasticsearch_above_its_flood_mark(engine: Engine, disk: Disk) -> None:
    """The server blocks writing by itself, searches go on; with room, it takes the block away by itself."""
    index, watch = engine.opened("flood"), Watch()
    index.upsert(engine.batch(0))
    index.flush(1)
    disk.fill(leaving=(FLOOD_MB - 2) << 20)
    refused = write_until_refused(engine, index, 1, watch, pause=1.0)
    with pytest.raises(Unavailable, match="flood-stage"):
        index.upsert(engine.batch(refused))
    assert lost_of(engine, index, 1) == 0
    assert index.sequence == 1
    back = on_again(engine, index, disk, refused)
    whole_again("above its flood mark", engine, index, refused, watch, back)


def test_elasticsearch_without_a_byte_left(engine: Engine, disk: Disk) -> None:
    """Writes themselves find no room, in the middle of a batch."""
    with elasticsearch.raw(engine.url) as client:
        client.cluster.put_settings(transient={f"{WATERMARK}.threshold_enabled": False})
        index, watch = engine.opened("bytes"), Watch()
        index.upsert(engine.batch(0))
        index.flush(1)
        disk.fill(leaving=200_000)
        refused = write_until_refused(engine, index, 1, watch)
        disk.fill()
        for act in (partial(index.upsert, engine.batch(refused)), partial(index.flush, 2)):
            with pytest.raises(Unavailable):
                watch.run(act)
        back = on_again(engine, index, disk, refused)
        client.cluster.put_settings(transient={f"{WATERMARK}.threshold_enabled": None})
    whole_again("without a byte left", engine, index, refused, watch, back)


def test_a_gallery_whose_engines_share_a_full_disk(engine: Engine, disk: Disk, tmp_path: Path) -> None:
    """The index's disk is full: images are taken. The catalog's disk is full: they are refused, searches go on."""
    taken, gone = set[str](), set[str]()
    with ExitStack() as ends:
        catalog_disk, server = ends.enter_context(postgresql_on_small_disk())
        catalog = ends.enter_context(postgresql.database(server.url))
        ends.callback(catalog_disk.relieve)
        made_with = GallerySettings(("phash",), {"phash": f"{engine.url}&mode=exact"}, catalog=catalog)
        create_gallery(tmp_path / "gallery", made_with, from_environment())
        gallery = ends.enter_context(open_gallery(tmp_path / "gallery"))
        number = add_some(gallery, 0, taken)
        disk.fill()
        number = add_some(gallery, number, taken)
        gone.update(gallery.remove(["p0", "p5"]))
        disk.relieve()
        insist(partial(in_step, gallery), BACK_SECONDS)
        assert exact(gallery) == taken - gone
        catalog_disk.fill()
        number = add_until_full(gallery, number, taken)
        assert exact(gallery) == taken - gone
        catalog_disk.relieve()
        add_some(gallery, number, taken)
        gone.update(gallery.remove(["p1"]))
        report = gallery.repair()
        holds, rows = exact(gallery), gallery.status().pipelines[0].rows
    lost, revived = taken - gone - holds, holds & gone
    print(
        f"gallery: index's and catalog's disk full, {len(taken)} images and {len(gone)} deletions acknowledged, "
        f"{len(lost)} lost, {len(revived)} deleted ones found, {rows} rows"
    )
    assert (lost, revived) == (set(), set())
    assert report.rebuilt == {"phash": report.images} == {"phash": rows}


def on_again(engine: Engine, index: VectorIndex, disk: Disk, refused: int) -> float:
    """Make room and write the batch that was refused; seconds until the server took it."""
    disk.relieve()
    began = time.monotonic()
    insist(partial(index.upsert, engine.batch(refused)), BACK_SECONDS)
    back = time.monotonic() - began
    index.flush(2)
    return back


def whole_again(when: str, engine: Engine, index: VectorIndex, refused: int, watch: Watch, back: float) -> None:
    """Fail unless every acknowledged row is there, and nothing waited for longer than it may."""
    lost = lost_of(engine, index, refused + 1)
    print(
        f"Elasticsearch {when}: {refused * BATCH} rows acknowledged, {lost} lost; calls failed after "
        f"{max(watch.failed):.1f} s at most; on again by itself {back:.1f} s after there was room"
    )
    assert (lost, index.count(), index.sequence) == (0, (refused + 1) * BATCH, 2)
    assert max(watch.failed) < HANG_SECONDS
    index.close()


def in_step(gallery: Gallery) -> None:
    """Bring the index up to the catalog; raises Unavailable where that did not succeed."""
    if gallery.sync_indexes() < gallery.status().sequence:
        raise Unavailable("the index is behind")
