"""Codes cut into segments that an inverted index can hold, and which of them a search must ask for.

A code of 64 bits becomes s terms, one a segment. A search asks for each segment t all values within a_t flipped bits
of the query's own, and wants at least m of the s segments to hit. A code that is missed differs, in at least s - m + 1
segments, by at least a_t + 1 bits each; so every code within `sum of the s - m + 1 smallest (a_t + 1), less 1` bits is
found. With a_t = 0 that is s - m, the published rule (m = 5 of s = 8 bytes: 3 bits); with m = 1 it is multi-index
hashing (M. Norouzi, A. Punjani, D. Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import comb

import numpy as np
from numpy.typing import NDArray

BITS = 64
SEGMENTATIONS = (2, 3, 4, 5, 6, 8, 11, 16)
"""Numbers of segments to choose from: of 32 bits down to 4."""
MAX_TERMS = 8192
"""Terms of one search; beyond it a request is larger and slower than reading every row of most galleries."""

# What the parts of a search cost the server and us, in microseconds; measured by `python -m benchmarks.elastic_costs`
# on one shard. Only ratios matter.
TERM_COST = 2.5
"""A value that is looked up."""
POSTING_COST = 0.1
"""A row in the list of a value, whether it comes out or not."""
CANDIDATE_COST = 8.0
"""A row that comes out: sorted, sent, parsed and compared."""

Codes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A code cut into `count` segments, as even as may be; each is a term, `3f0`: the position, then the bits."""

    count: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of each segment, from the lowest on."""
        return _layout(self.count).widths

    @property
    def name(self) -> str:
        """As index names show it: `8x8`."""
        return f"{self.count}x{max(self.widths)}"

    @property
    def formats(self) -> tuple[str, ...]:
        """How each segment is written, for `%`."""
        return _layout(self.count).formats

    def values(self, codes: Codes) -> NDArray[np.uint64]:
        """The segments of codes `(n,)`: `(n, count)`."""
        layout = _layout(self.count)
        cut: NDArray[np.uint64] = (codes[:, None] >> np.array(layout.starts, np.uint64)) & np.array(
            layout.masks, np.uint64
        )
        return cut

    def terms(self, code: int, plan: "SegmentPlan") -> list[list[str]]:
        """The terms that a search asks for: a list for each segment that is looked into."""
        layout = _layout(self.count)
        return [
            [written % ((code >> start & mask) ^ flip) for flip in _flip_masks(width, share - 1)]
            for written, start, mask, width, share in zip(
                layout.formats, layout.starts, layout.masks, layout.widths, plan.shares, strict=True
            )
            if share
        ]


@dataclass(frozen=True, slots=True)
class SegmentPlan:
    """How segments are asked: t within `shares[t] - 1` flipped bits (0: not at all), `at_least` of them must hit."""

    segmentation: Segmentation
    shares: tuple[int, ...]
    min_matches: int

    @property
    def radius(self) -> int:
        """Every code within so many bits is found."""
        spoilt = self.segmentation.count - self.min_matches + 1
        return sum(sorted(self.shares)[:spoilt]) - 1

    @property
    def terms(self) -> int:
        """How many terms it asks for."""
        return sum(self._counts())

    def candidates(self, rows: int) -> float:
        """How many rows will come out, of so many whose bits are random."""
        chances = [count / 2.0**width for count, width in zip(self._counts(), self.segmentation.widths, strict=True)]
        hits = np.ones(1)  # hits[j]: how likely it is that j segments hit
        for chance in chances:
            hits = np.convolve(hits, [1 - chance, chance])
        return rows * float(hits[self.min_matches :].sum())

    def postings(self, rows: int) -> float:
        """How many rows are in the lists of its terms."""
        return sum(
            rows * count / 2.0**width for count, width in zip(self._counts(), self.segmentation.widths, strict=True)
        )

    def cost(self, rows: int) -> float:
        """Microseconds for one query in an index of so many rows, beyond what any request takes."""
        return TERM_COST * self.terms + POSTING_COST * self.postings(rows) + CANDIDATE_COST * self.candidates(rows)

    def _counts(self) -> list[int]:
        return [
            values_within(width, share - 1) for width, share in zip(self.segmentation.widths, self.shares, strict=True)
        ]


def published_plan(min_matches: int) -> SegmentPlan:
    """The published rule: at least so many of eight bytes are the same."""
    return SegmentPlan(Segmentation(8), (1,) * 8, min_matches)


def values_within(width: int, flips: int) -> int:
    """How many values of `width` bits differ in at most `flips` bits from a given one; none for -1."""
    return sum(comb(width, bits) for bits in range(flips + 1))


@cache
def expected_candidates(plan: SegmentPlan, rows: int) -> float:
    """`plan.candidates`, remembered: every search asks."""
    return plan.candidates(rows)


@cache
def best_plan(radius: int, rows: int, segmentation: Segmentation | None = None) -> SegmentPlan | None:
    """The cheapest plan that misses nothing within `radius` bits, among all segmentations or of one.

    None where every plan needs more than `MAX_TERMS` terms.
    """
    among = [segmentation] if segmentation else [Segmentation(count) for count in SEGMENTATIONS]
    plans = [plan for each in among for plan in _plans(each, radius) if plan.terms <= MAX_TERMS]
    return min(plans, key=lambda plan: (plan.cost(rows), plan.segmentation.count), default=None)


def _plans(segmentation: Segmentation, radius: int) -> list[SegmentPlan]:
    """For each m, the radius shared out evenly over the smallest shares, which count; the rest equals the largest."""
    found = []
    for at_least in range(1, segmentation.count + 1):
        counted = segmentation.count - at_least + 1
        each, more = divmod(radius + 1, counted)
        shares = [each] * (counted - more) + [each + 1] * more
        shares += [shares[-1]] * (at_least - 1)
        plan = SegmentPlan(segmentation, tuple(reversed(shares)), at_least)
        if plan.terms <= MAX_TERMS:
            found.append(plan)
    return found


@dataclass(frozen=True, slots=True)
class _Layout:
    widths: tuple[int, ...]
    starts: tuple[int, ...]
    masks: tuple[int, ...]
    formats: tuple[str, ...]


@cache
def _layout(count: int) -> _Layout:
    each, more = divmod(BITS, count)
    widths = tuple(each + (place < more) for place in range(count))
    return _Layout(
        widths,
        tuple(sum(widths[:place]) for place in range(count)),
        tuple((1 << width) - 1 for width in widths),
        tuple(f"{place:x}%0{-(-width // 4)}x" for place, width in enumerate(widths)),
    )


@cache
def _flip_masks(width: int, flips: int) -> Sequence[int]:
    """All patterns of `width` bits with at most `flips` ones."""
    places = [1 << bit for bit in range(width)]
    return [sum(chosen) for bits in range(flips + 1) for chosen in itertools.combinations(places, bits)]
