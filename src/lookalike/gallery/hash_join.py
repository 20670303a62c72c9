"""All pairs of 64-bit hashes within a Hamming radius, the orientations of each image considered, without an index.

Where two codes differ by at most r bits and are cut into s segments, at least s - r segments are equal (the pigeonhole
principle; as in G. Manku, A. Jain, A. Das Sarma, "Detecting Near-Duplicates for Web Crawling", 2007). So for each
choice of s - r segments the codes are sorted into buckets by these segments alone, and only codes of one bucket are
compared. Few codes are compared directly.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.cpu import usable_cores

BITS = 64
MAX_SEGMENTS = 12
# Cost model in nanoseconds, on one core of the machine of docs/numbers.md; only the ratios matter.
COMPARE_COST = 1.0
"""Comparing one pair in a block of all pairs."""
CANDIDATE_COST = 15.0
"""Finding and comparing one pair of one bucket."""
LOOKUP_COST = 40.0
"""Finding the bucket of one code, or sorting one code into its bucket."""
SKEW = 4.0
"""How many times as many codes share a bucket as of random codes: the bits of photos are not independent."""
_BLOCK = 1 << 16  # queries looked up at a time
_CANDIDATES = 1 << 20  # pairs compared at a time: 30 MB
_TILE = 1 << 10  # queries and rows compared directly at a time: 8 MB of differences
_HASH = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing (Knuth, TAOCP vol. 3, section 6.4)

Codes = NDArray[np.uint64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class HashPairs:
    """Pairs of rows, `first` < `second`, each once, with their distance in bits."""

    first: Numbers
    second: Numbers
    bits: NDArray[np.uint8]


def join_hashes(views: Codes, radius: int, *, changed: Numbers | None = None) -> HashPairs:
    """Find every pair of images within `radius` bits.

    The distance of two images is the larger one of both directions: of the best view of one from the code of the other,
    and the reverse. It does not depend on the order of the two. Uses all cores. Memory grows with the images and the
    pairs: a process that joined a million hashes with 0.9 million pairs took 504 MB at most.

    Args:
        views: `(n, v)`: the codes of each image in all orientations; the first column is the image as it is.
        radius: Largest distance of a pair, in bits.
        changed: Row numbers, ascending: only pairs with one of these are returned; all by default.
    """
    count = len(views)
    rows = np.arange(count) if changed is None else changed
    if radius < 0 or count < 2 or not len(rows):
        return _pairs(np.empty(0, np.int64), views, radius)
    is_changed = np.ones(count, np.bool_)
    if changed is not None:
        is_changed[:] = False
        is_changed[changed] = True
    search = _Search(views, rows, is_changed, radius)
    segments = _cheapest_segments(count, len(rows) * views.shape[1], radius)
    with ThreadPoolExecutor(usable_cores(), "join") as pool:
        found = list(pool.map(lambda task: task(), search.tasks(segments)))
    return _pairs(np.concatenate(found) if found else np.empty(0, np.int64), views, radius)


def _cheapest_segments(rows: int, queries: int, radius: int) -> int:
    """The number of segments, 0 for direct comparison."""
    costs = {0: COMPARE_COST * rows * queries}
    for segments in range(radius + 1, MAX_SEGMENTS + 1):
        equal = segments - radius
        choices = math.comb(segments, equal)
        key_bits = min(equal * BITS / segments, math.log2(rows) + 1)
        candidates = queries * (1 + SKEW * rows / 2.0**key_bits)
        costs[segments] = choices * (LOOKUP_COST * (rows + queries) + CANDIDATE_COST * candidates)
    return min(costs, key=lambda segments: costs[segments])


class _Search:
    """Candidate pairs, as `first * n + second`, of the views of `rows` and the codes of all rows."""

    def __init__(self, views: Codes, rows: Numbers, is_changed: NDArray[np.bool_], radius: int) -> None:
        self._views = views
        self._codes = np.ascontiguousarray(views[:, 0])
        self._rows = rows
        self._is_changed = is_changed
        self._radius = np.uint8(radius)

    def tasks(self, segments: int) -> Iterator[Any]:
        """Independent calls that together find every pair within the radius."""
        if not segments:
            for start in range(0, len(self._rows), _TILE):
                yield lambda start=start: self._compare_all(self._rows[start : start + _TILE])
            return
        masks = _segment_masks(segments)
        for chosen in combinations(range(segments), segments - int(self._radius)):
            yield lambda chosen=chosen: self._compare_buckets(masks, chosen)

    def _compare_all(self, queries: Numbers) -> Numbers:
        found: list[Numbers] = []
        low = 0 if not self._is_changed.all() else int(queries[0])
        for view in range(self._views.shape[1]):
            codes = self._views[queries, view]
            for start in range(low, len(self._codes), _TILE):
                block = self._codes[start : start + _TILE]
                near = np.flatnonzero(np.bitwise_count(codes[:, None] ^ block) <= self._radius)
                query, row = np.divmod(near, len(block))
                found.append(self._numbered(queries[query], row + start))
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def _compare_buckets(self, masks: Sequence[np.uint64], chosen: tuple[int, ...]) -> Numbers:
        mask = np.bitwise_or.reduce([masks[n] for n in chosen])
        shift = np.uint64(BITS - max(8, math.ceil(math.log2(len(self._codes)))))
        keys = ((self._codes & mask) * _HASH) >> shift
        order = np.argsort(keys, kind="stable")
        starts = np.zeros((1 << int(BITS - shift)) + 1, np.int64)
        np.cumsum(np.bincount(keys.astype(np.int64), minlength=len(starts) - 1), out=starts[1:])
        sorted_codes = self._codes[order]
        found: list[Numbers] = []
        for view in range(self._views.shape[1]):
            for start in range(0, len(self._rows), _BLOCK):
                queries = self._rows[start : start + _BLOCK]
                codes = self._views[queries, view]
                bucket = (((codes & mask) * _HASH) >> shift).astype(np.int64)
                first = starts[bucket]
                sizes = starts[bucket + 1] - first
                for begin, end in _groups(sizes):
                    piece = sizes[begin:end]
                    query = np.repeat(np.arange(begin, end), piece)
                    at = np.arange(len(query)) + np.repeat(first[begin:end] - (np.cumsum(piece) - piece), piece)
                    near = np.flatnonzero(np.bitwise_count(codes[query] ^ sorted_codes[at]) <= self._radius)
                    if len(near):
                        found.append(self._numbered(queries[query[near]], order[at[near]]))
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)

    def _numbered(self, query: Numbers, row: Numbers) -> Numbers:
        """The pairs as numbers, without an image with itself, and of two changed images in one direction only."""
        keep = (query < row) | ~self._is_changed[row]
        query, row = query[keep], row[keep]
        numbered: Numbers = np.minimum(query, row) * len(self._codes) + np.maximum(query, row)
        return numbered


def _segment_masks(segments: int) -> list[np.uint64]:
    edges = [round(n * BITS / segments) for n in range(segments + 1)]
    return [np.uint64(((1 << (end - start)) - 1) << start) for start, end in pairwise(edges)]


def _groups(sizes: Numbers) -> Iterator[tuple[int, int]]:
    """Ranges of queries with at most `_CANDIDATES` candidates together, or one query."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        offset = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, offset + _CANDIDATES, side="right")))
        yield begin, end
        begin = end


def _pairs(numbered: Numbers, views: Codes, radius: int) -> HashPairs:
    """The pairs whose distance in both directions is within the radius."""
    first, second = np.divmod(np.unique(numbered), max(len(views), 1))
    bits = symmetric_bits(views, first, second)
    near = bits <= max(radius, 0)
    return HashPairs(first[near], second[near], bits[near])


def symmetric_bits(views: Codes, first: Numbers, second: Numbers) -> NDArray[np.uint8]:
    """The distance of each pair of rows in bits, as `join_hashes` defines it: `(m,)`."""
    bits = np.empty(len(first), np.uint8)
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = views[first[part]], views[second[part]]
        there = np.bitwise_count(a ^ b[:, :1]).min(axis=1)
        back = np.bitwise_count(b ^ a[:, :1]).min(axis=1)
        bits[part] = np.maximum(there, back)
    return bits
