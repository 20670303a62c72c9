"""Two nodes, two shards with a replica each: one node is killed under load, and searches and writes continue."""

import threading
import time
from typing import Any

import numpy as np

from lookalike.errors import Unavailable
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.types import FeatureSpec, Rows
from tests.index_contract import random_features
from tests.support.engines.elasticsearch import nodes, raw, url_of

SPEC = FeatureSpec("phash", "hamming", 8, "cluster 1")
BATCH = 300
SEARCHES, WRITES = 30, 4
"""Operations to complete before the kill, and again after it."""
TIMEOUT = 120.0


def batch(number: int) -> Rows:
    """Rows of batch n, of five tenants."""
    ids = np.arange(BATCH) + number * BATCH + 1
    return Rows(ids, random_features(SPEC, np.random.default_rng(number), BATCH), ids % 5 + 1)


class Load:
    """Searches and writes in threads, each recorded with its time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.stop = threading.Event()
        self.searched, self.written = list[float](), list[float]()
        self.failed = list[tuple[float, str]]()
        self.wrong = list[Any]()
        self.threads = [threading.Thread(target=self.search, args=(n,)) for n in range(3)]
        self.threads.append(threading.Thread(target=self.write))

    def wait_for(self, since: float) -> None:
        """Wait until enough operations have completed since then."""
        ends = time.monotonic() + TIMEOUT
        while time.monotonic() < ends:
            if all(sum(at > since for at in t) >= n for t, n in ((self.searched, SEARCHES), (self.written, WRITES))):
                return
            time.sleep(0.05)

    def search(self, seed: int) -> None:
        index = open_index(SPEC, self.url, "cluster")
        rng = np.random.default_rng(seed)
        rows = batch(0)
        while not self.stop.is_set():
            which = int(rng.integers(BATCH))
            try:
                found = index.search(rows.features[which : which + 1], BATCH, tenant=int(rows.tenants[which]))
            except Unavailable as error:
                self.failed.append((time.monotonic(), f"search: {error}"))
                continue
            self.searched.append(time.monotonic())
            if rows.ids[which] not in found.ids:
                self.wrong.append(rows.ids[which])
        index.close()

    def write(self) -> None:
        index = open_index(SPEC, self.url, "cluster")
        number = 1
        while not self.stop.is_set():
            try:
                index.upsert(batch(number))
                index.flush(number)
            except Unavailable as error:
                self.failed.append((time.monotonic(), f"write: {error}"))
                continue
            self.written.append(time.monotonic())
            number += 1
        index.close()


def test_a_node_is_killed_under_load() -> None:
    with nodes(2, heap_mb=384) as (first, second):
        more = f"nodes=127.0.0.1:{second.port}&timeout=20&bulk_timeout=60"
        url = f"{url_of(first)}?name=cluster&shards=2&replicas=1&{more}"
        index = open_index(SPEC, url, "cluster")
        index.upsert(batch(0))
        index.flush(0)
        with raw(url_of(first)) as client:
            assert client.cluster.health(wait_for_status="green", timeout="60s")["number_of_nodes"] == 2
            held = {row["node"] for row in client.cat.shards(index="cluster", format="json")}  # type: ignore[index]
            assert held == {"node-1", "node-2"}
        load = Load(url)
        for thread in load.threads:
            thread.start()
        load.wait_for(time.monotonic())
        second.kill()
        killed = time.monotonic()
        load.wait_for(killed)
        load.stop.set()
        for thread in load.threads:
            thread.join()
        after = [sum(at > killed for at in times) for times in (load.searched, load.written)]
        pause = max(np.diff([killed, *sorted(at for at in load.searched if at > killed)]))
        print(
            f"{len(load.searched)} searches and {len(load.written)} writes, {after[0]} and {after[1]} of them after "
            f"the kill; {len(load.failed)} failed, {len(load.wrong)} wrong; longest pause of searches {pause:.2f} s"
        )
        print("\n".join(f"{at - killed:+.2f} s: {why}" for at, why in load.failed))
        assert load.wrong == []
        assert after[0] >= SEARCHES, "searches go on"
        assert after[1] >= WRITES, "writes go on"
        written = len(load.written)
        assert index.sequence == written
        index.flush(written)
        assert index.count() == (written + 1) * BATCH
        for number in range(0, written + 1, max(1, written // 5)):
            rows = batch(number)
            found = index.search(rows.features[:40], BATCH)
            assert all(id_ in row for id_, row in zip(rows.ids[:40].tolist(), found.ids.tolist(), strict=True))
        index.close()
