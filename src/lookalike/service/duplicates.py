"""Clusters of copies within a gallery, found by searching for each picture, never by comparing all pairs."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog
from lookalike.pipeline import Pipeline
from lookalike.types import Evidence, Record

SEEDS = 512
"""Pictures whose neighbours are searched for together."""
NEIGHBOURS = 64
"""The most neighbours that one search brings; a larger cluster is found by going on from each of them."""
FALSE_LINKS = 0.01
"""Strangers that may be linked to a picture by chance, on average: the threshold tightens as the gallery grows."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Pictures that are copies of one another; `evidence` is exact when all have the same bytes or pixels.

    `distance` is the largest (0..1) over which two of them were linked.
    """

    pictures: tuple[Record, ...]
    evidence: Evidence
    distance: float


class _Links:
    """Who is a copy of whom, asked of catalog and indexes in batches."""

    def __init__(self, catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._tenant = tenant
        rare = math.log10(FALSE_LINKS / max(catalog.count(tenant), 1))
        self._limits = {p.name: min(p.calibration.threshold, p.calibration.distance_at(rare)) for p in pipelines}

    def of(self, ids: Sequence[int]) -> dict[int, dict[int, float]]:
        """For each id its copies, each with the distance (0..1) that links them."""
        links: dict[int, dict[int, float]] = {i: {} for i in ids}
        self._same_bytes(links)
        for pipeline in self._pipelines:
            stored = self._catalog.features_of(pipeline.spec, ids)
            if not len(stored.ids):
                continue
            found = pipeline.search_features(
                stored.features[:, None, :], NEIGHBOURS, tenant=self._tenant, max_distance=self._limits[pipeline.name]
            )
            for i, ranked in zip(stored.ids.tolist(), found, strict=True):
                for other, distance in zip(ranked.ids.tolist(), ranked.distances.tolist(), strict=True):
                    links[i][other] = min(distance, links[i].get(other, 1.0))
        for i, others in links.items():
            others.pop(i, None)
        return links

    def _same_bytes(self, links: dict[int, dict[int, float]]) -> None:
        records = self._catalog.records(list(links))
        same = self._catalog.by_digest("sha256", self._tenant, [r.sha256 for r in records.values()])
        for i, record in records.items():
            for other in same.get(record.sha256, ()):
                links[i][other.id] = 0.0


def clusters(catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int) -> Iterator[Cluster]:
    """Every cluster of two or more, each as soon as it is complete; memory holds the ids seen, not the pictures."""
    links = _Links(catalog, pipelines, tenant)
    seen: set[int] = set()
    after: str | None = None
    while records := catalog.browse(tenant, after=after, limit=SEEDS):
        after = records[-1].key
        seeds = [r.id for r in records if r.id not in seen]
        first = links.of(seeds) if seeds else {}
        for seed in seeds:
            if seed in seen or not first[seed]:
                continue
            members, farthest = _grow(seed, first[seed], links)
            seen.update(members)
            cluster = _cluster(catalog, members, farthest)
            if cluster is not None:
                yield cluster
        seen.update(seeds)


def _grow(seed: int, first: dict[int, float], links: _Links) -> tuple[list[int], float]:
    """Follow links from picture to picture until no new one comes."""
    members = {seed: None, **dict.fromkeys(first)}  # in the order in which they were found
    farthest = max(first.values())
    front = deque(first)
    while front:
        batch = [front.popleft() for _ in range(min(len(front), SEEDS))]
        for others in links.of(batch).values():
            for other, distance in others.items():
                farthest = max(farthest, distance)
                if other not in members:
                    members[other] = None
                    front.append(other)
    return list(members), farthest


def _cluster(catalog: Catalog, members: Sequence[int], farthest: float) -> Cluster | None:
    records = catalog.records(members)
    pictures = tuple(records[i] for i in members if i in records)
    if len(pictures) < 2:
        return None  # the others were removed meanwhile
    same = len({p.sha256 for p in pictures}) == 1 or len({p.pixels or p.sha256 for p in pictures}) == 1
    return Cluster(pictures, "exact" if same else "copy", round(float(np.float32(farthest)), 6))
