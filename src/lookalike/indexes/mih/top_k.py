"""What a multi-index hashing search looks for, and the best it has found so far."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.types import Ids

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class SearchScope:
    """Which rows count: of one tenant, among `allowed` ids (sorted), with `equal_bytes` bytes as in the query."""

    tenant: int | None = None
    allowed: Ids | None = None
    equal_bytes: int = 0

    def admits(self, ids: Ids) -> NDArray[np.bool_]:
        """Which of these ids the filter allows; only for a scope that has one."""
        assert self.allowed is not None
        return in_sorted(ids, self.allowed)


class TopK:
    """The k nearest rows added so far, and the radius beyond which a further row cannot count."""

    __slots__ = ("_count", "_distances", "_ids", "_k", "radius")

    def __init__(self, k: int, radius: int) -> None:
        self._k = k
        self._count = 0
        self._distances: list[Bits] = []
        self._ids: list[Ids] = []
        self.radius = radius

    def copy(self) -> "TopK":
        """A second one, to be continued apart."""
        other = TopK(self._k, self.radius)
        other._count, other._distances, other._ids = self._count, self._distances.copy(), self._ids.copy()
        return other

    def add(self, distances: Bits, ids: Ids) -> None:
        """Rows within the radius, not added before."""
        if len(ids):
            before = self._count
            self._count += len(ids)
            self._distances.append(distances)
            self._ids.append(ids)
            if before < self._k <= self._count or self._count > 2 * self._k + 64:
                self.prune()

    def prune(self) -> None:
        """Keep the k best, and shrink the radius to the k-th distance once there are k."""
        if self._count < self._k:
            return
        distances, ids = self._joined()
        if self._count > self._k:
            best = _best_rows(distances, ids, self._k)
            distances, ids = distances[best], ids[best]
        self._count, self._distances, self._ids = self._k, [distances], [ids]
        self.radius = min(self.radius, int(distances.max()))

    def ranked(self) -> tuple[Bits, Ids]:
        """The k best, nearest first, ties by id."""
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
    """Which values are in a sorted array."""
    if not len(among):
        return np.zeros(len(values), np.bool_)
    place = np.searchsorted(among, values)
    place[place == len(among)] = 0
    same: NDArray[np.bool_] = among[place] == values
    return same


def _best_rows(distances: Bits, ids: Ids, k: int) -> NDArray[np.intp]:
    """The numbers of the k best, in any order, ties by id; linear in the number of candidates."""
    worst = np.partition(distances, k - 1)[k - 1]
    sure = np.flatnonzero(distances < worst)
    tied = np.flatnonzero(distances == worst)
    wanted = k - len(sure)
    if len(tied) > wanted:
        tied = tied[np.argpartition(ids[tied], wanted - 1)[:wanted]]
    return np.concatenate([sure, tied])
