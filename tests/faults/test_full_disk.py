"""Disks that fill up under galleries and servers: clear errors, nothing lost, nothing by halves, and on again."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from scripts.milvus import CannotStart
from sqlalchemy.exc import DBAPIError

from lookalike.catalog import Catalog
from lookalike.config import GallerySettings, from_environment
from lookalike.errors import Unavailable
from lookalike.factory import create_gallery, open_gallery
from lookalike.gallery import Gallery
from lookalike.indexes import circuit_breaker
from lookalike.indexes.milvus import index as milvus_index
from lookalike.interfaces import VectorIndex
from lookalike.types import Attributes, FeatureSpec, Item
from tests.faults.test_postgresql import Server, execute
from tests.support.catalogs import entry
from tests.support.drawn_images import drawn, encoded
from tests.support.engines import postgresql
from tests.support.engines.milvus import new_gallery, own_server
from tests.support.faults.network_namespace import Network
from tests.support.faults.networked_engines import BATCH, Engine
from tests.support.faults.small_disk import Disk, small_disk
from tests.support.faults.timed_calls import Watch, insist
from tests.support.requirements import skip_or_fail
from tests.support.waiting import HANG_SECONDS

CIRCUIT = dict(circuit_breaker.CircuitBreaker.__init__.__kwdefaults__ or {})
FILLINGS = 3
BACK_SECONDS = HANG_SECONDS
"""Within these, everything works again once there is room."""
IMAGES = 12
PAUSE_SECONDS = 0.25
"""Between writes: Milvus ends itself after some seconds, not after some rows, and all that it takes is looked for."""


def image(n: int) -> bytes:
    return encoded(drawn(n % IMAGES, (64, 48)))


def exact(gallery: Gallery) -> set[str]:
    """The keys that are found by the images themselves."""
    answers = [gallery.search(image(n), k=1000, verify=False) for n in range(IMAGES)]
    return {hit.key for answer in answers for hit in answer.hits if hit.evidence == "exact"}


def add_until_full(gallery: Gallery, first: int, taken: set[str]) -> int:
    """Add images one at a time until the disk refuses; gives the number of the first one that was not taken."""
    for n in range(first, first + 5000):
        try:
            taken.update(taken_of(gallery, range(n, n + 1), {"note": "x" * 2000}))
        except Unavailable as error:
            if "no space" in str(error).lower():
                return n
            raise
    raise AssertionError("the disk did not fill")


def taken_of(gallery: Gallery, numbers: range, attributes: Attributes | None = None) -> set[str]:
    """Add these images; gives their keys, for all of them must be taken."""
    outcomes = gallery.add([Item(f"p{n}", image(n), attributes) for n in numbers])
    assert {one.outcome for one in outcomes} <= {"added", "duplicate"}  # there are but a few different images
    return {one.key for one in outcomes}


def test_an_embedded_gallery(tmp_path: Path) -> None:
    """Catalog and snapshots on a disk that fills again and again, between writes and in the middle of saving."""
    taken, gone = set[str](), set[str]()
    with small_disk(12) as disk:
        folder = disk.path / "gallery"
        disk.fill()
        with pytest.raises(Unavailable, match="no space"):
            create_gallery(folder, GallerySettings(("phash",)), from_environment())
        disk.relieve()
        create_gallery(folder, GallerySettings(("phash",)), from_environment())
        number = refused = 0
        for filling in range(FILLINGS):
            with open_gallery(folder) as gallery:
                assert exact(gallery) == taken - gone
                disk.fill(leaving=random.Random(filling).randrange(400_000, 1_500_000) if filling else 0)
                number = add_until_full(gallery, number, taken)
                disk.fill()
                try:  # both may find room in files that are there already
                    gone.update(gallery.remove(sorted(taken - gone)[:1]))
                    gallery.repair()
                except Unavailable:
                    refused += 1
                assert exact(gallery) == taken - gone
                disk.relieve()
                number = add_some(gallery, number, taken)
                gone.update(gallery.remove(sorted(taken - gone)[:2]))
        with open_gallery(folder) as gallery:
            report = gallery.repair()
            holds = exact(gallery)
            rows = gallery.status().pipelines[0].rows
        with Catalog.open(folder / "catalog.sqlite") as catalog:
            catalog.check()
    lost, revived = taken - gone - holds, holds & gone
    print(
        f"embedded gallery: disk full {FILLINGS} times, {len(taken)} images and {len(gone)} deletions acknowledged, "
        f"{len(lost)} lost, {len(revived)} deleted ones found, {rows} rows"
    )
    assert (lost, revived) == (set(), set())
    assert report.rebuilt == {"phash": report.images} == {"phash": rows}
    assert rows == len(taken - gone)
    assert refused


def add_some(gallery: Gallery, first: int, taken: set[str]) -> int:
    """Go on with the image that was refused, and three more."""
    taken.update(taken_of(gallery, range(first, first + 4)))
    return first + 4


@contextmanager
def postgresql_on_small_disk() -> Iterator[tuple[Disk, Server]]:
    """A PostgreSQL that waits for the disk, with all its data on a small one."""
    postgresql.server()  # skips where there is none
    with small_disk(144) as disk, postgresql.cluster(fast=False, parent=disk.path) as (folder, url):
        yield disk, Server(folder, url)
        disk.relieve()


@pytest.fixture(scope="module")
def small_server() -> Iterator[tuple[Disk, Server]]:
    with postgresql_on_small_disk() as made:
        yield made


def test_postgresql_goes_on_by_itself(small_server: tuple[Disk, Server]) -> None:
    """Tables find no room: reading goes on, and so does writing once there is room, without a restart."""
    disk, server = small_server
    with postgresql.database(server.url) as url, Catalog.open(url, create=True) as catalog:
        tenant, acknowledged = catalog.tenants.get_or_create("default"), 0
        first = server.processes()[0].pid
        for filling in range(FILLINGS):
            execute(server.url, "SELECT pg_switch_wal()")  # the next 16 MB of the log are laid out
            catalog.images.put([entry(tenant, f"before {filling}")])
            disk.fill(leaving=2 << 20)
            for batch in range(10_000):
                some = [entry(tenant, f"{filling}-{batch}-{n}", thumbnail=os.urandom(20_000)) for n in range(20)]
                try:
                    catalog.images.put(some)
                except Unavailable as error:
                    if "no space is left" not in str(error):
                        raise
                    break
                acknowledged += len(some)
            assert catalog.images.count() == acknowledged + filling + 1
            disk.relieve()
        catalog.check()
        assert catalog.images.count() == acknowledged + FILLINGS
        assert server.processes()[0].pid == first
    print(f"PostgreSQL: disk full {FILLINGS} times, {acknowledged} images acknowledged: all there, no half batch")


def test_postgresql_whose_log_finds_no_room(small_server: tuple[Disk, Server]) -> None:
    """The server gives itself up; with room, and started again where it ended, it has all that it acknowledged."""
    disk, server = small_server
    with postgresql.database(server.url) as url, Catalog.open(url, create=True) as catalog:
        tenant = catalog.tenants.get_or_create("default")
        catalog.images.put([entry(tenant, f"k{n}") for n in range(50)])
        disk.fill()
        write = "SELECT pg_logical_emit_message(false, 'x', repeat('y', 100000)), pg_switch_wal()"  # to the log alone
        began, failed = time.monotonic(), ""
        while not failed and time.monotonic() < began + BACK_SECONDS:
            try:
                execute(server.url, write)
            except DBAPIError as error:
                failed = str(error.orig).splitlines()[0]
        assert failed, "the log never filled"
        with pytest.raises(Unavailable):
            catalog.images.put([entry(tenant, f"more{n}") for n in range(2000)])
        disk.relieve()
        server.start()
        insist(partial(catalog.images.put, [entry(tenant, "again")]), BACK_SECONDS)
        catalog.check()
        assert {record.key for record in catalog.images.list_page(tenant, limit=1000)} == {
            *(f"k{n}" for n in range(50)),
            "again",
        }
    print(f"PostgreSQL without room for its log ({failed}): 50 acknowledged, all there")


def write_until_refused(engine: Engine, index: VectorIndex, first: int, watch: Watch, pause: float = 0.0) -> int:
    """Write batches until the server refuses; gives the number of the first that was not acknowledged."""
    for number in range(first, first + 2000):
        try:
            watch.run(partial(index.upsert, engine.batch(number)))
        except Unavailable:
            return number
        time.sleep(pause)
    raise AssertionError("nothing was ever refused")


def lost_of(engine: Engine, index: VectorIndex, batches: int) -> int:
    """How many rows of the first batches are not found."""
    found = [insist(partial(engine.found, index, n), BACK_SECONDS) for n in range(batches)]
    return sum(len(set(engine.batch(n).ids.tolist()) - here) for n, here in enumerate(found))


def test_milvus_ends_itself_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes some rows into its memory, then ends; with room, and started again, it has all that it acknowledged."""
    monkeypatch.setattr(circuit_breaker.CircuitBreaker.__init__, "__kwdefaults__", {**CIRCUIT, "reset_timeout": 1.0})
    watch = Watch()
    with ExitStack() as ends:
        disk = ends.enter_context(small_disk(512))  # its etcd and its log take 200 MB at once
        try:
            server = ends.enter_context(own_server(parent=disk.path))
        except CannotStart as problem:
            skip_or_fail(f"no Milvus server: {problem}")
            raise
        spec = FeatureSpec("vector", "cosine", 64, "full 1")
        address = f"{server.url}?index=FLAT&timeout=2&bulk_timeout=4"
        engine = Engine(Network("", ""), address, spec, milvus_index.open_index)
        index = engine.opened(new_gallery())
        index.upsert(engine.batch(0))
        index.flush(1)
        disk.fill()
        refused = write_until_refused(engine, index, 1, watch, PAUSE_SECONDS)
        for act in (partial(engine.found, index, 0), partial(index.flush, 2)):
            with pytest.raises(Unavailable):
                watch.run(act)
        disk.relieve()
        server.stop()
        server.start()
        insist(partial(index.upsert, engine.batch(refused)), BACK_SECONDS)
        insist(partial(index.flush, 2), BACK_SECONDS)
        lost = lost_of(engine, index, refused + 1)
        rows = index.count()
        index.close()
    print(
        f"Milvus on a full disk: {refused * BATCH} rows acknowledged, {lost} lost; calls failed after "
        f"{max(watch.failed):.1f} s at most"
    )
    assert (lost, rows) == (0, (refused + 1) * BATCH)
    assert max(watch.failed) < HANG_SECONDS
