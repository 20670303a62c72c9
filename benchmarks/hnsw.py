"""HNSW overhead over bare faiss: the same graph, the same parameters, alternating, with recall.

    python -m benchmarks.hnsw [--rows 100000] [--queries 300] [--features FILE.npy] [--ef 100] [--m 24]

`hard` rows are like a network's pooled features: never negative, of low contrast; `clusters` are Gaussian and easy.
`--features` takes real ones `(n, 512)`, the last of which are the queries. Bare Faiss searches the very graph file that
our snapshot holds. With a filter both get the matching ids as an array, and Faiss the same widened ef as we take. Every
query is searched once before timing starts, so that mapped pages are in memory.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss as _typed
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe, write_rows
from lookalike.distances import nearest, normalise
from lookalike.indexes.hnsw.index import FILTER_OVERSAMPLING, HnswIndex
from lookalike.types import FeatureSpec, Ids, ResolvedFilter, Rows

faiss: Any = _typed  # its stubs describe the C++ side, not the Python one
K = 10
WIDTH = 512
Vectors = NDArray[np.float32]
Ask = Callable[[Vectors], Ids]


def draw(kind: str, count: int) -> Vectors:
    """Unit rows of a kind."""
    rng = np.random.default_rng(1)
    if kind == "clusters":
        centres = rng.normal(size=(2000, WIDTH)).astype(np.float32)
        return normalise(
            centres[rng.integers(0, 2000, count)] + 0.7 * rng.normal(size=(count, WIDTH)).astype(np.float32)
        )
    causes = 48
    mixing = (rng.normal(size=(causes, WIDTH)) / math.sqrt(causes)).astype(np.float32)
    bias = rng.normal(0.2, 0.5, WIDTH).astype(np.float32)
    centres = rng.normal(size=(3000, causes)).astype(np.float32)
    cause = 0.7 * (centres[rng.integers(0, 3000, count)] + rng.normal(size=(count, causes)).astype(np.float32))
    noise = 0.35 * rng.normal(size=(count, WIDTH)).astype(np.float32)
    return normalise(np.maximum(cause @ mixing + bias + noise, 0) ** 1.5 + 1e-6)


def build(rows: Vectors, folder: Path, arguments: argparse.Namespace) -> tuple[HnswIndex, Any, dict[str, Any]]:
    """Our index, opened from its snapshot, and the library's own on the same graph."""
    spec = FeatureSpec("vector", "cosine", WIDTH, "benchmark")
    settings = {"m": arguments.m, "ef_construction": arguments.ef_construction, "ef": arguments.ef}
    ids = np.arange(1, len(rows) + 1)
    index = HnswIndex(spec, folder, **settings)
    started = time.perf_counter()
    index.upsert(Rows(ids, rows, np.ones_like(ids)))
    built = time.perf_counter()
    index.flush(1)
    flushed = time.perf_counter()
    index.close()
    closed = time.perf_counter()
    index = HnswIndex(spec, folder, writable=False, **settings)
    opened = time.perf_counter()
    bare = faiss.read_index(str(next(folder.glob("snapshot-*/graph.faiss"))))
    times = {"build_s": built - started, "flush_s": flushed - built, "open_s": opened - closed}
    return index, bare, {**settings, **times}


