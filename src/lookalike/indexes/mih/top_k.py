"""Scope and result heap of a multi-index hashing search."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Ids

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SearchScope:
    """Which rows match: of one tenant, among `allowed` ids (sorted), with at least `equal_bytes` equal bytes."""

    tenant: int | None = None
    allowed: Ids | None = None
    equal_bytes: int = 0


class TopK:
    """The k nearest rows added so far; `radius` is the distance beyond which a further row cannot be among them."""

    __slots__ = ("_count", "_distances", "_ids", "_k", "radius")

    def __init__(self, k: int, radius: int) -> None:
        self._k = k
        self._count = 0
        self._distances: list[Bits] = []
        self._ids: list[Ids] = []
        self.radius = radius

    def copy(self) -> "TopK":
        other = TopK(self._k, self.radius)
        other._count, other._distances, other._ids = self._count, self._distances.copy(), self._ids.copy()
        return other

    def add(self, distances: Bits, ids: Ids) -> None:
        """Add rows within the radius that were not added before."""
        if len(ids):
            before = self._count
            self._count += len(ids)
            self._distances.append(distances)
            self._ids.append(ids)
            if before < self._k <= self._count or self._count > 2 * self._k + 64:
                self.prune()

    def prune(self) -> None:
        """Drop all but the k best, and shrink the radius to the k-th distance once there are k."""
        if self._count < self._k:
            return
        distances, ids = self._joined()
        if self._count > self._k:
            best = _best_rows(distances, ids, self._k)
            distances, ids = distances[best], ids[best]
        self._count, self._distances, self._ids = self._k, [distances], [ids]
        self.radius = min(self.radius, int(distances.max()))

    def ranked(self) -> tuple[Bits, Ids]:
        self.prune()
        distances, ids = self._joined()
        order = np.lexsort((ids, distances))
        return distances[order], ids[order]

    def _joined(self) -> tuple[Bits, Ids]:
        if len(self._ids) == 1:
            return self._distances[0], self._ids[0]
        if not self._ids:
            return np.empty(0, np.uint8), np.empty(0, np.int64)
        return np.concatenate(self._distances), np.concatenate(self._ids)


def in_sorted(values: NDArray[Any], among: NDArray[Any]) -> NDArray[np.bool_]:
    if not len(among):
        return np.zeros(len(values), np.bool_)
    position = np.searchsorted(among, values)
    position[position == len(among)] = 0
    equal: NDArray[np.bool_] = among[position] == values
    return equal


def _best_rows(distances: Bits, ids: Ids, k: int) -> NDArray[np.intp]:
    """Row numbers of the k best in any order, ties by id; linear in the number of candidates."""
    kth = np.partition(distances, k - 1)[k - 1]
    nearer = np.flatnonzero(distances < kth)
    tied = np.flatnonzero(distances == kth)
    remaining = k - len(nearer)
    if len(tied) > remaining:
        tied = tied[np.argpartition(ids[tied], remaining - 1)[:remaining]]
    return np.concatenate([nearer, tied])
