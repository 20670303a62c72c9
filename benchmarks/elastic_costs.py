"""Costs of a segment search's parts in Elasticsearch.

    python -m benchmarks.elastic_costs [--count 300000] [--url elasticsearch://HOST:PORT]

Random codes in several segmentations, each searched with several radii, one query at a time; then terms, postings and
candidates are fitted to the medians by least squares of the relative errors, none below zero.
"""

import argparse
import contextlib
import dataclasses
import time

import numpy as np
from numpy.typing import NDArray
from scripts.elasticsearch import running

from benchmarks.machine import describe
from benchmarks.mih import planted, uniform
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import read_settings
from lookalike.indexes.elasticsearch.index import ElasticIndex
from lookalike.indexes.elasticsearch.managed_index import ManagedIndex
from lookalike.indexes.elasticsearch.segments import Segmentation, SegmentPlan, best_plan
from lookalike.types import FeatureSpec, Rows

SPEC = FeatureSpec("phash", "hamming", 8, "benchmark")
SEGMENTS = (3, 4, 5, 8)
RADII = (0, 1, 3, 5, 7, 9, 11)
DEAREST = 2e5
"""Microseconds that a plan may be expected to take, to be tried."""
BATCH = 10_000
K, QUERIES, TIMES = 10, 15, 6


def measure(url: str, count: int) -> tuple[list[tuple[float, ...]], list[float]]:
    """Of each plan its parts (1, terms, postings, candidates), and the median of its searches in microseconds."""
    rng = np.random.default_rng(1)
    codes = uniform(rng, count)
    query_codes = planted(rng, codes, QUERIES)
    shapes, took = [], []
    for segments in SEGMENTS:
        plans = [best_plan(radius, count, Segmentation(segments)) for radius in RADII]
        tried = [plan for plan in plans if plan is not None and plan.cost(count) < DEAREST]
        name = f"bench-costs-{time.time_ns():x}"
        settings = read_settings(f"{url}?mode=guaranteed&replicas=0&rows={count}&name={name}")
        settings = dataclasses.replace(settings, plan=tried[0])
        server = ElasticClient(settings.connection)
        place = ManagedIndex(server, SPEC, "benchmark", settings)
        fill(ElasticIndex(SPEC, place, settings), codes)
        server.call(lambda client, name=name: client.indices.forcemerge(index=name, max_num_segments=5), bulk=True)  # type: ignore[misc]
        for plan in tried:
            index = ElasticIndex(SPEC, place, dataclasses.replace(settings, plan=plan))
            shapes.append((1.0, float(plan.terms), plan.postings(count), plan.candidates(count)))
            took.append(timed(index, query_codes) * 1e6)
            print(line(plan, count, took[-1]), flush=True)
        server.call(lambda client, name=name: client.indices.delete(index=f"{name}-000001"), bulk=True)  # type: ignore[misc]
        server.close()
    return shapes, took


def fill(index: ElasticIndex, codes: NDArray[np.uint8]) -> None:
    """Write all codes."""
    for start in range(0, len(codes), BATCH):
        part = codes[start : start + BATCH]
        index.upsert(Rows(np.arange(len(part)) + start + 1, part, np.ones(len(part), np.int64)))
    index.flush(1)


def timed(index: ElasticIndex, query_codes: NDArray[np.uint8]) -> float:
    """Seconds of a search: the median over the queries of the quickest of several times, for others work here too."""
    quickest = np.full(len(query_codes), np.inf)
    for _ in range(TIMES):
        for place, code in enumerate(query_codes):
            started = time.perf_counter()
            index.search(code[None], K)
            quickest[place] = min(quickest[place], time.perf_counter() - started)
    return float(np.median(quickest))


def line(plan: SegmentPlan, count: int, took: float) -> str:
    """One plan as a row of the table."""
    return (
        f"{plan.segmentation.name:>6}  m {plan.min_matches}  radius {plan.radius:>2}  {plan.terms:>6} terms  "
        f"{plan.postings(count):>9,.0f} postings  {plan.candidates(count):>9,.1f} candidates  {took / 1e3:>8.2f} ms"
    )


def fit(shapes: NDArray[np.float64], took: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least squares of the relative errors, none below zero: one column after the other, again and again."""
    a, b = shapes / took[:, None], np.ones(len(took))
    x = np.zeros(a.shape[1])
    for _ in range(20_000):
        for column in range(len(x)):
            rest = b - a @ x + a[:, column] * x[column]
            x[column] = max(0.0, a[:, column] @ rest / (a[:, column] @ a[:, column]))
    return x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300_000)
    parser.add_argument("--url")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = args.url or f"elasticsearch://127.0.0.1:{stack.enter_context(running(heap_mb=1024))[0].port}"
        print(describe())
        shapes, took = measure(url, args.count)
    request, term, posting, candidate = fit(np.array(shapes), np.array(took))
    print(f"a request {request:.0f}, TERM {term:.2f}, POSTING {posting:.4f}, CANDIDATE {candidate:.2f} microseconds")


if __name__ == "__main__":
    main()