def questions(index: HnswIndex, bare: Any, rows: int, ef: int, one_in: int) -> tuple[Ask, Ask]:
    """The same search, ours and bare; `one_in` of the rows pass the filter (1: no filter)."""
    if one_in == 1:
        plain = faiss.SearchParametersHNSW(efSearch=ef + 4 * K)
        return lambda q: index.search(q, K).ids, lambda q: bare.search(q, K, params=plain)[1] + 1
    matching = np.sort(np.random.default_rng(2).choice(rows, rows // one_in, replace=False)) + 1
    filter = ResolvedFilter((), lambda: matching)

    def filtered(queries: Vectors) -> Ids:
        mask = np.zeros(rows, np.bool_)
        mask[matching - 1] = True
        bits = np.packbits(mask, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        wide = faiss.SearchParametersHNSW(efSearch=max(ef + 4 * K, FILTER_OVERSAMPLING * K * one_in), sel=selector)
        found: Ids = bare.search(queries, K, params=wide)[1] + 1
        return found

    return lambda q: index.search(q, K, filter=filter).ids, filtered


def compare(searches: tuple[Ask, Ask], queries: Vectors, batch: int) -> tuple[list[float], list[Ids]]:
    """Median seconds a query, and the answers of both, alternating; queries beyond whole batches are skipped."""
    spent: tuple[list[float], list[float]] = ([], [])
    answers = [np.full((len(queries), K), -1) for _ in searches]
    for warm in (True, False):
        starts = range(0, len(queries) - batch + 1, batch)
        for turn in range(len(starts)):
            for who, ask in enumerate(searches):
                # half a round apart, or the second would find in the cache what the first has fetched
                start = starts[(turn + who * (len(starts) // 2)) % len(starts)]
                part = queries[start : start + batch]
                started = time.perf_counter()
                found = ask(part)
                if not warm:
                    spent[who].append((time.perf_counter() - started) / batch)
                    answers[who][start : start + batch] = found
    return [float(np.median(times)) for times in spent], answers


def recall(found: Ids, truth: Ids) -> float:
    """The share of the true nearest that was found."""
    answered = (found >= 0).any(axis=1)
    pairs = zip(found[answered], truth[answered], strict=True)
    return float(np.mean([len(set(a.tolist()) & set(b.tolist()) - {-1}) / max(1, (b >= 0).sum()) for a, b in pairs]))


def measure(kind: str, rows: Vectors, queries: Vectors, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All comparisons on one set of rows."""
    out = []
    with tempfile.TemporaryDirectory() as folder:
        index, bare, facts = build(rows, Path(folder), arguments)
        print(f"{kind}: {json.dumps({key: round(value, 2) for key, value in facts.items()})}", flush=True)
        ids = np.arange(1, len(rows) + 1)
        for one_in in (1, 2, 5, 10, 100, 1000):
            matching = np.sort(np.random.default_rng(2).choice(len(rows), len(rows) // one_in, replace=False))
            truth = nearest("cosine", queries, rows, ids, K, keep=matching).ids
            searches = questions(index, bare, len(rows), arguments.ef, one_in)
            for batch in (1, 16, 64):
                seconds, answers = compare(searches, queries, batch)
                row = {
                    "kind": kind,
                    "rows": len(rows),
                    "one_in": one_in,
                    "batch": batch,
                    "ours_ms": seconds[0] * 1e3,
                    "bare_ms": seconds[1] * 1e3,
                    "ratio": seconds[0] / seconds[1],
                    "recall": recall(answers[0], truth),
                    "bare_recall": recall(answers[1], truth),
                }
                out.append({**row, **facts})
                print(
                    f"{kind:9} 1 in {one_in:<5} batch {batch:<3} ours {row['ours_ms']:8.3f}  bare {row['bare_ms']:8.3f}"
                    f"  ratio {row['ratio']:5.2f}  recall {row['recall']:.4f}  bare {row['bare_recall']:.4f}",
                    flush=True,
                )
        index.close()
    return out


def main() -> None:
    """Measure, print, and keep the raw rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--kinds", nargs="+", default=["hard", "clusters"])
    parser.add_argument("--m", type=int, default=24)
    parser.add_argument("--ef-construction", type=int, default=150)
    parser.add_argument("--ef", type=int, default=100)
    arguments = parser.parse_args()
    print(json.dumps(describe()))
    kinds = ["real"] if arguments.features else arguments.kinds
    for kind in kinds:
        total = arguments.rows + arguments.queries
        vectors = normalise(np.load(arguments.features)) if arguments.features else draw(kind, total)
        write_rows("hnsw", measure(kind, vectors[: -arguments.queries], vectors[-arguments.queries :], arguments))


if __name__ == "__main__":
    main()
