"""Elasticsearch killed, frozen, overloaded and out of disk space: nothing acknowledged is lost, and no call hangs.

Whole galleries while it is killed: test_engine_unavailable.py.
"""

import random
import signal
import threading
import time

import numpy as np
import pytest
from scripts.elasticsearch import Node, free_port

from lookalike.errors import Unavailable
from lookalike.indexes import circuit_breaker
from lookalike.indexes.elasticsearch.client import probe
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.interfaces import VectorIndex
from lookalike.types import FeatureSpec, Rows
from tests.index_contract import random_features
from tests.support.engines.elasticsearch import raw, url_of
from tests.support.faults.rounds import ROUNDS
from tests.support.faults.timed_calls import insist
from tests.support.waiting import HANG_SECONDS

SPEC = FeatureSpec("phash", "hamming", 8, "faults 1")
BATCH = 400
BATCHES_BEFORE_KILL = 7
"""Batches after which the server is killed, while more are written."""
TIMEOUT = 2
"""The option `timeout`, in seconds."""
OVERLOAD_SECONDS = 120.0
"""Seconds for eight writers to find the queue full."""


def opened(node: Node, name: str) -> VectorIndex:
    return open_index(SPEC, f"{url_of(node)}?name={name}&timeout={TIMEOUT}&bulk_timeout=40&replicas=0", "faults")


def batch(number: int) -> Rows:
    """Rows of batch n, with ids from n * BATCH + 1."""
    ids = np.arange(BATCH) + number * BATCH + 1
    return Rows(ids, random_features(SPEC, np.random.default_rng(number), BATCH), np.ones(BATCH, np.int64))


def write_until_killed(index: VectorIndex, first: int, node: Node) -> tuple[list[int], int, int]:
    """Write batches, delete a tenth of each, flush now and then, until the server is killed while more is written.

    Gives the batches that were acknowledged whole, the sequence number of the last flush, and of the last one tried.
    """
    done, flushed, tried = list[int](), -1, -1
    for number in range(first, first + 100_000):
        try:
            index.upsert(batch(number))
            index.delete(batch(number).ids[::10])
            done.append(number)
            if number % 3 == 0:
                tried = number
                index.flush(number)
                flushed = number
            if len(done) == BATCHES_BEFORE_KILL:
                threading.Timer(random.Random(first).uniform(0.0, 0.2), node.kill).start()
        except Unavailable:
            return done, flushed, tried
    raise AssertionError("it was never killed")


def test_kills_lose_nothing_acknowledged(node: Node) -> None:
    index = opened(node, "kills")
    acknowledged = lost = revived = first = 0
    flushed = 0
    for _ in range(ROUNDS):
        done, now_flushed, tried = write_until_killed(index, first, node)
        started = time.monotonic()
        with pytest.raises(Unavailable):
            index.search(batch(0).features[:1], 1)
        assert time.monotonic() - started < HANG_SECONDS
        index.close()
        node.start()
        index = opened(node, "kills")
        flushed = max(flushed, now_flushed)
        assert flushed <= index.sequence <= max(flushed, tried)
        index.flush(index.sequence)
        for number in done:
            rows = batch(number)
            deleted = rows.ids[::10]
            kept = np.setdiff1d(rows.ids, deleted)
            found = index.search(rows.features, 50)
            here = {int(id_) for id_ in found.ids.ravel() if id_ > 0}
            lost += len(set(kept.tolist()) - here)
            revived += len(set(deleted.tolist()) & here)
            acknowledged += BATCH + len(deleted)
        first = done[-1] + 1
        index.upsert(batch(first))  # what was cut short is replayed
        index.delete(batch(first).ids[::10])
        first += 1
        assert index.count() == first * BATCH * 9 // 10
    index.close()
    print(f"{ROUNDS} kills, {acknowledged} acknowledged changes, {lost} lost, {revived} revived")
    assert acknowledged > ROUNDS * BATCH
    assert (lost, revived) == (0, 0)


