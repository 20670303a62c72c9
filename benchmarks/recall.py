"""Recall of every kind of index, among hard near neighbours of real photos.

    python -m benchmarks.recall [--rows 200000] [--queries 500] [--kinds flat hnsw mih elasticsearch HNSW ...]

The rows are VGG16's features of the photos, and rows made of them (`tests.index_contract.synthetic_data`); for hashes,
the sides of random planes that they lie on. The queries are made in the same way, and are not among the rows. Every
tenth row is a second tenant's. The truth is a plain comparison with all rows that shares no code with any index. Each
index is filled as by `repair` (one batch of 8,192 after the other), and indexed and tuned by its own defaults. Queries
are searched one at a time, and timed, until a budget is spent; the rest in one batch. An exact index of hashes must
give the same ids as `flat`, ties included; `equal` says in how many of the answers it does.

Server kinds start a server of their own, with its usual settings, and remove it with its data after.
"""

import argparse
import contextlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scripts.elasticsearch import running
from tests.index_contract.reference import reference_neighbours
from tests.index_contract.synthetic_data import gallery_features, perturbed_features, projection_codes

from benchmarks import plan_servers
from benchmarks.cached_features import features
from benchmarks.machine import describe, write_rows
from lookalike.distances import Distances
from lookalike.indexes.elasticsearch.index import open_index as open_elastic
from lookalike.indexes.flat import FlatIndex
from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.indexes.mih.index import MihIndex
from lookalike.indexes.milvus.index import MilvusIndex
from lookalike.indexes.milvus.index import open_index as open_milvus
from lookalike.interfaces import VectorIndex
from lookalike.types import Features, FeatureSpec, Ids, Rows

K, BATCH = 10, 8192
ALL, TENTH = 1, 2
GALLERY = "0123456789ab"
RADIUS = 7
"""Bits within which the guaranteed mode of Elasticsearch must find everything."""
HASH = FeatureSpec("phash", "hamming", 8, "benchmark")
VECTOR = FeatureSpec("vgg16", "cosine", 512, "benchmark")
SERVER_KINDS = ("FLAT", "IVF_FLAT", "IVF_SQ8", "HNSW", "auto")
KINDS = (
    *("flat", "hnsw", "flat hashes", "mih", "elasticsearch exact", "elasticsearch guaranteed"),
    *(f"milvus {kind}" for kind in SERVER_KINDS),
    *("lite HNSW", "lite FLAT"),
)


@dataclass(frozen=True)
class Question:
    """Rows, their tenants, queries, and by tenant (None: all rows) the true neighbours' ids and distances."""

    spec: FeatureSpec
    rows: Features
    tenants: Ids
    queries: Features
    truth: dict[int | None, tuple[Ids, Distances]]
    within: float | None = None


def make_question(spec: FeatureSpec, rows: int, queries: int) -> Question:
    """Rows, queries and true neighbours, the same at every call."""
    originals = features()
    stored, query_rows = gallery_features(originals, rows, 1), perturbed_features(originals, queries, 2)
    if spec.metric == "hamming":
        stored, query_rows = (projection_codes(vectors, originals, spec.width) for vectors in (stored, query_rows))
    tenants = np.where(np.arange(rows) % 10 == 3, TENTH, ALL)
    truth = {}
    for tenant in (None, TENTH):
        numbers = np.arange(rows) if tenant is None else np.flatnonzero(tenants == tenant)
        places, distances = reference_neighbours(spec, query_rows, stored[numbers], K)
        truth[tenant] = (numbers[places] + 1, distances)
    return Question(spec, stored, tenants, query_rows, truth)


@contextlib.contextmanager
def opened(kind: str, rows: int) -> Iterator[VectorIndex]:
    """An empty index of a kind."""
    engine, _, which = kind.partition(" ")
    with tempfile.TemporaryDirectory(prefix="recall-") as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        index: VectorIndex
        if engine == "elasticsearch":
            node = stack.enter_context(running(heap_mb=1024))[0]
            url = (
                f"elasticsearch://127.0.0.1:{node.port}?replicas=0&timeout=120&rows={rows}&mode={which}&radius={RADIUS}"
            )
            index = open_elastic(HASH, url, GALLERY)
        elif engine == "milvus":
            address, _ = stack.enter_context(plan_servers.milvus(folder))
            index = open_milvus(VECTOR, f"{address}?index={which}&rows={rows}&timeout=60", GALLERY)
        elif engine == "lite":
            index = open_milvus(VECTOR, f"milvus-lite://{folder}/gallery.db?index={which}&timeout=600", GALLERY)
        else:
            embedded: dict[str, Callable[[], VectorIndex]] = {
                "hnsw": lambda: HnswIndex(VECTOR, folder),
                "mih": lambda: MihIndex(HASH, folder),
                "flat": lambda: FlatIndex(HASH if which == "hashes" else VECTOR, folder),
            }
            index = embedded[engine]()
        stack.callback(index.close)
        yield index


