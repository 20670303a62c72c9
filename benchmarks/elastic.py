"""Elasticsearch adapter overhead, compared with the official client used directly, in one run.

    python -m benchmarks.elastic [--sizes 1e4 1e5 1e6] [--queries 500] [--seconds 10] [--url elasticsearch://HOST:PORT]

The raw side is the official client with the same documents (its `helpers.bulk`) and the same query, one segment a
keyword, hits parsed and ranked with numpy: what one would write by hand. `bulk` is rows a second. Searches ask one
query at a time, at 1 and at 16 threads, taking turns. A server is started unless `--url` names one.

What the published rule finds is drawn by `benchmarks.elastic_plot`; `benchmarks.elastic_costs` fits the constants of
`lookalike.indexes.elasticsearch.segments`.
"""

import argparse
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from elasticsearch import Elasticsearch, helpers
from numpy.typing import NDArray
from scripts.elasticsearch import running

from benchmarks.machine import describe, write_rows
from benchmarks.mih import planted, skewed, uniform
from lookalike.indexes.elasticsearch.index import open_index
from lookalike.types import FeatureSpec, Rows

SPEC = FeatureSpec("phash", "hamming", 8, "benchmark")
K, M = 10, 5
BATCH = 10_000
PAGE = 10_000
"""Maximum hits of one request; where there are more, the raw side misses the rest, and ours requests more pages."""
Bits = NDArray[np.uint8]
Search = Callable[[Bits], Any]


class Raw:
    """The published system as one would write it with the client alone."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.client = Elasticsearch(f"http://{urlsplit(url).netloc}", request_timeout=60, connections_per_node=32)
        properties: dict[str, Any] = {f"s{place}": {"type": "keyword", "doc_values": False} for place in range(8)}
        properties |= {"tenant": {"type": "keyword"}, "hash": {"type": "long", "index": False}}
        self.client.indices.create(
            index=name, settings={"number_of_replicas": 0}, mappings={"dynamic": "strict", "properties": properties}
        )

    def write(self, ids: NDArray[np.int64], codes: Bits) -> None:
        def actions() -> Iterator[dict[str, Any]]:
            for id_, code in zip(ids.tolist(), codes, strict=True):
                segments = {f"s{place}": f"{byte:02x}" for place, byte in enumerate(code.tolist())}
                source = {"tenant": "1", "hash": int.from_bytes(code.tobytes(), "little", signed=True), **segments}
                yield {"_index": self.name, "_id": str(id_), "_routing": "1", "_source": source}

        helpers.bulk(self.client, actions(), chunk_size=2500)

    def search(self, code: Bits) -> Any:
        should = [{"term": {f"s{place}": f"{byte:02x}"}} for place, byte in enumerate(code[0].tolist())]
        rule = {"bool": {"should": should, "minimum_should_match": M}}
        answer = self.client.search(
            index=self.name,
            query={"bool": {"filter": [{"term": {"tenant": "1"}}, rule]}},
            size=PAGE,
            source=False,
            docvalue_fields=["hash"],
            track_total_hits=False,
            routing="1",
        )
        hits = answer["hits"]["hits"]
        ids = np.array([int(hit["_id"]) for hit in hits], np.int64)
        stored = np.array([hit["fields"]["hash"][0] for hit in hits], np.int64).view(np.uint64)
        bits = np.bitwise_count(stored ^ code.view(np.uint64)[0, 0])
        order = np.lexsort((ids, bits))[:K]
        return ids[order], bits[order], len(hits)


def compare(url: str, count: int, queries: int, seconds: float, kind: str) -> list[dict[str, Any]]:
    """One gallery, both sides: a row each."""
    rng = np.random.default_rng(1)
    codes = {"uniform": uniform, "skewed": skewed}[kind](rng, count)
    query_codes = planted(rng, codes, queries)
    ids = np.arange(1, count + 1)
    stamp = f"bench-{time.time_ns():x}"
    raw = Raw(url, f"{stamp}-raw")
    ours = open_index(SPEC, f"{url}?m={M}&replicas=0&name={stamp}-ours", "benchmark")
    took = {"raw": 0.0, "ours": 0.0}
    try:
        for start in range(0, count, BATCH):
            part = slice(start, start + BATCH)
            ones = np.ones(len(ids[part]), np.int64)
            writers: list[tuple[str, Callable[[], Any]]] = [
                ("raw", lambda part=part: raw.write(ids[part], codes[part])),
                ("ours", lambda part=part, ones=ones: ours.upsert(Rows(ids[part], codes[part], ones))),
            ]
            for name, write in writers[:: 1 if start // BATCH % 2 else -1]:
                started = time.perf_counter()
                write()
                took[name] += time.perf_counter() - started
        raw.client.indices.refresh(index=raw.name)
        ours.flush(1)
        raw.client.indices.forcemerge(index=f"{stamp}-*", max_num_segments=5)
        sides: dict[str, Search] = {
            "raw": raw.search,
            "ours": lambda code: ours.search(code, K, tenant=1, max_distance=None),
        }
        pairs = [(raw.search(code[None]), ours.search(code[None], K, tenant=1)) for code in query_codes[:50]]
        assert all(agree(*pair) for pair in pairs if pair[0][2] < PAGE), "both sides find the same"
        rows = [{"side": name, "codes": kind, "count": count, "bulk": round(count / took[name])} for name in sides]
        for clients in (1, 16):
            for row, measured in zip(rows, load(sides, query_codes, clients, seconds), strict=True):
                row |= {f"{key}_{clients}": value for key, value in measured.items()}
        return rows
    finally:
        raw.client.indices.delete(index=f"{raw.name},{stamp}-ours-000001", ignore_unavailable=True)
        ours.close()
        raw.client.close()


def agree(raw: Any, found: Any) -> bool:
    """Whether both give the same ids in the same order."""
    ids = found.ids[0][found.ids[0] >= 0]
    return bool(np.array_equal(raw[0], ids))


def load(sides: dict[str, Search], query_codes: Bits, clients: int, seconds: float) -> list[dict[str, float]]:
    """Both sides in turns of a second: milliseconds and queries a second of each."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    spent = dict.fromkeys(sides, 0.0)
    for search in sides.values():
        turn(search, query_codes, clients, 1.0, [])
    for number in range(2 * max(1, round(seconds))):
        name = list(sides)[number % 2]
        spent[name] += turn(sides[name], query_codes, clients, 1.0, times[name])
    return [
        {
            "p50_ms": round(float(np.percentile(times[name], 50)) * 1e3, 2),
            "p99_ms": round(float(np.percentile(times[name], 99)) * 1e3, 2),
            "qps": round(len(times[name]) / spent[name], 1),
        }
        for name in sides
    ]


