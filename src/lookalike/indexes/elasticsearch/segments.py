"""Segmentation of codes into terms of an inverted index, and the planner of segment queries.

A 64-bit code becomes s terms, one per segment. A search queries, for each segment t, all values within a_t flipped bits
of the query's segment, and requires at least m of the s segments to match. A missed code differs, in at least s - m + 1
segments, by at least a_t + 1 bits each. So every code within `sum of the s - m + 1 smallest (a_t + 1), minus 1` bits is
found. With a_t = 0 that is s - m, the published rule (m = 5 of s = 8 bytes: 3 bits); with m = 1 it is multi-index
hashing (M. Norouzi, A. Punjani, D. Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray

BITS = 64
SEGMENTATIONS = (2, 3, 4, 5, 6, 8, 11, 16)
"""Numbers of segments to choose from: of 32 down to 4 bits."""
MAX_TERMS = 8192
"""Terms of one search; beyond it a request is larger and slower than reading every row of most galleries."""

# Cost model of a search, server and client together, in microseconds, measured by `python -m benchmarks.elastic_costs`
# on one shard; only the ratios matter.
TERM_COST = 2.5
"""Looking up one term."""
POSTING_COST = 0.1
"""Reading one entry of a posting list, whether or not the row matches."""
CANDIDATE_COST = 8.0
"""One matching row: sorted, sent, parsed and compared."""

Codes = NDArray[np.uint64]


@dataclass(frozen=True)
class Segmentation:
    """`count` segments of nearly equal width; each becomes a term such as `3f0`: its position, then its bits in hex."""

    count: int

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Bits of each segment, lowest first."""
        width, remainder = divmod(BITS, self.count)
        return tuple(width + (position < remainder) for position in range(self.count))

    @cached_property
    def starts(self) -> tuple[int, ...]:
        return tuple(sum(self.widths[:position]) for position in range(self.count))

    @cached_property
    def formats(self) -> tuple[str, ...]:
        """The `%` format of each segment's term."""
        return tuple(f"{position:x}%0{-(-width // 4)}x" for position, width in enumerate(self.widths))

    @property
    def name(self) -> str:
        """Name in index names, such as `8x8`."""
        return f"{self.count}x{max(self.widths)}"

    def values(self, codes: Codes) -> NDArray[np.uint64]:
        """The segments `(n, count)` of codes `(n,)`."""
        masks = np.array([(1 << width) - 1 for width in self.widths], np.uint64)
        return (codes[:, None] >> np.array(self.starts, np.uint64)) & masks

    def terms(self, code: int, plan: "SegmentPlan") -> list[list[str]]:
        """The terms of a search: a list for each segment that the plan queries."""
        return [
            [term % ((code >> start & ((1 << width) - 1)) ^ flip) for flip in _flip_masks(width, share - 1)]
            for term, start, width, share in zip(self.formats, self.starts, self.widths, plan.shares, strict=True)
            if share
        ]


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """A segment query: segment t within `shares[t] - 1` flipped bits (0: not queried); `min_matches` must match."""

    segmentation: Segmentation
    shares: tuple[int, ...]
    min_matches: int

    @property
    def radius(self) -> int:
        """Every code within this many bits is found."""
        mismatches = self.segmentation.count - self.min_matches + 1
        return sum(sorted(self.shares)[:mismatches]) - 1

    @property
    def terms(self) -> int:
        return sum(self._counts())

    def candidates(self, rows: int) -> float:
        """Expected number of matches among `rows` random codes."""
        matched = np.ones(1)  # matched[j]: probability that j segments match
        for probability in self._probabilities():
            matched = np.convolve(matched, [1 - probability, probability])
        return rows * float(matched[self.min_matches :].sum())

    def postings(self, rows: int) -> float:
        """Expected number of entries in the posting lists of its terms."""
        return sum(rows * probability for probability in self._probabilities())

    def cost(self, rows: int) -> float:
        """Microseconds for one query in an index of `rows`, beyond the fixed cost of a request."""
        return TERM_COST * self.terms + POSTING_COST * self.postings(rows) + CANDIDATE_COST * self.candidates(rows)

    def _probabilities(self) -> list[float]:
        """The probability that each segment of a random code matches."""
        return [count / 2.0**width for count, width in zip(self._counts(), self.segmentation.widths, strict=True)]

    def _counts(self) -> list[int]:
        """The number of values of each segment that are queried: those within `share - 1` flipped bits."""
        pairs = zip(self.segmentation.widths, self.shares, strict=True)
        return [sum(comb(width, bits) for bits in range(share)) for width, share in pairs]


def published_plan(min_matches: int) -> SegmentPlan:
    """The published rule: at least `min_matches` of eight bytes are equal."""
    return SegmentPlan(Segmentation(8), (1,) * 8, min_matches)


@cache
def expected_candidates(plan: SegmentPlan, rows: int) -> float:
    """`plan.candidates(rows)`, cached: every search needs it."""
    return plan.candidates(rows)


@cache
def best_plan(radius: int, rows: int, segmentation: Segmentation | None = None) -> SegmentPlan | None:
    """The cheapest plan that finds everything within `radius` bits, among all segmentations or of one.

    None if every plan needs more than `MAX_TERMS` terms.
    """
    segmentations = [segmentation] if segmentation else [Segmentation(count) for count in SEGMENTATIONS]
    plans = [plan for each in segmentations for plan in _plans(each, radius) if plan.terms <= MAX_TERMS]
    return min(plans, key=lambda plan: (plan.cost(rows), plan.segmentation.count), default=None)


def _plans(segmentation: Segmentation, radius: int) -> Iterator[SegmentPlan]:
    """For each m, the radius split evenly over the s - m + 1 smallest shares, the others equal to the largest."""
    for min_matches in range(1, segmentation.count + 1):
        smallest = segmentation.count - min_matches + 1
        share, remainder = divmod(radius + 1, smallest)
        shares = [share] * (smallest - remainder) + [share + 1] * remainder
        shares += [shares[-1]] * (min_matches - 1)
        yield SegmentPlan(segmentation, tuple(reversed(shares)), min_matches)


@cache
def _flip_masks(width: int, flips: int) -> Sequence[int]:
    """All `width`-bit masks with at most `flips` ones."""
    masks = [1 << bit for bit in range(width)]
    return [sum(chosen) for bits in range(flips + 1) for chosen in itertools.combinations(masks, bits)]