def fill(index: VectorIndex, question: Question) -> float:
    """Seconds until all rows are in, indexed and durable."""
    began = time.perf_counter()
    with index.rebuilding() as filling:
        for start in range(0, len(question.rows), BATCH):
            part = slice(start, start + BATCH)
            ids = np.arange(len(question.rows))[part] + 1
            filling.upsert(Rows(ids, question.rows[part], question.tenants[part]))
        filling.flush(1)
    return time.perf_counter() - began


def measure(index: VectorIndex, question: Question, tenant: int | None, budget: float) -> dict[str, Any]:
    """Recall and milliseconds, of all rows or of a tenant's; of what lies within `question.within`."""
    queries, within = question.queries, question.within
    index.search(queries[:20], K, tenant=tenant, max_distance=within, fresh=True)
    times: list[float] = []
    ids, distances = np.empty((len(queries), K), np.int64), np.empty((len(queries), K), np.float32)
    while len(times) < len(queries) and sum(times) < budget:
        one = slice(len(times), len(times) + 1)
        began = time.perf_counter()
        found = index.search(queries[one], K, tenant=tenant, max_distance=within)
        times.append(time.perf_counter() - began)
        ids[one], distances[one] = found.ids, found.distances
    if len(times) < len(queries):
        found = index.search(queries[len(times) :], K, tenant=tenant, max_distance=within)
        ids[len(times) :], distances[len(times) :] = found.ids, found.distances
    p50, p99 = np.percentile(times, [50, 99]) * 1e3
    share, equal = agreement(question, tenant, ids, distances)
    return {"recall": share, "equal": equal, "timed": len(times), "p50_ms": float(p50), "p99_ms": float(p99)}


def agreement(question: Question, tenant: int | None, ids: Ids, distances: Distances) -> tuple[float, float]:
    """The share of true neighbours found, ties and last digits forgiven; and that of answers with the very same ids."""
    true_ids, true = question.truth[tenant]
    if question.within is not None:
        far = true > question.within
        true_ids, true = np.where(far, -1, true_ids), np.where(far, np.inf, true)
    real = np.isfinite(true)
    farthest = np.max(np.where(real, true, -np.inf), axis=1, keepdims=True)
    slack = 1e-5 if question.spec.metric == "cosine" else 0.0
    found = np.count_nonzero(distances <= farthest + slack) / np.count_nonzero(real)
    return found, float((ids == true_ids).all(axis=1).mean())


def show(kind: str, rows: int, seconds: float, both: list[dict[str, Any]], how: str) -> str:
    """One line of the table."""
    cells = [
        f"{one['recall']:>7.4f} {one['equal']:>6.3f} {one['p50_ms']:>7.2f} {one['p99_ms']:>7.2f}  " for one in both
    ]
    return f"{kind:<25}{rows:>8,} {''.join(cells)}{seconds:>6.0f}  {how}"


def main() -> None:
    """Measure, print, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, metavar="KIND")
    parser.add_argument("--budget", type=float, default=60, help="seconds of single searches, per kind and tenant")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    question: Question | None = None
    print(*(f"{key} {value}" for key, value in describe().items()), sep=", ")
    print(f"{'kind':<25}{'rows':>8} {' recall  equal  p50 ms  p99 ms  ' * 2}filled in s; the latter four: a tenth")
    for kind in given.kinds:
        with opened(kind, given.rows) as index:
            if question is None or question.spec != index.spec:
                question = make_question(index.spec, given.rows, given.queries)
            question = replace(question, within=RADIUS if kind == "elasticsearch guaranteed" else None)
            seconds = fill(index, question)
            both = {tenant: measure(index, question, tenant, given.budget) for tenant in (None, TENTH)}
            how = ""
            if isinstance(index, MilvusIndex):
                how = f"{index.collection.index_type} {index.collection.parameters(K)}"
        print(show(kind, given.rows, seconds, list(both.values()), how), flush=True)
        about = {"kind": kind, "rows": given.rows, "queries": given.queries, "filled_s": round(seconds, 1), "how": how}
        write_rows("recall", [{**about, "tenant": tenant, **one} for tenant, one in both.items()])


if __name__ == "__main__":
    main()
