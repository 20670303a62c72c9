"""Milvus killed, frozen or unreachable: our errors, within the timeout, and nothing acknowledged is lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import numpy as np
import pytest
from scripts.milvus import MilvusServer

from lookalike.errors import BadSetting, Unavailable
from lookalike.indexes.circuit_breaker import FAILURE_THRESHOLD, RESET_TIMEOUT
from lookalike.indexes.milvus.client import probe
from lookalike.indexes.milvus.index import MilvusIndex, open_index
from tests.support.engines.milvus import new_gallery, server_of_its_own
from tests.support.engines.milvus_rows import SPEC, rows
from tests.support.waiting import HANG_SECONDS

RECOVERY = 120.0
"""Seconds within which a restarted server must respond."""
BATCHES, SIZE = 40, 100
Answer = TypeVar("Answer")


@pytest.fixture(scope="module")
def started() -> Iterator[MilvusServer]:
    with server_of_its_own() as server:
        yield server


@pytest.fixture
def server(started: MilvusServer) -> MilvusServer:
    """The module's server, running: one that was frozen for longer than its lease exits."""
    if not started.healthy():
        started.stop()
        started.start()
    return started


def retry(act: Callable[[], Answer]) -> tuple[Answer, int]:
    """Retry while Milvus is unavailable, as index sync does; returns the result and the number of failures."""
    end, failures = time.monotonic() + RECOVERY, 0
    while True:
        try:
            return act(), failures
        except Unavailable:
            failures += 1
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def kill_and_restart(server: MilvusServer) -> None:
    server.send(signal.SIGKILL)
    server.start(wait=False)


@pytest.mark.slow
def test_kills_during_writes_lose_nothing_acknowledged(
    server: MilvusServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed between batches, and again right after a flush and an alias swap."""
    url, gallery = f"{server.url}?timeout=3&index=FLAT", new_gallery()
    index, moved = open_index(SPEC, url, gallery), open_index(SPEC, url, f"{gallery}m")
    killer = threading.Thread(target=kill_and_restart, args=[server])
    living, failures = set[int](), 0
    start = time.monotonic()
    for batch in range(BATCHES):
        if batch == BATCHES // 8:
            killer.start()
        ids = np.arange(batch * SIZE, (batch + 1) * SIZE) + 1
        failures += retry(partial(index.upsert, rows(ids)))[1]
        failures += retry(partial(index.delete, ids[:10]))[1]
        living |= set(ids[10:].tolist())
    killer.join()
    failures += retry(partial(index.flush, BATCHES))[1]
    took = time.monotonic() - start
    with moved.rebuilding() as filling:
        filling.upsert(rows([7]))
        filling.flush(77)
    kill_and_restart(server)
    sequence, again = retry(lambda: index.sequence)
    assert sequence == BATCHES
    assert retry(lambda: moved.sequence)[0] == 77
    lost, revived = compare(index, living)
    with capsys.disabled():
        print(
            f"\nMilvus killed twice around {BATCHES} batches: {failures} requests failed in {took:.0f} s, "
            f"then {again}; acknowledged and lost {lost} of {len(living)}, deleted and found {revived}"
        )
    assert failures > 0
    assert (lost, revived) == (0, 0)
    assert compare(moved, {7}) == (0, 0)
    index.close()
    moved.close()


def compare(index: MilvusIndex, living: set[int]) -> tuple[int, int]:
    """Number of missing rows, and of deleted rows that are back."""
    found, _ = retry(lambda: index.search(rows([1]).features, BATCHES * SIZE, fresh=True))
    stored = set(found.ids[0][found.ids[0] > 0].tolist())
    return len(living - stored), len(stored - living)


def test_circuit_breaker_with_a_frozen_server(server: MilvusServer) -> None:
    # A server that was restarted by the test before loads nothing until the lease of its former query node ends.
    index, _ = retry(lambda: open_index(SPEC, f"{server.url}?timeout=1&index=FLAT", new_gallery()))
    index.upsert(rows([1, 2, 3]))
    index.flush(1)
    query = rows([2]).features
    server.send(signal.SIGSTOP)
    try:
        for _ in range(FAILURE_THRESHOLD):
            start = time.monotonic()
            with pytest.raises(Unavailable):
                index.search(query, 1)
            assert time.monotonic() - start < HANG_SECONDS
        for act in (lambda: index.search(query, 1), lambda: index.count(), lambda: index.flush(2)):
            start = time.monotonic()
            with pytest.raises(Unavailable, match="circuit open") as caught:
                act()
            assert time.monotonic() - start < HANG_SECONDS
            assert caught.value.retry_after is not None
            assert 0 < caught.value.retry_after <= RESET_TIMEOUT
    finally:
        server.send(signal.SIGCONT)
    found, _ = retry(lambda: index.search(query, 1, fresh=True))
    assert found.ids.tolist() == [[2]]
    assert index.sequence == 1
    index.close()


def test_connection_refused() -> None:
    for url in ("milvus://127.0.0.1:1?timeout=2", "milvus://nowhere.invalid:19530?timeout=2"):
        for act in (lambda url=url: probe(url), lambda url=url: open_index(SPEC, url, "gallery")):
            start = time.monotonic()
            with pytest.raises(Unavailable, match="milvus://"):
                act()
            assert time.monotonic() - start < HANG_SECONDS


def test_wrong_credentials_are_reported_without_the_password() -> None:
    with server_of_its_own(password=True) as server:
        at = f"127.0.0.1:{server.port}"
        for user in ("", "root:wrong-secret@", "nobody:wrong-secret@"):
            with pytest.raises(BadSetting, match="user, password or token") as caught:
                open_index(SPEC, f"milvus://{user}{at}", "gallery")
            assert "secret" not in str(caught.value)
        for url in (f"milvus://root:Milvus@{at}", f"milvus://{at}?token=root%3AMilvus"):
            assert probe(url)["version"].startswith("v2.3.5")
        index = open_index(SPEC, f"milvus://root:Milvus@{at}", "gallery")
        assert "password" not in repr(index._manager.settings)
        index.close()
        with pytest.raises(BadSetting, match="no database"):
            open_index(SPEC, f"milvus://root:Milvus@{at}/nowhere", "gallery")
