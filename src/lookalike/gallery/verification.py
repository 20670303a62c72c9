"""Verification of candidates: their pixels are compared with the query's, most likely candidates first."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from lookalike.catalog import Catalog
from lookalike.cpu import usable_cores
from lookalike.errors import Unavailable
from lookalike.gallery.originals import Originals
from lookalike.gallery.queries import PreparedQuery, QueryReader
from lookalike.gallery.stored_sides import ComparedImage, LruCache, StoredSides
from lookalike.sources.urls import is_url
from lookalike.types import Record, Verification, VerificationReport
from lookalike.verification import Side, Small, Verifier, available, label

MAX_SIMILAR_VERIFIED = 10
"""Candidates beyond the copy threshold that are verified, while none has been verified as a copy."""
DEFAULT_BUDGET_MS = 5000.0
"""Milliseconds after which no further candidate of a query is verified: a bound for galleries with many near images,
far above the usual time, so that answers do not depend on how busy the machine is."""
CACHED_RESULTS = 4096
"""Pairs whose result is kept, so that the pages of a search agree."""


COMPARISON_VERSION = 3
"""To be raised when comparing the same bytes may give another result: pairs in catalogs are compared again then."""

log = logging.getLogger("lookalike")


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
    """Compares queries with stored images, as `StoredSides` reads them. Thread-safe."""

    def __init__(self, catalog: Catalog, originals: Originals) -> None:
        self._catalog = catalog
        self._verifier = Verifier()
        self._workers = usable_cores()
        self._executor = ThreadPoolExecutor(self._workers, thread_name_prefix="verify")
        self._stored = StoredSides(catalog, originals)
        self._results: LruCache[tuple[bytes, bytes, Small | None], Verification] = LruCache(CACHED_RESULTS)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def image_of(self, query: PreparedQuery, reader: QueryReader) -> ComparedImage:
        """A query, to be compared with candidates or with another query."""
        return ComparedImage(query, reader, self._stored)

    def verify(
        self,
        query: ComparedImage,
        candidates: Sequence[ToVerify],
        budget_ms: float,
        *,
        small: Small | None = None,
        wants_all: bool = False,
    ) -> VerifiedCandidates:
        """Compare a query with its candidates, which are in the order of their distances, the nearest first.

        All within a copy threshold are verified; of the others the first `MAX_SIMILAR_VERIFIED`, while none has been
        verified as a copy, or in any case (`wants_all`). The budget is checked before each batch of one candidate a
        core. With `small`, those that are not alike are also compared as images of which that one is a small part of
        the other.
        """
        until = time.monotonic() + budget_ms / 1000
        near = [c for c in candidates if c.copy_by_distance]
        similar = [c for c in candidates if not c.copy_by_distance][:MAX_SIMILAR_VERIFIED]
        results: dict[int, Verification] = {}
        unavailable, skipped = 0, set[int]()
        side = query.side if candidates else None
        for chunk in (*self._chunks(near), *self._chunks(similar)):
            is_near = chunk[0].copy_by_distance
            if not (is_near or wants_all) and any(label(v)[0] == "copy" for v in results.values()):
                break
            if time.monotonic() > until:
                skipped.update(candidate.record.id for candidate in chunk)
                continue
            if side is not None and chunk[0] is next(iter(similar), None):
                self._extract(side)
            compared = self._executor.map(lambda c: self._compare(query.sha256, side, c.record, small), chunk)
            for candidate, result in zip(chunk, compared, strict=True):
                if result is None:
                    unavailable += 1
                else:
                    results[candidate.record.id] = result
        report = VerificationReport(len(results), unavailable, len(skipped), budget_ms)
        return VerifiedCandidates(results, frozenset(skipped), report)

    def _extract(self, query: Side) -> None:
        """Extract the query's features on two cores: candidates that are not near need them, at the same time."""
        list(self._executor.map(lambda mirrored: self._verifier.extract(query, mirrored=mirrored), (False, True)))

    def _chunks(self, candidates: Sequence[ToVerify]) -> list[Sequence[ToVerify]]:
        return [candidates[at : at + self._workers] for at in range(0, len(candidates), self._workers)]

    def compare(self, a: ComparedImage, b: ComparedImage) -> Verification | None:
        """Compare two queries, `b` in the place of the stored image; None if the pixels of either are not available."""
        return None if a.side is None or b.side is None else self._verifier.verify(a.side, b.side)

    def original(self, record: Record) -> bytes | None:
        """The bytes of a stored image, None where they are not at hand."""
        return self._stored.original(record)

    def with_bytes(self, query: PreparedQuery) -> PreparedQuery:
        """The query with the bytes of an object as its source, where it is a stored image in an object store."""
        if query.record is None or not is_url(query.record.path):
            return query
        return replace(query, source=self.original(query.record))

    def are_copies(self, pairs: Sequence[tuple[int, int]]) -> list[bool]:
        """Say of pairs of stored images, by id, whether one is a copy of the other.

        A pair is refuted by its pixels only: where those of one image are not available, the distance that linked the
        two counts.
        """
        records = self._catalog.images.by_ids({id_ for pair in pairs for id_ in pair})
        known = self._catalog.compared_pairs.get(pairs)
        new: dict[tuple[int, int], tuple[bytes, bool]] = {}
        how = f"{COMPARISON_VERSION} {int(available())}".encode()

        def check(pair: tuple[int, int]) -> bool:
            kept, other = (records.get(id_) for id_ in pair)
            if kept is None or other is None:
                return False  # deleted meanwhile
            if kept.pixels is not None and kept.pixels == other.pixels:
                return True
            digest = _pair_digest(kept, other, how)
            if pair in known and known[pair][0] == digest:
                return known[pair][1]
            is_copy = self._is_copy(other, kept)
            if is_copy is None:
                return True
            new[pair] = digest, is_copy
            return is_copy

        checked = list(self._executor.map(check, pairs))
        try:
            self._catalog.compared_pairs.put(new)
        except Unavailable as error:
            log.warning("the results of comparing %d pairs are not kept: %s", len(new), error)
        return checked

    def _is_copy(self, image: Record, kept: Record) -> bool | None:
        """Whether the pixels of two stored images say that they are copies; None where they are not available."""
        if (known := self._results.get((image.sha256, kept.sha256, None))) is not None:
            return label(known)[0] == "copy"
        query, stored = self._stored.side(image), self._stored.side(kept)
        return None if query is None or stored is None else self._verifier.is_copy(query, stored)

    def _compare(
        self, sha256: bytes, query: Side | None, record: Record, small: Small | None = None
    ) -> Verification | None:
        pair = sha256, record.sha256, small
        if (known := self._results.get(pair)) is not None:
            return known
        stored = None if query is None else self._stored.side(record)
        if query is None or stored is None:
            return None
        result = self._verifier.verify(query, stored) if small is None else self._as_part(sha256, query, record, small)
        if result is not None:
            self._results.put(pair, result)
        return result

    def _as_part(self, sha256: bytes, query: Side, record: Record, small: Small) -> Verification | None:
        """Compare as whole images first, then, where they are not alike, as an image and a part of it."""
        whole, stored = self._compare(sha256, query, record), self._stored.side(record)
        if whole is None or stored is None or label(whole)[0] != "similar":
            return whole
        part = self._verifier.verify_part(query, stored, small=small)
        return part if part is not None and (part.agreement or 0.0) > (whole.agreement or 0.0) else whole


def _pair_digest(kept: Record, other: Record, how: bytes) -> bytes:
    """What a stored result is of: the bytes of both images, and how they were compared."""
    return hashlib.sha256(kept.sha256 + other.sha256 + how).digest()[:16]