def turn(search: Search, query_codes: Bits, clients: int, seconds: float, times: list[float]) -> float:
    """So many threads search for a while; adds the seconds of each search, gives those of all."""

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while time.perf_counter() < ends:
            one = int(rng.integers(len(query_codes)))
            before = time.perf_counter()
            search(query_codes[one : one + 1])
            times.append(time.perf_counter() - before)

    started = time.perf_counter()
    ends = started + seconds
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e5, 1e6])
    parser.add_argument("--kinds", nargs="+", default=["uniform", "skewed"], choices=["uniform", "skewed"])
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--heap-mb", type=int, default=1024)
    parser.add_argument("--url")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = args.url
        if url is None:
            node = stack.enter_context(running(heap_mb=args.heap_mb))[0]
            url = f"elasticsearch://127.0.0.1:{node.port}"
        machine = describe()
        print(f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}; m = {M} of 8, k = {K}")
        print(
            f"{'codes':>8} {'count':>10} {'side':<5} {'bulk/s':>8}", *(f"{c:>2}: p50   p99 ms    qps" for c in (1, 16))
        )
        for size in args.sizes:
            for kind in args.kinds:
                rows = compare(url, int(size), args.queries, args.seconds, kind)
                for row in rows:
                    parts = [
                        f"{row[f'p50_ms_{c}']:>7.2f} {row[f'p99_ms_{c}']:>8.2f} {row[f'qps_{c}']:>8.1f}"
                        for c in (1, 16)
                    ]
                    print(f"{kind:>8} {int(size):>10,} {row['side']:<5} {row['bulk']:>8,}", *parts)
                write_rows("elastic", rows)


if __name__ == "__main__":
    main()
