"""Exact search of 64-bit hashes, compared with faiss' binary indexes and a scan, in one run.

    python -m benchmarks.mih [--sizes 1e6 1e7] [--queries 1000] [--without-faiss]
    python -m benchmarks.mih --costs

Every query is a stored code with 0 to 7 bits flipped, searched alone through the public `search`; the engines alternate
of 50 queries. `uniform` codes are random. `skewed` ones gather around centres of very different popularity, their bits
are biased, and one in a hundred is the same code (a service's "image removed" image). `recall` is the share of the
true 10 nearest, within 7 bits, that an engine finds (rows at an equal distance count as the same).

`--costs` prints what a row, a candidate and a bucket cost here: the constants of `lookalike.indexes.mih.bucket_tables`.
"""

import argparse
import functools
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import describe, write_rows
from lookalike.indexes.mih.bucket_tables import BucketTables
from lookalike.indexes.mih.index import MihIndex
from lookalike.indexes.mih.runs import compare
from lookalike.types import FeatureSpec, Rows

SPEC = FeatureSpec("phash", "hamming", 8, "benchmark")
RADIUS, K = 7, 10
TURN = 500
Bits = NDArray[np.uint8]
Distances = NDArray[np.float32]
Search = Callable[[Bits], Distances]


def uniform(rng: np.random.Generator, count: int) -> Bits:
    """Random codes."""
    return rng.integers(0, 256, (count, 8), dtype=np.uint8)


