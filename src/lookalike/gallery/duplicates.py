"""Clusters of copies within a gallery: each cluster is one image and its copies.

Two images are linked if their bytes are the same or a pipeline recognises one as a copy of the other, turned or
mirrored ones included. Clusters do not chain: in each connected component of this graph the preferred image becomes a
representative and takes the images linked with it; then the preferred one of the rest does, and so on. An image that is
linked through others only is thus in a cluster of its own, or in none. A pair that was marked "not a match" has no
link, whatever the evidence: the two are in one cluster only as copies of a third image.
"""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lookalike.catalog import Catalog
from lookalike.gallery.links import LinkFinder, Links, LinkTable, max_link_distance
from lookalike.pipeline import Pipeline
from lookalike.results import Cluster, ClusterPage
from lookalike.types import Record

SEEDS = 512
"""Images whose clusters are found together."""
JOINED_AT_ONCE = 100_000
"""A page joins all images of a tenant up to this number (about a second of two cores); beyond, it searches."""

PairCheck = Callable[[Sequence[tuple[int, int]]], Sequence[bool]]
"""Says of pairs of image ids, (representative, candidate), whether they are copies."""
Preference = Callable[[Record], tuple[Any, ...]]
"""The sort key of an image: that with the lowest one of those linked together is the representative."""


def complete_and_large(image: Record) -> tuple[bool, int, int, str]:
    """Complete images before truncated ones, then most pixels, then most bytes, then the lowest key."""
    return image.truncated, -image.width * image.height, -image.nbytes, image.key


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How copies are confirmed and representatives chosen; without `check` every link counts."""

    check: PairCheck | None = None
    preference: Preference = complete_and_large


@dataclass(frozen=True, slots=True)
class _Progress:
    """One cluster, or None; all clusters whose lowest keys are up to `key` have been yielded."""

    key: str
    cluster: Cluster | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Complete connected components, as lists of ids. Further ones have no key up to `key`."""

    components: list[list[int]]
    graph: "_Graph"
    key: str


class _Graph:
    """Links by id. Images with the same bytes are one row of the table, that of their lowest id, their head."""

    def __init__(self, links: Links, groups: Iterable[Sequence[int]]) -> None:
        self._members = {min(group): sorted(group) for group in groups}
        self._heads = {id_: head for head, group in self._members.items() for id_ in group}
        self._table = LinkTable(links.renamed(self._heads))
        self._row = {id_: row for row, id_ in enumerate(self._table.ids.tolist())}

    def components(self) -> list[list[int]]:
        """The ids of each component of two or more images."""
        found: dict[int, list[int]] = {}
        for id_, label in zip(self._table.ids.tolist(), self._table.components().tolist(), strict=True):
            found.setdefault(label, []).extend(self._members.get(id_, (id_,)))
        return [*found.values(), *(group for head, group in self._members.items() if head not in self._row)]

    def head(self, id_: int) -> int:
        """The head of the images with the same bytes."""
        return self._heads.get(id_, id_)

    def linked_heads(self, head: int) -> dict[int, float]:
        """The heads linked with one, itself where several images have its bytes, and the distances (0..1)."""
        found = {head: 0.0} if head in self._members else {}
        if head in self._row:
            rows, distances = self._table.of(self._row[head])
            found.update(zip(self._table.ids[rows].tolist(), distances.tolist(), strict=True))
        return found

    def members(self, head: int) -> Sequence[int]:
        """The images with the same bytes as a head."""
        return self._members.get(head, (head,))


def find_clusters(
    catalog: Catalog,
    pipelines: Sequence[Pipeline],
    tenant: int,
    *,
    after: str | None = None,
    options: ClusterOptions | None = None,
) -> Iterator[Cluster]:
    """Yield every cluster of two or more in the order of their lowest keys, those beyond the key `after`.

    Continuing needs no state. Memory holds the hashes of all images of the tenant, the links and the linked keys, and
    the records of `SEEDS` images and those linked with them.

    Raises UnsupportedQuery at the first step where the features are stored by the engine only.
    """
    scan = _Scan(catalog, pipelines, tenant, options or ClusterOptions())
    for step in scan.steps(scan.joined(after), after):
        if step.cluster is not None:
            yield step.cluster


