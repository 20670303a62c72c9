"""Clusters of copies within a gallery, found by searching for each image, never by comparing all pairs.

Two images are linked where their bytes are the same or a pipeline takes one for a copy of the other; a cluster is all
that links lead to. A pair that a person said is no match has no link, whatever says so. Where other links still join
the two, over a third image that looks like both, they stay in one cluster: the judgement is about the pair. Two sides
part for good where every pair of them was marked.
"""

import hashlib
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import UnsupportedQuery
from lookalike.pipeline import Pipeline
from lookalike.types import Evidence, Record

SEEDS = 512
"""Images whose neighbours are searched for together."""
NEIGHBOURS = 64
"""The most neighbours that one search brings; a larger cluster is found by going on from each of them."""
MAX_FALSE_LINKS = 0.01
"""Strangers that may be linked to an image by chance, on average: the threshold tightens as the gallery grows."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Images that are copies of one another; `evidence` is exact when all have the same bytes or pixels.

    `distance` is the largest (0..1) over which two of them were linked.
    """

    images: tuple[Record, ...]
    evidence: Evidence
    distance: float

    @property
    def id(self) -> str:
        """16 hexadecimal digits that stay the same as long as the same keys with the same bytes belong to it."""
        digest = hashlib.sha256()
        for image in sorted(self.images, key=lambda p: p.key):
            digest.update(hashlib.sha256(image.key.encode()).digest() + image.sha256)
        return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ClusterPage:
    """Some clusters, and the key `after` which to go on; None where all were found."""

    clusters: tuple[Cluster, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class _Progress:
    """A cluster, or none: all that can be found from keys up to `key` were given."""

    key: str
    cluster: Cluster | None = None


class _NeighbourGraph:
    """Who is a copy of whom, asked of catalog and indexes in batches."""

    def __init__(self, catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._tenant = tenant
        rare = math.log10(MAX_FALSE_LINKS / max(catalog.images.count(tenant), 1))
        self._limits = {p.name: min(p.calibration.threshold, p.calibration.distance_at(rare)) for p in pipelines}

    def of(self, ids: Sequence[int]) -> dict[int, dict[int, float]]:
        """For each id its copies, each with the distance (0..1) that links them."""
        links: dict[int, dict[int, float]] = {i: {} for i in ids}
        self._same_bytes(links)
        for pipeline in self._pipelines:
            stored = self._catalog.features.get(pipeline.spec, ids)
            if len(stored.released):
                raise UnsupportedQuery(
                    f"this catalog, made with features=engine, leaves the features of {pipeline.name} to the engine, "
                    "and duplicates are found by stored ones: search with the files instead (`lookalike search FILE`), "
                    "or look in a gallery whose catalog keeps its features"
                )
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
        for i, other in self._catalog.duplicate_feedback.marked_links(self._tenant, links):
            del links[i][other]
        return links

    def _same_bytes(self, links: dict[int, dict[int, float]]) -> None:
        records = self._catalog.images.by_ids(list(links))
        same = self._catalog.images.by_digest("sha256", self._tenant, [r.sha256 for r in records.values()])
        for i, record in records.items():
            for other in same.get(record.sha256, ()):
                links[i][other.id] = 0.0


def clusters(
    catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int, *, after: str | None = None
) -> Iterator[Cluster]:
    """Every cluster of two or more, each as soon as it is complete; memory holds the ids seen, not the images.

    Raises UnsupportedQuery at the first image whose features the engine alone keeps.

    They come in the order of their lowest keys, those beyond the key `after`. Going on remembers nothing: a cluster
    with a link from `after` or a key before it was found there already. Where an approximate index shows a link from
    one side only, the rest of such a cluster may be found twice.
    """
    for step in _scan(catalog, pipelines, tenant, after):
        if step.cluster is not None:
            yield step.cluster


def clusters_page(
    catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int, *, after: str | None, limit: int, seconds: float
) -> ClusterPage:
    """The next clusters: at most `limit`, and those found in about so many seconds, which may be none.

    A look at `SEEDS` images is completed in any case, so that going on comes to an end.
    """
    started = time.monotonic()
    page: list[Cluster] = []
    for step in _scan(catalog, pipelines, tenant, after):
        if step.cluster is not None:
            page.append(step.cluster)
        if len(page) == limit or (step.cluster is None and time.monotonic() - started > seconds):
            return ClusterPage(tuple(page), step.key)
    return ClusterPage(tuple(page), None)


def _scan(catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int, after: str | None) -> Iterator[_Progress]:
    links = _NeighbourGraph(catalog, pipelines, tenant)
    seen: set[int] = set()
    place = after
    while records := catalog.images.list_page(tenant, after=place, limit=SEEDS):
        place = records[-1].key
        seeds = {r.id: r.key for r in records if r.id not in seen}
        first = links.of(list(seeds)) if seeds else {}
        for seed, key in seeds.items():
            if seed in seen or not first[seed]:
                continue
            members, farthest = _expand(seed, first[seed], links)
            seen.update(members)
            cluster = _cluster(catalog, members, farthest, after)
            if cluster is not None:
                yield _Progress(key, cluster)
        seen.update(seeds)
        yield _Progress(place)


def _expand(seed: int, first: dict[int, float], links: _NeighbourGraph) -> tuple[dict[int, bool], float]:
    """Follow links from image to image until no new one comes; tells of each member whether links lead from it."""
    members = {seed: True, **dict.fromkeys(first, False)}  # in the order in which they were found
    farthest = max(first.values())
    front = deque(first)
    while front:
        batch = [front.popleft() for _ in range(min(len(front), SEEDS))]
        for one, others in links.of(batch).items():
            members[one] = bool(others)
            for other, distance in others.items():
                farthest = max(farthest, distance)
                if other not in members:
                    members[other] = False
                    front.append(other)
    return members, farthest


def _cluster(catalog: Catalog, members: Mapping[int, bool], farthest: float, after: str | None) -> Cluster | None:
    records = catalog.images.by_ids(members)
    images = tuple(records[i] for i in members if i in records)
    if len(images) < 2:
        return None  # the others were removed meanwhile
    if after is not None and any(members[p.id] and p.key <= after for p in images):
        return None  # it was found from there
    same = len({p.sha256 for p in images}) == 1 or len({p.pixels or p.sha256 for p in images}) == 1
    return Cluster(images, "exact" if same else "copy", round(float(np.float32(farthest)), 6))