def skewed(rng: np.random.Generator, count: int) -> Bits:
    """Codes as a gallery has them, and a little worse."""
    bias = rng.beta(3, 3, 64)
    centres = np.packbits(rng.random((count // 100, 64)) < bias, axis=1)
    popular = (rng.random(count) ** 3 * len(centres)).astype(np.int64)
    codes = centres[popular]
    for start in range(0, count, 1 << 20):
        piece = codes[start : start + (1 << 20)]
        noise = rng.choice([0.0, 0.03, 0.1, 0.3], (len(piece), 1))
        piece ^= np.packbits(rng.random((len(piece), 64), np.float32) < noise, axis=1)
    codes[rng.integers(0, count, count // 100)] = centres[0]
    return codes


def planted(rng: np.random.Generator, codes: Bits, count: int) -> Bits:
    """Stored codes with up to `RADIUS` bits flipped."""
    order = rng.random((count, 64)).argsort(axis=1)
    flips = np.packbits(order < rng.integers(0, RADIUS + 1, (count, 1)), axis=1)
    return codes[rng.integers(0, len(codes), count)] ^ flips


def faiss_engines(codes: Bits) -> Iterator[tuple[str, float, Search]]:
    """faiss' scan and its multi-index hashing, with the time to build them."""
    faiss.omp_set_num_threads(1)
    for name, index in (("faiss flat", faiss.IndexBinaryFlat(64)), ("faiss multihash", multihash())):
        started = time.perf_counter()
        index.add(codes)
        yield name, time.perf_counter() - started, lambda query, index=index: index.search(query, K)[0][0]


def multihash() -> Any:
    """Four tables of 16 bits, probed within one bit: as ours at this radius."""
    index = faiss.IndexBinaryMultiHash(64, 4, 16)
    index.nflip = 1
    return index


def ours(index: MihIndex, query: Bits, radius: float | None = RADIUS) -> Distances:
    """One query through the public interface."""
    return index.search(query, K, max_distance=radius).distances[0]


def take_turns(engines: dict[str, Search], queries: Bits) -> dict[str, tuple[list[float], list[Distances]]]:
    """Every engine answers every query: milliseconds, and the distances found."""
    results: dict[str, tuple[list[float], list[Distances]]] = {name: ([], []) for name in engines}
    for start in range(0, len(queries), TURN):
        for name, search in engines.items():
            for row in range(start, min(start + TURN, len(queries))):
                started = time.perf_counter()
                found = search(queries[row : row + 1])
                results[name][0].append((time.perf_counter() - started) * 1e3)
                results[name][1].append(found)
    return results


def measure(kind: str, count: int, queries: int, with_faiss: bool) -> list[dict[str, Any]]:
    """One gallery, all engines: a row each."""
    rng = np.random.default_rng(1)
    codes = {"uniform": uniform, "skewed": skewed}[kind](rng, count)
    query_codes = planted(rng, codes, queries)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        index = MihIndex(SPEC, Path(folder))
        index.upsert(Rows(np.arange(1, count + 1), codes, np.ones(count, np.int64)))
        builds = {"mih": time.perf_counter() - started}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        index.flush(1)
        index.close()
        started = time.perf_counter()
        index = MihIndex(SPEC, Path(folder))
        opened = time.perf_counter() - started
        article = MihIndex(SPEC, Path(folder), equal_bytes=5, verify=False)
        engines: dict[str, Search] = {
            "mih": functools.partial(ours, index),
            "mih, 5 of 8 bytes": functools.partial(ours, article),
        }
        if with_faiss:
            for name, seconds, search in faiss_engines(codes):
                builds[name], engines[name] = seconds, search
        take_turns(engines, query_codes[:20])
        results = take_turns(engines, query_codes)
        results |= take_turns(
            {"mih, no radius": functools.partial(ours, index, radius=None)}, query_codes[: queries // 10]
        )
        truth = results["faiss flat" if with_faiss else "mih"][1]
        rows = [summary(name, took, found, truth) for name, (took, found) in results.items()] + [
            batch(index, query_codes)
        ]
        about = {"codes": kind, "count": count, "opened_s": round(opened, 3), "peak_mb": round(peak)}
        return [{**about, **row, "built_s": builds.get(row["engine"])} for row in rows]


def batch(index: MihIndex, query_codes: Bits) -> dict[str, Any]:
    """All queries in one call: milliseconds a query."""
    started = time.perf_counter()
    index.search(query_codes, K, max_distance=RADIUS)
    each = (time.perf_counter() - started) / len(query_codes) * 1e3
    return {"engine": "mih, one batch", "p50_ms": each, "p99_ms": each, "recall": None}


def summary(name: str, took: list[float], found: list[Distances], truth: list[Distances]) -> dict[str, Any]:
    """Median and 99th percentile of the times, and recall within the radius."""
    hits = expected = 0
    for got, all_true in zip(found, truth, strict=False):
        true = all_true[all_true <= RADIUS]
        hits += int((got[: len(true)] <= true).sum())
        expected += len(true)
    p50, p99 = np.percentile(took, [50, 99]).tolist()
    return {"engine": name, "p50_ms": p50, "p99_ms": p99, "recall": hits / expected}


def costs(count: int) -> None:
    """Print what the parts of a search cost here, in nanoseconds."""
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 2**64, count, dtype=np.uint64)
    block = 1 << 15
    scan = best(lambda: [compare(codes[at : at + block], codes[0], RADIUS, 0) for at in range(0, count, block)])
    few = codes & np.uint64(0x001F_001F_001F_001F)  # 32 buckets a table: all the cost is in candidates
    candidate, _, seen = probing(BucketTables.build(few), few[:5], 3)
    print(f"{count:,} codes: SCAN {scan / count:.2f} a row, CANDIDATE {candidate / seen:.2f} a row", end="")
    tables = BucketTables.build(codes)
    for radius in (7, 11, 15):
        took, pieces, seen_here = probing(tables, codes[:20], radius)
        print(f", PROBE {(took - candidate / seen * seen_here) / pieces:.0f} a bucket at radius {radius}", end="")
    print()


def probing(tables: BucketTables, codes: NDArray[np.uint64], radius: int) -> tuple[float, int, int]:
    """Nanoseconds of probing for each of the codes, and the buckets and rows that they look into."""
    plans = [(tables.plan(int(code), radius, 1e18), code) for code in codes]
    chosen = [(plan, code) for plan, code in plans if plan]
    took = best(lambda: [tables.within(plan, code, radius) for plan, code in chosen])
    return took, sum(len(p.first) for p, _ in chosen), sum(int((p.last - p.first).sum()) for p, _ in chosen)


def best(work: Callable[[], Any], times: int = 5) -> float:
    """Nanoseconds of the fastest of several runs."""
    took = []
    for _ in range(times):
        started = time.perf_counter_ns()
        work()
        took.append(time.perf_counter_ns() - started)
    return min(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e6, 1e7])
    parser.add_argument("--kinds", nargs="+", default=["uniform", "skewed"], choices=["uniform", "skewed"])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--without-faiss", action="store_true")
    parser.add_argument("--costs", action="store_true")
    args = parser.parse_args()
    if args.costs:
        for size in args.sizes:
            costs(int(size))
        return
    machine = describe()
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['date']}; d <= {RADIUS}, k = {K}, one query at a time")
    print(f"{'codes':>8} {'count':>11}  {'engine':<18} {'p50 ms':>8} {'p99 ms':>8} {'recall':>6} {'built s':>8}")
    for size in args.sizes:
        for kind in args.kinds:
            rows = measure(kind, int(size), args.queries, not args.without_faiss)
            for row in rows:
                recall = "" if row["recall"] is None else f"{row['recall']:.3f}"
                built = "" if row["built_s"] is None else f"{row['built_s']:.1f}"
                print(
                    f"{kind:>8} {int(size):>11,}  {row['engine']:<18} {row['p50_ms']:>8.3f} {row['p99_ms']:>8.3f}"
                    f" {recall:>6} {built:>8}"
                )
            print(f"{'':>21}  opened in {rows[0]['opened_s']} s, checksums compared; peak {rows[0]['peak_mb']} MB")
            write_rows("mih", rows)


if __name__ == "__main__":
    main()
