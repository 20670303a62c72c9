"""Milvus adapter overhead over pymilvus: the same server, collection and parameters, alternating, with recall.

    python -m benchmarks.milvus [--rows 100000] [--index HNSW] [--queries 200] [--url milvus://HOST:PORT]

Bulk: rows a second until the server has taken them, ours into one collection, the bare client's into another of the
same shape. Search: one client and sixteen threads, bounded consistency, top 10, one query a request; the bare client
searches the same collection that our rebuilding filled, indexed and tuned. Recall is against every row, exactly.
Without --url a server of its own is started, with its usual settings, and removed with its data after.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient
from scripts.milvus import MilvusServer

from benchmarks.hnsw import WIDTH, Vectors, draw
from benchmarks.machine import write_rows
from lookalike.distances import nearest
from lookalike.indexes.milvus.config import BUILD
from lookalike.indexes.milvus.index import MilvusIndex, drop_index, open_index
from lookalike.indexes.milvus.writer import MAX_ROWS
from lookalike.types import FeatureSpec, Ids, Rows

K = 10
SPEC = FeatureSpec("vector", "cosine", WIDTH, "benchmark")
GALLERY = "benchmark"
BULK = 8192
"""Rows that one client is handed, as by the catalog's follower, before the other has its turn."""
Ask = Callable[[Vectors], Ids]


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """The server named, or one of our own."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="milvus-") as folder:
        own = MilvusServer(Path(folder)).start()
        try:
            yield own.url
        finally:
            own.stop()


def bare_collection(client: MilvusClient, name: str, index: str) -> None:
    """A collection of the same shape as ours."""
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("tenant", DataType.INT64, is_partition_key=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=WIDTH)
    schema.add_field("attributes", DataType.JSON)
    index_params = client.prepare_index_params()
    index_params.add_index("vector", index_type=index, metric_type="IP", params=dict(BUILD[index]))
    client.create_collection(name, schema=schema, num_partitions=1, index_params=index_params)


def fill(index: MilvusIndex, client: MilvusClient, name: str, rows: Vectors) -> dict[str, float]:
    """Rows a second of both, piece by piece in turn, the median; ours into `index`, the others into `name`."""
    spent: dict[str, list[float]] = {"ours": [], "bare": []}
    for number, start in enumerate(range(0, len(rows), BULK)):
        piece = rows[start : start + BULK]
        ids = np.arange(start, start + len(piece)) + 1
        for who in ("ours", "bare") if number % 2 else ("bare", "ours"):
            began = time.perf_counter()
            if who == "ours":
                index.upsert(Rows(ids, piece, ids % 100))
            else:
                for first in range(0, len(piece), MAX_ROWS):
                    part = slice(first, first + MAX_ROWS)
                    both = zip(ids[part].tolist(), piece[part], strict=True)
                    data = [{"id": i, "tenant": i % 100, "vector": vector, "attributes": {}} for i, vector in both]
                    client.upsert(name, data)
            spent[who].append((time.perf_counter() - began) / len(piece))
    return {f"{who}_rows_s": round(1 / statistics.median(seconds)) for who, seconds in spent.items()}


def measure(ask: Ask, queries: Vectors, clients: int) -> dict[str, float]:
    """Milliseconds p50 and p99, and queries a second, of so many threads that ask one query after the other."""
    times: list[float] = []

    def one(query: Vectors) -> None:
        began = time.perf_counter()
        ask(query[None])
        times.append((time.perf_counter() - began) * 1000)

    with ThreadPoolExecutor(clients) as pool:
        began = time.perf_counter()
        list(pool.map(one, queries))
        seconds = time.perf_counter() - began
    p50, p99 = np.percentile(times, [50, 99])
    return {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "qps": round(len(queries) / seconds, 1)}


def compare(index: MilvusIndex, client: MilvusClient, queries: Vectors, rounds: int) -> Iterator[dict[str, Any]]:
    """Both clients in turn, several rounds, the median of each figure."""
    collection = index.collection
    how = {"metric_type": "IP", "params": collection.parameters(K)}

    def bare(query: Vectors) -> Ids:
        found = client.search(
            collection.name,
            data=query,
            anns_field="vector",
            limit=K,
            search_params=how,
            consistency_level="Bounded",
        )
        return np.array([[hit["id"] for hit in hits] for hits in found])

    searches: dict[str, Ask] = {"ours": lambda query: index.search(query, K).ids, "bare": bare}
    for clients in (1, 16):
        taken: dict[str, list[dict[str, float]]] = {who: [] for who in searches}
        for turn in range(rounds + 1):
            for who in searches if turn % 2 else reversed(searches):
                seen = measure(searches[who], queries, clients)
                if turn:  # the first round warms up
                    taken[who].append(seen)
        for who, seen_all in taken.items():
            yield {
                "who": who,
                "clients": clients,
                **{name: float(np.median([seen[name] for seen in seen_all])) for name in seen_all[0]},
            }


def main() -> None:
    """Measure, print, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--index", default="HNSW", choices=sorted(BUILD))
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url")
    arguments = parser.parse_args()
    vectors = draw("hard", arguments.rows + arguments.queries)
    rows, queries = vectors[: arguments.rows], vectors[arguments.rows :]
    truth = nearest("cosine", queries, rows, np.arange(len(rows)) + 1, K)
    with server(arguments.url) as url:
        address = f"{url}?index={arguments.index}&buckets=1&timeout=60"
        client = MilvusClient(uri=url.replace("milvus://", "http://"))
        name = f"bare_{time.time_ns():x}"
        bare_collection(client, name, arguments.index)
        index = open_index(SPEC, address, GALLERY)
        began = time.perf_counter()
        with index.rebuilding() as filling:
            written = fill(filling, client, name, rows)
            client.drop_collection(name)
            filling.flush(1)
            filled = time.perf_counter()
        indexed = time.perf_counter()
        found = index.search(queries, K)
        recall = float((found.distances <= truth.distances[:, -1:] + 1e-5).mean())
        about: dict[str, Any] = {
            "rows": arguments.rows,
            "index": arguments.index,
            "knob": index.collection.effort,
            "recall": round(recall, 4),
            "index_and_tune_s": round(indexed - filled, 1),
            "fill_both_s": round(filled - began, 1),
            **written,
        }
        print(about, flush=True)
        out = [about]
        for row in compare(index, client, queries, arguments.rounds):
            print(row, flush=True)
            out.append({**about, **row})
        print("written to", write_rows("milvus", out))
        index.close()
        drop_index(SPEC, address, GALLERY)
        client.close()


if __name__ == "__main__":
    main()
