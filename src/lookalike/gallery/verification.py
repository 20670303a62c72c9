"""Verification of candidates: their pixels are compared with the query's, most likely candidates first."""

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from lookalike.catalog import Catalog
from lookalike.cpu import usable_cores
from lookalike.errors import ImageRejected, NotFound, Unavailable
from lookalike.gallery.originals import Originals
from lookalike.gallery.queries import PreparedQuery, QueryReader
from lookalike.imaging import decode
from lookalike.imaging.resizing import reduce_to
from lookalike.sources.urls import is_url
from lookalike.types import Pixels, Record, Verification, VerificationReport
from lookalike.verification import Side, VerificationEncoder, Verifier, label

SIDE = 800
"""Pixels of the longer side to which images are reduced before they are compared."""
MAX_SIMILAR_VERIFIED = 10
"""Candidates beyond the copy threshold that are verified, while none has been verified as a copy."""
DEFAULT_BUDGET_MS = 5000.0
"""Milliseconds after which no further candidate of a query is verified: a bound for galleries with many near images,
far above the usual time, so that answers do not depend on how busy the machine is."""
CACHED_SIDES = 256
"""Images whose reduced pixels and local features are kept, about 0.3 MB each."""
CACHED_RESULTS = 4096
"""Pairs whose result is kept, so that the pages of a search agree."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class ToVerify:
    """A candidate: its record, and whether its distance is within a copy threshold."""

    record: Record
    copy_by_distance: bool


@dataclass(frozen=True, slots=True)
class VerifiedCandidates:
    """Results of verification by image id, the ids left because the budget was used up, and the numbers of each."""

    results: Mapping[int, Verification]
    skipped: frozenset[int]
    report: VerificationReport


class CandidateVerifier:
    """Compares queries with stored images. Thread-safe.

    The pixels of a stored image come from its file, if that has not changed since it was added, or else from its
    stored thumbnail.
    """

    def __init__(self, catalog: Catalog, originals: Originals) -> None:
        self._catalog = catalog
        self._originals = originals
        self._encoder = VerificationEncoder()
        self._verifier = Verifier()
        self._workers = usable_cores()
        self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="verify")
        self._sides: _LruCache[bytes, Side] = _LruCache(CACHED_SIDES)
        self._results: _LruCache[tuple[bytes, bytes], Verification] = _LruCache(CACHED_RESULTS)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def verify(
        self, query: PreparedQuery, reader: QueryReader, candidates: Sequence[ToVerify], budget_ms: float
    ) -> VerifiedCandidates:
        """Compare a query with its candidates, which are in the order of their distances, the nearest first.

        All within a copy threshold are verified; of the others the first `MAX_SIMILAR_VERIFIED`, while none has been
        verified as a copy. The budget is checked before each batch of one candidate a core.
        """
        until = time.monotonic() + budget_ms / 1000
        near = [c for c in candidates if c.copy_by_distance]
        similar = [c for c in candidates if not c.copy_by_distance][:MAX_SIMILAR_VERIFIED]
        results: dict[int, Verification] = {}
        unavailable, skipped = 0, set[int]()
        side = self._query_side(query, reader) if candidates else None
        for chunk in (*self._chunks(near), *self._chunks(similar)):
            if not chunk[0].copy_by_distance and any(label(v)[0] == "copy" for v in results.values()):
                break
            if time.monotonic() > until:
                skipped.update(candidate.record.id for candidate in chunk)
                continue
            compared = self._executor.map(lambda c: self._compare(query.prepared.sha256, side, c.record), chunk)
            for candidate, result in zip(chunk, compared, strict=True):
                if result is None:
                    unavailable += 1
                else:
                    results[candidate.record.id] = result
        report = VerificationReport(len(results), unavailable, len(skipped), budget_ms)
        return VerifiedCandidates(results, frozenset(skipped), report)

    def _chunks(self, candidates: Sequence[ToVerify]) -> list[Sequence[ToVerify]]:
        return [candidates[at : at + self._workers] for at in range(0, len(candidates), self._workers)]

    def compare(self, a: PreparedQuery, b: PreparedQuery, reader: QueryReader) -> Verification | None:
        """Compare two queries, `b` in the place of the stored image; None if the pixels of either are not available."""
        sides = self._query_side(a, reader), self._query_side(b, reader)
        return None if sides[0] is None or sides[1] is None else self._verifier.verify(sides[0], sides[1])

    def are_copies(self, pairs: Sequence[tuple[int, int]]) -> list[bool]:
        """Say of pairs of stored images, by id, whether one is a copy of the other.

        A pair is refuted by its pixels only: where those of one image are not available, the distance that linked the
        two counts.
        """
        records = self._catalog.images.by_ids({id_ for pair in pairs for id_ in pair})

        def check(pair: tuple[int, int]) -> bool:
            kept, other = (records.get(id_) for id_ in pair)
            if kept is None or other is None:
                return False  # deleted meanwhile
            if kept.pixels is not None and kept.pixels == other.pixels:
                return True
            result = self._compare(other.sha256, self._stored_side(other), kept)
            return result is None or label(result)[0] == "copy"

        return list(self._executor.map(check, pairs))

    def _compare(self, sha256: bytes, query: Side | None, record: Record) -> Verification | None:
        pair = sha256, record.sha256
        if (known := self._results.get(pair)) is not None:
            return known
        stored = None if query is None else self._stored_side(record)
        if query is None or stored is None:
            return None
        result = self._verifier.verify(query, stored)
        self._results.put(pair, result)
        return result

    def _query_side(self, query: PreparedQuery, reader: QueryReader) -> Side | None:
        if query.record is not None:
            return self._stored_side(query.record)
        pixels = self.query_pixels(query, reader)
        return (
            None if pixels is None else self._encoder.from_pixels(pixels, query.prepared.width, query.prepared.height)
        )

    def query_pixels(self, query: PreparedQuery, reader: QueryReader) -> Pixels | None:
        """Reduced RGB pixels of a query; None if they are not available."""
        if query.record is not None:
            return self._stored_pixels(query.record)
        return query.prepared.reduced if query.prepared.reduced is not None else reader.read_reduced(query)

    def original(self, record: Record) -> bytes | None:
        """The bytes of a stored image; None if they are gone, have changed, or their store is down."""
        try:
            return self._originals.read_original(record)
        except (NotFound, Unavailable):
            return None

    def with_bytes(self, query: PreparedQuery) -> PreparedQuery:
        """The query with the bytes of an object as its source, where it is a stored image in an object store."""
        if query.record is None or not is_url(query.record.path):
            return query
        return replace(query, source=self.original(query.record))

    def _stored_side(self, record: Record) -> Side | None:
        if (known := self._sides.get(record.sha256)) is not None:
            return known
        pixels = self._stored_pixels(record)
        if pixels is None:
            return None
        side = self._encoder.from_pixels(pixels, record.width, record.height)
        self._sides.put(record.sha256, side)
        return side

    def _stored_pixels(self, record: Record) -> Pixels | None:
        """RGB pixels of a stored image at a reduced scale; None if neither its file nor a thumbnail is available."""
        if (data := self.original(record)) is not None:
            try:
                return reduce_to(decode(data, limits=self._originals.limits, box=(SIDE, 1)).rgb, SIDE)
            except ImageRejected:
                pass  # beyond the limits of today
        thumbnail = self._catalog.images.thumbnail(record.id)
        return None if thumbnail is None else reduce_to(decode(thumbnail).rgb, SIDE)


class _LruCache(Generic[K, V]):
    """The most recently used values. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
