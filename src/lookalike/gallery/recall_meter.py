"""Recall meter: some live searches of approximate indexes are repeated exactly, over the features in the catalog."""

import logging
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog
from lookalike.distances import merge, nearest
from lookalike.errors import LookalikeError
from lookalike.estimation import wilson_interval
from lookalike.pipeline import Pipeline, Ranked
from lookalike.results import MeasuredRecall
from lookalike.types import FULLY_EXACT, NO_GUARANTEE, EncodedViews, Features, FeatureSpec, Ids, Matches, Rows

MAX_WAITING = 32
"""Searches that wait to be repeated; of more, a random choice of this many."""
MEASURED_HITS = 10
"""Hits of a search that are compared, at most: recall@10."""
SPARE_HITS = 10
"""Exact hits beyond those, in the place of images that have changed since the search."""
SCAN_BATCH = 8192
"""Rows read from the catalog at once."""
MIN_PAUSE = 1.0
"""Seconds between two scans, at least."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class _SampledSearch:
    """A search to repeat: its views (n, width), the ids of its first k hits, and the change that it reflects."""

    spec: FeatureSpec
    tenant: int | None
    views: Features
    k: int
    max_distance: float | None
    returned: Ids
    sequence: int


@dataclass(slots=True)
class _Counts:
    queries: int = 0
    expected: int = 0
    found: int = 0


class RecallMeter:
    """Measures the recall of live searches in a thread of its own, by tenant and pipeline. Thread-safe.

    Scanning takes at most `share` of the time of one core: after each scan the thread sleeps in proportion. One scan of
    the catalog serves all searches that wait. Searches with a filter are not measured, nor those of exact indexes.

    A search is compared with the images that had the state it saw: an image that has changed since is left out on
    both sides. Neighbours at the distance of the last hit are interchangeable.
    """

    def __init__(self, catalog: Catalog, share: float) -> None:
        self._catalog = catalog
        self._share = share
        self._lock = threading.Lock()
        self._waiting: dict[FeatureSpec, list[_SampledSearch]] = {}
        self._offered: dict[FeatureSpec, int] = {}
        self._counts: dict[tuple[int | None, str], _Counts] = {}
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._random = random.Random()

    def offer(
        self,
        pipeline: Pipeline,
        encoded: EncodedViews,
        ranked: Sequence[Ranked],
        k: int,
        *,
        tenant: int | None,
        max_distance: float | None,
        sequence: int,
    ) -> None:
        """Offer the searches of a batch of queries, of which some are chosen at random, without waiting.

        Args:
            pipeline: The pipeline that was searched.
            encoded: The queries.
            ranked: What it returned for each.
            k: Hits that were requested.
            tenant: Id of the tenant that was searched; None for all.
            max_distance: Largest distance of a hit, 0..1.
            sequence: The change that the index had reached.
        """
        for features, usable, found in zip(encoded.features, encoded.usable, ranked, strict=True):
            if not usable or found.exact_within != NO_GUARANTEE:
                continue
            raw = None if max_distance is None else max_distance * pipeline.spec.scale
            hits = min(k, MEASURED_HITS)
            self._enqueue(_SampledSearch(pipeline.spec, tenant, features, hits, raw, found.ids[:hits], sequence))

    def measurements(self) -> tuple[MeasuredRecall, ...]:
        """Return the recall measured so far, by tenant and pipeline."""
        names = {id_: name for name, id_ in self._catalog.tenants.ids_by_name().items()}
        with self._lock:
            counts = [(tenant, name, c.queries, c.expected, c.found) for (tenant, name), c in self._counts.items()]
        measured = []
        for tenant, pipeline, queries, expected, found in counts:
            if expected and (tenant is None or tenant in names):
                low, high = wilson_interval(found / expected, queries)
                name = None if tenant is None else names[tenant]
                measured.append(MeasuredRecall(name, pipeline, queries, found / expected, low, high))
        return tuple(sorted(measured, key=lambda m: (m.tenant or "", m.pipeline)))

    def close(self) -> None:
        """Stop the thread after the current batch of rows."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _enqueue(self, search: _SampledSearch) -> None:
        """Keep a random choice of `MAX_WAITING` searches (reservoir sampling), and start the thread at the first."""
        with self._lock:
            waiting = self._waiting.setdefault(search.spec, [])
            self._offered[search.spec] = offered = self._offered.get(search.spec, 0) + 1
            if len(waiting) < MAX_WAITING:
                waiting.append(search)
            elif (place := self._random.randrange(offered)) < MAX_WAITING:
                waiting[place] = search
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="recall meter", daemon=True)
                self._thread.start()
        self._wake.set()

    def _loop(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait()
            self._wake.clear()
            started = time.monotonic()
            try:
                self.measure_waiting()
            except LookalikeError as error:
                log.warning("the recall of some searches was not measured: %s", error)
            seconds = time.monotonic() - started
            self._stopped.wait(max(MIN_PAUSE, seconds * (1 / self._share - 1)))

    def measure_waiting(self) -> None:
        """Repeat the searches that wait, in one scan for each kind of features."""
        with self._lock:
            waiting, self._waiting, self._offered = self._waiting, {}, {}
        for spec, searches in waiting.items():
            for search, exact in zip(searches, self._exact(spec, searches), strict=True):
                if exact is not None:
                    self._count(search, exact)

    def _count(self, search: _SampledSearch, exact: Matches) -> None:
        """Count the hits of a search that are among its exact ones, of the images that have not changed since."""
        ids, distances = exact.ids[0], exact.distances[0]
        records = self._catalog.images.by_ids({*ids[ids >= 0].tolist(), *search.returned.tolist()})
        unchanged = np.array([i for i, record in records.items() if record.sequence <= search.sequence], np.int64)
        still = np.isin(ids, unchanged)
        ids, distances = ids[still], distances[still]
        returned = search.returned[np.isin(search.returned, unchanged)]
        expected = min(search.k - (len(search.returned) - len(returned)), len(ids))
        if expected <= 0:
            return
        equally_near = ids[distances <= distances[expected - 1]]
        with self._lock:
            counts = self._counts.setdefault((search.tenant, search.spec.name), _Counts())
            counts.queries += 1
            counts.expected += expected
            counts.found += min(int(np.isin(returned, equally_near).sum()), expected)

    def _exact(self, spec: FeatureSpec, searches: Sequence[_SampledSearch]) -> list[Matches | None]:
        """The exact answer of each search, None where the scan was stopped or features are no longer in the catalog."""
        k = MEASURED_HITS + SPARE_HITS
        none = Matches(np.full((1, k), -1), np.full((1, k), np.inf, np.float32), FULLY_EXACT)
        answers = [none] * len(searches)
        until, at, more = max(search.sequence for search in searches), 0, True
        while more and at < until:
            changes = self._catalog.changes.since(spec, at, SCAN_BATCH)
            if len(changes.released) or self._stopped.is_set():
                return [None] * len(searches)
            at, more = changes.sequence, changes.more
            answers = [
                merge(answer, _nearest(search, changes.upserts, k), k)
                for search, answer in zip(searches, answers, strict=True)
            ]
        return list(answers)


def _nearest(search: _SampledSearch, rows: Rows, k: int) -> Matches:
    """The nearest of these rows, each at the best distance of the query's views: one row of matches."""
    keep = None if search.tenant is None else np.flatnonzero(rows.tenants == search.tenant)
    found = nearest(
        search.spec.metric, search.views, rows.features, rows.ids, k, keep=keep, max_distance=search.max_distance
    )
    ids, distances = found.ids.ravel(), found.distances.ravel()
    order = np.lexsort((ids, distances))
    order = order[ids[order] >= 0]
    _, first = np.unique(ids[order], return_index=True)
    order = order[np.sort(first)]
    return Matches(ids[order][None], distances[order][None], FULLY_EXACT)
