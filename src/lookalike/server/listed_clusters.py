"""The clusters that clients have listed, and may plan a clean-up of without finding them again."""

import threading
from collections import OrderedDict
from collections.abc import Iterable

from lookalike.errors import NotFound
from lookalike.results import Cluster

MAX_LISTED_CLUSTERS = 50_000
"""Clusters in memory, some kilobytes each."""


class ListedClusters:
    """The latest clusters by tenant and id. Safe to use from several threads."""

    def __init__(self) -> None:
        self._clusters: OrderedDict[tuple[str, str], Cluster] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, tenant: str, clusters: Iterable[Cluster]) -> None:
        """Keep clusters, and drop the oldest where there are too many."""
        with self._lock:
            for cluster in clusters:
                self._clusters[tenant, cluster.id] = cluster
                self._clusters.move_to_end((tenant, cluster.id))
            while len(self._clusters) > MAX_LISTED_CLUSTERS:
                self._clusters.popitem(last=False)

    def get(self, tenant: str, id_: str) -> Cluster:
        """A cluster of a tenant; raises NotFound."""
        with self._lock:
            cluster = self._clusters.get((tenant, id_))
        if cluster is None:
            raise NotFound(f"the group {id_} was not listed lately: list the duplicates again")
        return cluster