def find_clusters_page(
    catalog: Catalog,
    pipelines: Sequence[Pipeline],
    tenant: int,
    *,
    after: str | None,
    limit: int,
    seconds: float,
    options: ClusterOptions | None = None,
) -> ClusterPage:
    """Return the next clusters: at most `limit`, and those found in about `seconds`, possibly none.

    A batch of `SEEDS` images is always completed, so that paging makes progress.
    """
    started = time.monotonic()
    scan = _Scan(catalog, pipelines, tenant, options or ClusterOptions())
    batches = scan.joined(after) if scan.images <= JOINED_AT_ONCE else scan.searched(after)
    page: list[Cluster] = []
    for step in scan.steps(batches, after):
        if step.cluster is not None:
            page.append(step.cluster)
        if len(page) == limit or (step.cluster is None and time.monotonic() - started > seconds):
            return ClusterPage(tuple(page), step.key)
    return ClusterPage(tuple(page), None)


class _Scan:
    """One search for clusters among the images of a tenant."""

    def __init__(self, catalog: Catalog, pipelines: Sequence[Pipeline], tenant: int, options: ClusterOptions) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._options = options
        self.images = catalog.images.count(tenant)
        self._finders = [LinkFinder(catalog, p, tenant, max_link_distance(p, self.images)) for p in pipelines]

    def joined(self, after: str | None) -> Iterator[_Batch]:
        """All components with a key beyond `after`, from one join of all images."""
        links = Links.joined([finder.all() for finder in self._finders])
        graph = _Graph(links, self._catalog.images.same_bytes_groups(self._tenant))
        components = graph.components()
        keys = self._catalog.images.keys(id_ for component in components for id_ in component)
        beyond = (
            ([keys[id_] for id_ in component if id_ in keys and (after is None or keys[id_] > after)], component)
            for component in components
        )
        ordered = sorted((min(known), component) for known, component in beyond if known)
        batch: list[list[int]] = []
        size = 0
        for key, component in ordered:
            batch.append(component)
            size += len(component)
            if size >= SEEDS:
                yield _Batch(batch, graph, key)
                batch, size = [], 0
        if batch:
            yield _Batch(batch, graph, ordered[-1][0])

    def searched(self, after: str | None) -> Iterator[_Batch]:
        """Components with a key beyond `after`, each found through the indexes from its lowest key beyond it."""
        visited: set[int] = set()
        while records := self._catalog.images.list_page(self._tenant, after=after, limit=SEEDS):
            after = records[-1].key
            seeds = [record.id for record in records if record.id not in visited]
            graph = self._around(seeds)
            # An approximate index may find a link from one of its images only, when the other was visited before.
            components = [[id_ for id_ in ids if id_ not in visited] for ids in graph.components()]
            visited.update(seeds, *components)
            yield _Batch(components, graph, after)

    def _around(self, seeds: Sequence[int]) -> _Graph:
        """The components of these images: everything linked with them, and with that, and so on."""
        links: list[Links] = []
        groups: dict[int, list[int]] = {}
        known: set[int] = set()
        frontier = set(seeds)
        while frontier:
            known |= frontier
            found = [finder.around(np.array(sorted(frontier))) for finder in self._finders]
            links += found
            records = self._catalog.images.by_ids(frontier)
            same = self._catalog.images.by_digest("sha256", self._tenant, [r.sha256 for r in records.values()])
            groups.update((copies[0].id, [copy.id for copy in copies]) for copies in same.values() if len(copies) > 1)
            reached = {id_ for part in found for ids in (part.first, part.second) for id_ in ids.tolist()}
            frontier = (reached | {id_ for copies in same.values() for id_ in (copy.id for copy in copies)}) - known
        return _Graph(Links.joined(links), groups.values())

    def steps(self, batches: Iterable[_Batch], after: str | None) -> Iterator[_Progress]:
        """Yield the clusters in the order of their lowest keys, and after each batch how far that reaches."""
        waiting: list[tuple[str, int, Cluster]] = []
        for batch in batches:
            for cluster in self._clusters(batch):
                key = min(image.key for image in cluster.images)
                if after is None or key > after:
                    heapq.heappush(waiting, (key, cluster.images[0].id, cluster))
            while waiting and waiting[0][0] <= batch.key:
                key, _, cluster = heapq.heappop(waiting)
                yield _Progress(key, cluster)
            yield _Progress(batch.key)
        while waiting:
            key, _, cluster = heapq.heappop(waiting)
            yield _Progress(key, cluster)

    def _clusters(self, batch: _Batch) -> list[Cluster]:
        """The clusters of these components; those that need a check are checked together, one each at a time."""
        records = self._catalog.images.by_ids(id_ for component in batch.components for id_ in component)
        marked = self._marked(batch)
        preferred = sorted(records.values(), key=self._options.preference)
        rank = {image.id: number for number, image in enumerate(preferred)}
        ordered = (sorted((id_ for id_ in ids if id_ in records), key=rank.__getitem__) for ids in batch.components)
        active = [_Component({id_: records[id_] for id_ in ids}) for ids in ordered]
        clusters: list[Cluster] = []
        while active := [component for component in active if component.remaining]:
            proposed = [component.propose(batch.graph, marked) for component in active]
            confirmed = self._confirmed(proposed)
            for component, (representative, links) in zip(active, proposed, strict=True):
                copies = {i: d for i, d in links.items() if (representative.id, i) in confirmed}
                cluster = component.take(representative, copies)
                if cluster is not None:
                    clusters.append(cluster)
        return clusters

    def _marked(self, batch: _Batch) -> set[tuple[int, int]]:
        """Pairs of heads that were marked "not a match", in both orders."""
        if not self._catalog.duplicate_feedback.exists(self._tenant):
            return set()
        heads = {batch.graph.head(id_) for component in batch.components for id_ in component}
        links = {head: batch.graph.linked_heads(head) for head in heads}
        return self._catalog.duplicate_feedback.marked_links(self._tenant, links)

    def _confirmed(self, proposed: Sequence[tuple[Record, Mapping[int, float]]]) -> set[tuple[int, int]]:
        pairs = [(representative.id, id_) for representative, links in proposed for id_ in links]
        if self._options.check is None or not pairs:
            return set(pairs)
        return {pair for pair, same in zip(pairs, self._options.check(pairs), strict=True) if same}


@dataclass(slots=True)
class _Component:
    """The images of one component, in the order of preference, that no cluster has taken yet."""

    remaining: dict[int, Record]

    def propose(self, graph: _Graph, marked: set[tuple[int, int]]) -> tuple[Record, dict[int, float]]:
        """The next representative, and the remaining images that are linked with it."""
        representative = next(iter(self.remaining.values()))
        head = graph.head(representative.id)
        links = {
            id_: distance
            for other, distance in graph.linked_heads(head).items()
            if (head, other) not in marked
            for id_ in graph.members(other)
            if id_ in self.remaining and id_ != representative.id
        }
        return representative, links

    def take(self, representative: Record, copies: Mapping[int, float]) -> Cluster | None:
        """Take a representative and its copies out; None where it has none."""
        del self.remaining[representative.id]
        if not copies:
            return None
        nearest_first = sorted((distance, self.remaining[id_].key, id_) for id_, distance in copies.items())
        images = (representative, *(self.remaining.pop(id_) for _, _, id_ in nearest_first))
        same = len({i.sha256 for i in images}) == 1 or len({i.pixels or i.sha256 for i in images}) == 1
        return Cluster(images, "exact" if same else "copy", round(float(np.float32(nearest_first[-1][0])), 6))
