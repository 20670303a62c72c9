"""Engines beyond a network that is cut and mended: calls are bounded, nothing acknowledged is lost, nothing revived.

Packets vanish, as behind a broken cable: no refusal, no reset, and connections that look alive on both sides.
"""

import random
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lookalike.catalog import postgresql
from lookalike.config import GallerySettings, from_environment
from lookalike.errors import Unavailable
from lookalike.factory import create_gallery, open_gallery
from lookalike.gallery import Gallery
from lookalike.indexes import circuit_breaker
from lookalike.interfaces import VectorIndex
from lookalike.types import Answer, Item
from tests.faults.test_network_cut_catalog import impatient
from tests.support.drawn_images import drawn, encoded
from tests.support.engines.milvus import new_gallery
from tests.support.faults import networked_engines
from tests.support.faults.networked_engines import BATCH, Database, Engine
from tests.support.faults.timed_calls import Watch, insist
from tests.support.waiting import HANG_SECONDS, wait_until

CUTS = 2
ENOUGH = 4
"""Batches after which the network is cut, in the middle of further ones."""
READERS = 4
SEARCH_SECONDS, WRITE_SECONDS = 2, 4
"""The options `timeout` and `bulk_timeout` here."""
OPTIONS = f"timeout={SEARCH_SECONDS}&bulk_timeout={WRITE_SECONDS}"
BACK_SECONDS = HANG_SECONDS
"""Within these, everything works again after the mending."""


@pytest.fixture(scope="module")
def beyond_elasticsearch() -> Iterator[Engine]:
    with networked_engines.elasticsearch_beyond(OPTIONS) as engine:
        yield engine


@pytest.fixture(scope="module")
def beyond_milvus() -> Iterator[Engine]:
    with networked_engines.milvus_beyond(OPTIONS) as engine:
        yield engine


@pytest.fixture(scope="module")
def beyond_postgresql() -> Iterator[Database]:
    with networked_engines.postgresql_beyond() as database:
        yield database


