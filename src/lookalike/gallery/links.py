"""Links between images that are copies by their stored features: of a whole tenant at once, or around some images."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog import Catalog
from lookalike.catalog.records import StoredFeatures
from lookalike.errors import UnsupportedQuery
from lookalike.gallery.hash_join import join_hashes, symmetric_bits
from lookalike.gallery.stored_views import in_all_orientations, views_of
from lookalike.interfaces import OrientedEncoder
from lookalike.pipeline import Pipeline
from lookalike.results import MAX_RESULTS
from lookalike.types import Features, Ids

MAX_FALSE_LINKS = 0.01
"""Expected number of unrelated images linked to an image by chance: the threshold tightens as the gallery grows."""
SEARCHED_AT_ONCE = 512
"""Images whose neighbours are searched for together."""
NEIGHBOURS = 64
"""Neighbours asked for first; where all are within the threshold, more are asked for."""
MAX_NEIGHBOURS = MAX_RESULTS
"""Most neighbours of one image that an index is asked for. Where there are more, the farther ones come into clusters by
their own links."""

Distances = NDArray[np.float32]
RowNumbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Links:
    """Pairs of images, `first` < `second` (ids), each once, with the distance (0..1) by the pipeline that says less."""

    first: Ids
    second: Ids
    distances: Distances

    @classmethod
    def joined(cls, parts: Sequence["Links"]) -> "Links":
        """All pairs of several lists; of one that is in more than one, the smallest distance."""
        first = np.concatenate([part.first for part in parts]) if parts else np.empty(0, np.int64)
        second = np.concatenate([part.second for part in parts]) if parts else np.empty(0, np.int64)
        distances = np.concatenate([part.distances for part in parts]) if parts else np.empty(0, np.float32)
        order = np.lexsort((distances, second, first))
        first, second, distances = first[order], second[order], distances[order]
        new = np.ones(len(first), np.bool_)
        new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
        return cls(first[new], second[new], distances[new])

    def renamed(self, names: Mapping[int, int]) -> "Links":
        """The pairs with the ids that are among `names` replaced."""
        if not names:
            return self
        old = np.array(sorted(names))
        new = np.array([names[id_] for id_ in old.tolist()])
        ends = []
        for ids in (self.first, self.second):
            at = np.searchsorted(old, ids)
            at[at == len(old)] = 0
            ends.append(np.where(old[at] == ids, new[at], ids))
        low, high = np.minimum(*ends), np.maximum(*ends)
        different = low != high
        return Links.joined([Links(low[different], high[different], self.distances[different])])

    def where(self, mask: NDArray[np.bool_]) -> "Links":
        """The pairs that a mask selects."""
        return Links(self.first[mask], self.second[mask], self.distances[mask])


class LinkTable:
    """Links by image, in both directions. `ids` are the linked images, ascending; a row is a position in it."""

    def __init__(self, links: Links) -> None:
        self.ids: Ids = np.union1d(links.first, links.second)
        first, second = np.searchsorted(self.ids, links.first), np.searchsorted(self.ids, links.second)
        start, end = np.concatenate([first, second]), np.concatenate([second, first])
        order = np.lexsort((end, start))
        self._ends: RowNumbers = end[order]
        self._distances: Distances = np.concatenate([links.distances, links.distances])[order]
        self._starts: RowNumbers = np.searchsorted(start[order], np.arange(len(self.ids) + 1))
        self._links = first, second

    def of(self, row: int) -> tuple[RowNumbers, Distances]:
        """The rows linked with a row, and the distances of the links."""
        part = slice(self._starts[row], self._starts[row + 1])
        return self._ends[part], self._distances[part]

    def components(self) -> NDArray[np.int64]:
        """A number for each row, the same for all rows of one connected component: its lowest row."""
        label = np.arange(len(self.ids))
        first, second = self._links
        while True:  # hooking and pointer jumping (Y. Shiloach, U. Vishkin, 1982), a logarithmic number of rounds
            low = np.minimum(label[first], label[second])
            before = label.copy()
            np.minimum.at(label, label[first], low)
            np.minimum.at(label, label[second], low)
            while not np.array_equal(label, label[label]):
                label = label[label]
            if np.array_equal(label, before):
                return label


def max_link_distance(pipeline: Pipeline, images: int) -> float:
    """The largest distance (0..1) of a link in a tenant of so many images."""
    rate = math.log10(MAX_FALSE_LINKS / max(images, 1))
    return min(pipeline.calibration.threshold, pipeline.calibration.distance_at(rate))


class LinkFinder:
    """Finds the links of one pipeline among the images of a tenant, within `max_distance` (0..1)."""

    def __init__(self, catalog: Catalog, pipeline: Pipeline, tenant: int, max_distance: float) -> None:
        self._catalog = catalog
        self._pipeline = pipeline
        self._tenant = tenant
        self._max_distance = max_distance

    def all(self, changed: Ids | None = None) -> Links:
        """Every link, or every link of the `changed` images (ids, ascending).

        Hashes are joined without their index; of vectors, each image is searched for, in batches.
        """
        encoder = self._pipeline.encoder
        if isinstance(encoder, OrientedEncoder) and encoder.spec.width == 8:
            return self._join_hashes(encoder, changed)
        if changed is None:
            stored = self._catalog.features.of_tenant(self._pipeline.spec, self._tenant)
            ids = np.concatenate([stored.ids, stored.released])
        else:
            ids = changed
        return Links.joined([self.around(batch) for batch in _batches(ids)])

    def around(self, ids: Ids) -> Links:
        """The links of these images, found through the index."""
        stored = self._checked(self._catalog.features.get(self._pipeline.spec, ids.tolist()))
        start, end, distances = self._search(stored.ids, self._views(stored))
        if isinstance(self._pipeline.encoder, OrientedEncoder) and len(start):
            return self._confirmed(start, end)
        different = start != end
        low, high = np.minimum(start, end), np.maximum(start, end)
        return Links.joined([Links(low[different], high[different], distances[different])])

    def _search(self, ids: Ids, queries: Features) -> tuple[Ids, Ids, Distances]:
        """Links as (from, to, distance); as many as an image has, up to `MAX_NEIGHBOURS`."""
        starts: list[NDArray[Any]] = [np.empty(0, np.int64)]
        ends: list[NDArray[Any]] = [np.empty(0, np.int64)]
        distances: list[NDArray[Any]] = [np.empty(0, np.float32)]
        k = NEIGHBOURS
        while len(ids):
            found = self._pipeline.search_features(queries, k, tenant=self._tenant, max_distance=self._max_distance)
            full = np.array([len(ranked.ids) >= k for ranked in found]) & (k < MAX_NEIGHBOURS)
            for id_, ranked, more in zip(ids.tolist(), found, full.tolist(), strict=True):
                if not more:
                    starts.append(np.full(len(ranked.ids), id_))
                    ends.append(ranked.ids)
                    distances.append(ranked.distances)
            ids, queries, k = ids[full], queries[full], min(8 * k, MAX_NEIGHBOURS)
        return np.concatenate(starts), np.concatenate(ends), np.concatenate(distances)

    def _confirmed(self, start: Ids, end: Ids) -> Links:
        """The links whose distance from the other image's views is within the threshold, too."""
        ids = np.union1d(start, end)
        stored = self._catalog.features.get(self._pipeline.spec, ids.tolist())
        known = np.isin(start, stored.ids) & np.isin(end, stored.ids) & (start != end)  # others were removed meanwhile
        low, high = np.minimum(start[known], end[known]), np.maximum(start[known], end[known])
        first, second = np.searchsorted(stored.ids, low), np.searchsorted(stored.ids, high)
        bits = symmetric_bits(_codes(self._views(stored)), first, second)
        distances = (bits / self._pipeline.spec.scale).astype(np.float32)
        near = bits <= self._max_bits()
        return Links.joined([Links(low[near], high[near], distances[near])])

    def _join_hashes(self, encoder: OrientedEncoder, changed: Ids | None) -> Links:
        stored = self._checked(self._catalog.features.of_tenant(encoder.spec, self._tenant))
        views = in_all_orientations(encoder, stored, self._catalog.features.of_tenant(encoder.views_spec, self._tenant))
        rows = None if changed is None else np.flatnonzero(np.isin(stored.ids, changed))
        pairs = join_hashes(_codes(views), self._max_bits(), changed=rows)
        distances = (pairs.bits / encoder.spec.scale).astype(np.float32)
        return Links(stored.ids[pairs.first], stored.ids[pairs.second], distances)

    def _max_bits(self) -> int:
        return math.floor(self._max_distance * self._pipeline.spec.scale)

    def _views(self, stored: StoredFeatures) -> Features:
        return views_of(self._catalog, self._pipeline.encoder, stored)

    def _checked(self, stored: StoredFeatures) -> StoredFeatures:
        if len(stored.released):
            raise UnsupportedQuery(
                f"duplicates are found by stored features, and those of {self._pipeline.name} are stored by the engine "
                "only (the catalog was created with features=engine): search with the files instead "
                "(`lookalike search FILE`), or use a gallery whose catalog stores features"
            )
        return stored


def _batches(ids: Ids) -> Iterator[Ids]:
    for start in range(0, len(ids), SEARCHED_AT_ONCE):
        yield ids[start : start + SEARCHED_AT_ONCE]


def _codes(views: Features) -> NDArray[np.uint64]:
    """Packed bits `(n, v, 8)` as one number each, `(n, v)`."""
    return np.ascontiguousarray(views).view("<u8").reshape(views.shape[:2]).astype(np.uint64, copy=False)
