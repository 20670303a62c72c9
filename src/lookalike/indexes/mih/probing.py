"""Which buckets of four 16-bit tables must be looked into to miss nothing within a radius: the segment idea, exactly.

A 64-bit code is cut into four segments of 16 bits. Give table t the radius a_t (-1: not looked into at all). A code
that no table shows differs by at least a_t + 1 bits in every segment, hence by the sum of a_t + 1 bits in all. So if
these sum to r + 1, every code within r bits is seen, however the radii are shared out: evenly (M. Norouzi, A. Punjani,
D. Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014), or, where real codes crowd into few
buckets of one table, away from that table (J. Qin et al., "GPH: Similarity Search in Hamming Space", 2018).
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
"""How many 16-bit values differ in at most 0, 1, 2, 3, 4 bits from a given one."""
MAX_RADIUS = TABLES * len(NEIGHBOURHOOD_SIZES) - 1
"""Beyond it (19) the buckets are so many that scanning is cheaper at any size that one process holds."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of one sharing-out of a radius: of each, its table, and the bits to flip in that table's segment."""

    table: Numbers
    flips: Numbers

    def buckets(self, own: Numbers) -> Numbers:
        """The numbers of the buckets, given the four that the code itself falls into (see `own_buckets`)."""
        return own[self.table] ^ self.flips


def _flip_masks() -> Numbers:
    """All 16-bit patterns of at most four bits, those with fewer bits first."""
    patterns = np.arange(BUCKETS)
    return np.argsort(np.bitwise_count(patterns), kind="stable")[: NEIGHBOURHOOD_SIZES[-1]]


FLIP_MASKS = _flip_masks()


def own_buckets(code: int) -> Numbers:
    """The bucket of a code in each table, numbered through all tables: (4,)."""
    return np.array([(t << SEGMENT_BITS) | ((code >> (SEGMENT_BITS * t)) & (BUCKETS - 1)) for t in range(TABLES)])


@cache
def probes(shares: tuple[int, ...]) -> Probes:
    """The probes where table t is looked into within `shares[t] - 1` bits of the code's segment; 0: not at all."""
    counts = [NEIGHBOURHOOD_SIZES[share - 1] if share else 0 for share in shares]
    flips = np.concatenate([FLIP_MASKS[:count] for count in counts])
    return Probes(np.repeat(np.arange(TABLES), counts), flips)


@cache
def even_probes(radius: int) -> Probes:
    """The probes where the tables share `radius` as evenly as they can."""
    each, more = divmod(radius + 1, TABLES)
    return probes(tuple(each + (t < more) for t in range(TABLES)))


@cache
def radius_splits(radius: int) -> Numbers:
    """Every way for four tables to share a radius: (m, 4), each row sums to `radius + 1`."""
    shares = range(len(NEIGHBOURHOOD_SIZES) + 1)
    ways = [way for way in itertools.product(shares, repeat=TABLES) if sum(way) == radius + 1]
    return np.array(ways)