@pytest.fixture(params=["beyond_elasticsearch", "beyond_milvus"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Each engine; its circuit rests for a second only."""
    there: Engine = request.getfixturevalue(request.param)
    monkeypatch.setattr(circuit_breaker.CircuitBreaker.__init__, "__kwdefaults__", {**CIRCUIT, "reset_timeout": 1.0})
    yield there
    there.network.mend()


CIRCUIT = dict(circuit_breaker.CircuitBreaker.__init__.__kwdefaults__ or {})


def write_until_cut(engine: Engine, index: VectorIndex, first: int, writes: Watch, flushes: Watch) -> tuple[int, int]:
    """Write batches, delete a tenth of each, flush now and then, until the network is cut while more is written.

    Gives the number of the batch that was not acknowledged whole, and that of the last flush.
    """
    flushed = first
    for number in range(first, first + 2000):
        rows = engine.batch(number)
        try:
            writes.run(partial(index.upsert, rows))
            writes.run(partial(index.delete, rows.ids[::10]))
            if number % 3 == 0:
                flushes.run(partial(index.flush, number))
                flushed = number
        except Unavailable:
            return number, flushed
        if number == first + ENOUGH:
            threading.Timer(random.Random(first).uniform(0.0, 0.2), engine.network.cut).start()
    raise AssertionError("it was never cut")


def refused_at_once(engine: Engine, index: VectorIndex, watch: Watch) -> float:
    """Search until the circuit is open; gives the longest that a call took from then on."""
    for _ in range(circuit_breaker.FAILURE_THRESHOLD):
        try:
            watch.run(partial(engine.found, index, 0))
        except Unavailable as error:
            if "circuit open" in str(error):
                break
    quick = Watch()
    for act in (partial(engine.found, index, 0), index.count, partial(index.upsert, engine.batch(0))):
        with pytest.raises(Unavailable, match="circuit open") as caught:
            quick.run(act)
        assert caught.value.retry_after is not None
    return max(quick.failed)


def test_cut_in_the_middle_of_writes_nothing_acknowledged_is_lost(engine: Engine) -> None:
    index, first = engine.opened(new_gallery()), 0
    acknowledged = lost = revived = 0
    writes, flushes, searches, quick, back = Watch(), Watch(), Watch(), [0.0], [0.0]
    for _ in range(CUTS):
        cut, flushed = write_until_cut(engine, index, first, writes, flushes)
        quick.append(refused_at_once(engine, index, searches))
        engine.network.mend()
        mended = time.monotonic()
        rows = engine.batch(cut)
        insist(partial(index.upsert, rows), BACK_SECONDS)  # what was cut short is replayed
        insist(partial(index.delete, rows.ids[::10]), BACK_SECONDS)
        back.append(time.monotonic() - mended)
        assert flushed <= insist(lambda: index.sequence, BACK_SECONDS) <= cut
        insist(partial(index.flush, cut), BACK_SECONDS)
        for number in range(first, cut + 1):
            ids = engine.batch(number).ids
            here = insist(partial(engine.found, index, number), BACK_SECONDS)
            gone = set(ids[::10].tolist())
            lost += len(set(ids.tolist()) - gone - here)
            revived += len(here & gone)
            acknowledged += BATCH + len(gone)
        first = cut + 1
        assert index.count() == first * BATCH * 9 // 10
    index.close()
    print(
        f"{engine.spec.name}: {CUTS} cuts in {writes.calls} writes, {acknowledged} acknowledged changes, {lost} lost, "
        f"{revived} revived; failed after {max(writes.failed + flushes.failed):.1f} s at most, then at once "
        f"({max(quick) * 1e3:.0f} ms); "
        f"back {max(back):.1f} s after the mending"
    )
    assert max(searches.failed + writes.failed + flushes.failed + quick) < HANG_SECONDS
    assert (lost, revived) == (0, 0)


def test_cut_in_the_middle_of_searches(engine: Engine) -> None:
    """Several threads search all the time: each call is right or Unavailable, in time, and right again afterwards."""
    index = engine.opened(new_gallery())
    index.upsert(engine.batch(0))
    index.flush(1)
    everything = set(engine.batch(0).ids.tolist())
    ended, wrong, watches = threading.Event(), list[object](), [Watch() for _ in range(READERS)]
    right: list[float] = [0.0] * READERS

    def search(place: int) -> None:
        while not ended.is_set():
            began = time.monotonic()
            try:
                found = watches[place].run(partial(engine.found, index, 0, fresh=False))
                right[place] = began
                wrong.extend(everything ^ found)
            except Unavailable:
                ended.wait(0.05)
            except BaseException as error:  # noqa: BLE001 - handed to the test below
                wrong.append(error)
                return

    threads = [threading.Thread(target=search, args=(place,)) for place in range(READERS)]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(watch.calls for watch in watches) > 2 * READERS, "the searches hang")
    before = sum(watch.calls for watch in watches)
    engine.network.cut()
    cut = time.monotonic()
    wait_until(
        lambda: sum(len(watch.failed) for watch in watches) > circuit_breaker.FAILURE_THRESHOLD, "nothing failed"
    )
    assert max(right) <= cut, "a search that began after the cut was answered"
    engine.network.mend()
    mended = time.monotonic()
    wait_until(lambda: min(right) > mended, "the searches did not come back")
    ended.set()
    for thread in threads:
        thread.join()
    failed = [seconds for watch in watches for seconds in watch.failed]
    print(
        f"{engine.spec.name}: {READERS} searching threads, {before} searches before the cut, {len(failed)} failed in "
        f"it, after {max(failed):.1f} s at most; all right again {min(right) - mended:.1f} s after the mending"
    )
    assert wrong == []
    assert max(failed) < HANG_SECONDS
    index.close()


@pytest.fixture
def database(beyond_postgresql: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(postgresql, "GRACE_SECONDS", 1.0)
    with impatient(beyond_postgresql) as url:
        yield url


def image(n: int) -> bytes:
    return encoded(drawn(n, (64, 48)))


def copy(n: int) -> bytes:
    return encoded(drawn(n, (64, 48)), "JPEG", quality=80)


def named(gallery: Gallery, numbers: range) -> set[str]:
    """The keys of the best hits for copies of these images."""
    answers: list[Answer] = [gallery.search(copy(n), k=1) for n in numbers]
    assert not any(answer.failed for answer in answers)
    return {hit.key for answer in answers for hit in answer.hits if hit.evidence == "copy"}


def test_a_gallery_goes_on_whatever_is_cut(
    beyond_elasticsearch: Engine,
    beyond_milvus: Engine,
    beyond_postgresql: Database,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With an engine away images are taken and answers name it; with the catalog away every call says so, in time."""
    monkeypatch.setattr(circuit_breaker.CircuitBreaker.__init__, "__kwdefaults__", {**CIRCUIT, "reset_timeout": 1.0})
    engines = {"phash": beyond_elasticsearch, "vgg16-copy": beyond_milvus}
    made_with = GallerySettings(tuple(engines), {name: e.url for name, e in engines.items()}, catalog=database)
    create_gallery(tmp_path / "gallery", made_with, from_environment())
    watch, taken = Watch(), list[str]()
    with open_gallery(tmp_path / "gallery") as gallery:
        number = 0

        def take() -> None:
            nonlocal number
            number += 1
            outcomes = gallery.add([Item(f"p{n}", image(n)) for n in (2 * number, 2 * number + 1)])
            taken.extend(one.key for one in outcomes if one.outcome == "added")

        take()
        for name, engine in engines.items():
            engine.network.cut()
            began = time.monotonic()
            take()
            gallery.remove([taken[-1]])
            answer = gallery.search(copy(2), k=1)
            assert [hit.key for hit in answer.hits] == ["p2"]
            assert list(answer.failed) == [name]
            assert time.monotonic() - began < HANG_SECONDS
            engine.network.mend()
            insist(partial(in_step, gallery), BACK_SECONDS)
        beyond_postgresql.network.cut()
        for act in (take, partial(gallery.search, copy(2)), gallery.status):
            with pytest.raises(Unavailable):
                watch.run(act)
        beyond_postgresql.network.mend()
        insist(take, BACK_SECONDS)
        report = gallery.repair()
        removed = {taken[3], taken[5]}
        everything = range(2, 2 * number + 2)
        holds = named(gallery, everything)
        rows = [one.rows for one in gallery.status().pipelines]
    lost, revived = set(taken) - removed - holds, holds & removed
    print(
        f"gallery: {len(taken)} images acknowledged over 3 cuts, {len(lost)} lost, {len(revived)} deleted ones "
        f"found, rows {rows}; without its catalog calls failed after {max(watch.failed):.1f} s at most"
    )
    assert (lost, revived) == (set(), set())
    assert report.rebuilt == {"phash": report.images, "vgg16-copy": report.images}
    assert rows == [report.images] * 2
    assert max(watch.failed) < HANG_SECONDS


def in_step(gallery: Gallery) -> None:
    """Bring the indexes up to the catalog; raises Unavailable where that did not succeed."""
    if gallery.sync_indexes() < gallery.status().sequence:
        raise Unavailable("an index is behind")