def test_a_frozen_server_times_out_and_recovers(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_breaker.CircuitBreaker.__init__, "__kwdefaults__", {**CIRCUIT, "reset_timeout": 1.0})
    index = opened(node, "frozen")
    index.upsert(batch(0))
    index.flush(1)
    query = batch(0).features[:1]
    node.freeze()
    try:
        slow, quick = list[float](), list[float]()
        for turn in range(circuit_breaker.FAILURE_THRESHOLD + 5):
            started = time.monotonic()
            with pytest.raises(
                Unavailable, match="did not answer" if turn < circuit_breaker.FAILURE_THRESHOLD else "circuit open"
            ) as caught:
                index.search(query, 1)
            (slow if turn < circuit_breaker.FAILURE_THRESHOLD else quick).append(time.monotonic() - started)
            assert caught.value.retry_after is not None
        assert max(slow + quick) < HANG_SECONDS
    finally:
        node.thaw()
    assert insist(lambda: index.search(query, 1), HANG_SECONDS).distances[0, 0] == 0
    insist(lambda: index.flush(2), HANG_SECONDS)
    assert index.sequence == 2
    print(
        f"frozen: given up after {max(slow):.2f} s, {circuit_breaker.FAILURE_THRESHOLD} times, "
        f"then at once ({max(quick) * 1e3:.1f} ms)"
    )
    index.close()


CIRCUIT = dict(circuit_breaker.CircuitBreaker.__init__.__kwdefaults__ or {})


def test_connection_refused() -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable, match="cannot be reached"):
        open_index(SPEC, f"elasticsearch://127.0.0.1:{free_port()}", "faults")
    with pytest.raises(Unavailable, match="cannot be reached"):
        probe(f"elasticsearch://127.0.0.1:{free_port()}")
    assert time.monotonic() - started < HANG_SECONDS


def test_writes_to_an_overloaded_server_are_retried(node: Node) -> None:
    """Eight writers at one thread and a queue of one: whatever is rejected, everything is written."""
    opened(node, "busy").close()
    indexes = [opened(node, "busy") for _ in range(8)]
    problems = list[BaseException]()
    refused, until = 0, time.monotonic() + OVERLOAD_SECONDS

    def write(number: int) -> None:
        turn = 0
        try:
            while turn < 3 or (refused == 0 and time.monotonic() < until):  # a fast server refuses none at first
                indexes[number].upsert(batch(number * 3 + turn % 3))
                turn += 1
        except BaseException as error:  # noqa: BLE001 - handed to the test below
            problems.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    with raw(url_of(node)) as client:
        running = True
        while running:
            running = any(writer.is_alive() for writer in writers)
            stats = client.nodes.stats(metric="thread_pool")["nodes"]
            refused = sum(each["thread_pool"]["write"]["rejected"] for each in stats.values())
            time.sleep(0.1)
    assert problems == []
    indexes[0].flush(1)
    assert indexes[0].count() == 24 * BATCH
    print(f"{refused} bulk requests refused by the server, {24 * BATCH} rows written")
    assert refused > 0, "eight writers went on until the queue of one was full"
    for index in indexes:
        index.close()


def test_a_full_disk_is_unavailable_until_space_is_freed(node: Node) -> None:
    """The block that the server sets on an index when its disk is full; searches continue."""
    index = opened(node, "full")
    index.upsert(batch(0))
    index.flush(1)
    with raw(url_of(node)) as client:
        client.indices.put_settings(index="full", settings={"index.blocks.read_only_allow_delete": True})
        with pytest.raises(Unavailable, match=r"read-only|block"):
            index.upsert(batch(1))
        assert index.sequence == 1
        assert index.search(batch(0).features[:1], 1).distances[0, 0] == 0
        client.indices.put_settings(index="full", settings={"index.blocks.read_only_allow_delete": None})
    index.upsert(batch(1))
    index.flush(2)
    assert (index.count(), index.sequence) == (2 * BATCH, 2)
    index.close()


def test_signals_reach_the_server_itself(node: Node) -> None:
    """Otherwise the tests above would prove nothing: a frozen server does not respond at all."""
    node.signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            probe(f"{url_of(node)}?timeout=1")
    finally:
        node.signal(signal.SIGCONT)
    assert insist(lambda: probe(f"{url_of(node)}?timeout=20"), HANG_SECONDS)["nodes"] == 1
