"""Which buckets of four 16-bit tables must be probed to find every code within a radius.

A 64-bit code is cut into four segments of 16 bits. Probe table t within the radius a_t (-1: not at all). A code found
in no table differs by at least a_t + 1 bits in every segment, hence by at least the sum of all a_t + 1 in total. So if
that sum is r + 1, every code within r bits is found, however the radius is split: evenly (M. Norouzi, A. Punjani,
D. Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014), or, where real codes crowd into few
buckets of one table, mostly to the other tables (J. Qin et al., "GPH: Similarity Search in Hamming Space", 2018).
"""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

TABLES = 4
SEGMENT_BITS = 16
BUCKETS = 1 << SEGMENT_BITS
NEIGHBOURHOOD_SIZES = (1, 17, 137, 697, 2517)
"""Number of 16-bit values within 0, 1, 2, 3, 4 bits of a given one."""
MAX_RADIUS = TABLES * len(NEIGHBOURHOOD_SIZES) - 1
"""19: beyond it there are so many buckets to probe that scanning is cheaper at any size that fits one process."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes for one split of a radius: the table of each, and the bits to flip in that table's segment."""

    table: Numbers
    flips: Numbers

    def buckets(self, own: Numbers) -> Numbers:
        """The numbers of the buckets to probe, given the four buckets of the code itself (see `own_buckets`)."""
        return own[self.table] ^ self.flips


def _flip_masks() -> Numbers:
    """All 16-bit masks of at most four bits, those with fewer bits first."""
    patterns = np.arange(BUCKETS)
    return np.argsort(np.bitwise_count(patterns), kind="stable")[: NEIGHBOURHOOD_SIZES[-1]]


FLIP_MASKS = _flip_masks()


def own_buckets(code: int) -> Numbers:
    """The bucket of a code in each table (4,), numbered across all tables."""
    return np.array([(t << SEGMENT_BITS) | ((code >> (SEGMENT_BITS * t)) & (BUCKETS - 1)) for t in range(TABLES)])


@cache
def probes(shares: tuple[int, ...]) -> Probes:
    """The probes that cover table t within `shares[t] - 1` bits of the code's segment; 0: not at all."""
    counts = [NEIGHBOURHOOD_SIZES[share - 1] if share else 0 for share in shares]
    flips = np.concatenate([FLIP_MASKS[:count] for count in counts])
    return Probes(np.repeat(np.arange(TABLES), counts), flips)


@cache
def even_probes(radius: int) -> Probes:
    """The probes for `radius` split as evenly as possible."""
    share, remainder = divmod(radius + 1, TABLES)
    return probes(tuple(share + (t < remainder) for t in range(TABLES)))


@cache
def radius_splits(radius: int) -> Numbers:
    """Every split of a radius over the four tables: shares (m, 4) whose rows sum to `radius + 1`."""
    shares = range(len(NEIGHBOURHOOD_SIZES) + 1)
    return np.array([split for split in itertools.product(shares, repeat=TABLES) if sum(split) == radius + 1])
