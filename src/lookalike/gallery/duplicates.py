"""Clusters of copies within a gallery, found by searching with each image, never by comparing all pairs.

Two images are linked if their bytes are the same or a pipeline recognises one as a copy of the other; a cluster is a
connected component of this graph. A pair that was marked "not a match" has no link, whatever the evidence. If other
links still join the two, over a third image that is similar to both, they stay in one cluster: the mark is on the pair.
A cluster is split for good once every pair across the split is marked.
"""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import UnsupportedQuery
from lookalike.pipeline import Pipeline
from lookalike.results import Cluster, ClusterPage

SEEDS = 512
"""Images whose neighbours are searched for together."""
NEIGHBOURS = 64
"""Most neighbours of one search; a larger cluster is found by expanding each of them."""
MAX_FALSE_LINKS = 0.01
"""Expected number of unrelated images linked to an image by chance: the threshold tightens as the gallery grows."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """One cluster, or None; all clusters that can be found from keys up to `key` have been yielded."""

    key: str
    cluster: Cluster | None = None


class _NeighbourGraph:
    """Links between copies, looked up in catalog and indexes in batches."""

    def __init__(self, catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int) -> None:
        self._catalog = catalog
        self._pipelines = pipelines
        self._tenant = tenant
        max_rate = math.log10(MAX_FALSE_LINKS / max(catalog.images.count(tenant), 1))
        self._max_distances = {
            p.name: min(p.calibration.threshold, p.calibration.distance_at(max_rate)) for p in pipelines
        }

    def links_of(self, ids: Sequence[int]) -> dict[int, dict[int, float]]:
        """Return the copies of each id, each with the distance (0..1) of the link."""
        links: dict[int, dict[int, float]] = {i: {} for i in ids}
        self._link_same_bytes(links)
        for pipeline in self._pipelines:
            self._link_neighbours(links, pipeline)
        for i, neighbours in links.items():
            neighbours.pop(i, None)
        for i, neighbour in self._catalog.duplicate_feedback.marked_links(self._tenant, links):
            del links[i][neighbour]
        return links

    def _link_same_bytes(self, links: dict[int, dict[int, float]]) -> None:
        records = self._catalog.images.by_ids(list(links))
        same = self._catalog.images.by_digest("sha256", self._tenant, [r.sha256 for r in records.values()])
        for i, record in records.items():
            for copy in same.get(record.sha256, ()):
                links[i][copy.id] = 0.0

    def _link_neighbours(self, links: dict[int, dict[int, float]], pipeline: Pipeline) -> None:
        stored = self._catalog.features.get(pipeline.spec, list(links))
        if len(stored.released):
            raise UnsupportedQuery(
                f"duplicates are found by stored features, and those of {pipeline.name} are stored by the engine only "
                "(the catalog was created with features=engine): search with the files instead "
                "(`lookalike search FILE`), or use a gallery whose catalog stores features"
            )
        if not len(stored.ids):
            return
        max_distance = self._max_distances[pipeline.name]
        matches = pipeline.search_features(
            stored.features[:, None, :], NEIGHBOURS, tenant=self._tenant, max_distance=max_distance
        )
        for i, ranked in zip(stored.ids.tolist(), matches, strict=True):
            for neighbour, distance in zip(ranked.ids.tolist(), ranked.distances.tolist(), strict=True):
                links[i][neighbour] = min(distance, links[i].get(neighbour, 1.0))


def find_clusters(
    catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int, *, after: str | None = None
) -> Iterator[Cluster]:
    """Yield every cluster of two or more once it is complete; memory holds the ids visited, not the images.

    Clusters come in the order of their lowest keys, those beyond the key `after`. Continuing needs no state: a cluster
    with a link from `after` or a key before it was yielded before. If an approximate index returns a link in one
    direction only, the rest of such a cluster may be yielded twice.

    Raises UnsupportedQuery at the first image whose features are stored by the engine only.
    """
    for step in _scan(catalog, pipelines, tenant, after):
        if step.cluster is not None:
            yield step.cluster


def find_clusters_page(
    catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int, *, after: str | None, limit: int, seconds: float
) -> ClusterPage:
    """Return the next clusters: at most `limit`, and those found in about `seconds`, possibly none.

    A batch of `SEEDS` images is always completed, so that paging makes progress.
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
    graph = _NeighbourGraph(catalog, pipelines, tenant)
    visited: set[int] = set()
    last_key = after
    while records := catalog.images.list_page(tenant, after=last_key, limit=SEEDS):
        last_key = records[-1].key
        seeds = {r.id: r.key for r in records if r.id not in visited}
        links = graph.links_of(list(seeds)) if seeds else {}
        for seed, key in seeds.items():
            if seed in visited or not links[seed]:
                continue
            members, max_distance = _expand(seed, links[seed], graph)
            visited.update(members)
            cluster = _cluster(catalog, members, max_distance, after)
            if cluster is not None:
                yield _Progress(key, cluster)
        visited.update(seeds)
        yield _Progress(last_key)


def _expand(seed: int, neighbours: dict[int, float], graph: _NeighbourGraph) -> tuple[dict[int, bool], float]:
    """Return the component of a seed (breadth first) and its longest link; the values are whether links start there."""
    members = {seed: True, **dict.fromkeys(neighbours, False)}  # in the order in which they were found
    max_distance = max(neighbours.values())
    queue = deque(neighbours)
    while queue:
        batch = [queue.popleft() for _ in range(min(len(queue), SEEDS))]
        for member, links in graph.links_of(batch).items():
            members[member] = bool(links)
            for neighbour, distance in links.items():
                max_distance = max(max_distance, distance)
                if neighbour not in members:
                    members[neighbour] = False
                    queue.append(neighbour)
    return members, max_distance


def _cluster(catalog: Catalog, members: Mapping[int, bool], max_distance: float, after: str | None) -> Cluster | None:
    records = catalog.images.by_ids(members)
    images = tuple(records[i] for i in members if i in records)
    if len(images) < 2:
        return None  # the others were removed meanwhile
    if after is not None and any(members[image.id] and image.key <= after for image in images):
        return None  # it was yielded from that key
    same = len({i.sha256 for i in images}) == 1 or len({i.pixels or i.sha256 for i in images}) == 1
    return Cluster(images, "exact" if same else "copy", round(float(np.float32(max_distance)), 6))
