"""What clients have seen lately: clusters to plan a clean-up of, and plans to apply."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

from lookalike.cleanup import CleanupPlan
from lookalike.errors import NotFound
from lookalike.results import Cluster

MAX_PLANS = 8
"""Plans in memory."""
MAX_LISTED_CLUSTERS = 50_000
"""Clusters in memory, some kilobytes each."""
T = TypeVar("T")


class _Latest(Generic[T]):
    """The latest `size` values by tenant and id, of all tenants together. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[tuple[str, str], T] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, tenant: str, id_: str, value: T) -> None:
        with self._lock:
            self._values[tenant, id_] = value
            self._values.move_to_end((tenant, id_))
            if len(self._values) > self._size:
                self._values.popitem(last=False)

    def get(self, tenant: str, id_: str) -> T | None:
        with self._lock:
            return self._values.get((tenant, id_))


class CleanupPlans:
    """The latest listed clusters and plans, which requests refer to by their ids."""

    def __init__(self) -> None:
        self._clusters: _Latest[Cluster] = _Latest(MAX_LISTED_CLUSTERS)
        self._plans: _Latest[CleanupPlan] = _Latest(MAX_PLANS)

    def add_clusters(self, tenant: str, clusters: Iterable[Cluster]) -> None:
        """Keep the clusters that a client was shown."""
        for cluster in clusters:
            self._clusters.put(tenant, cluster.id, cluster)

    def cluster(self, tenant: str, id_: str) -> Cluster:
        """A cluster of a tenant; raises NotFound."""
        if (cluster := self._clusters.get(tenant, id_)) is None:
            raise NotFound(f"the group {id_} was not listed lately: list the duplicates again")
        return cluster

    def add(self, plan: CleanupPlan) -> str:
        """Keep a plan; returns its id."""
        id_ = secrets.token_hex(16)
        self._plans.put(plan.options.tenant, id_, plan)
        return id_

    def get(self, tenant: str, id_: str) -> CleanupPlan:
        """A plan of a tenant; raises NotFound."""
        if (plan := self._plans.get(tenant, id_)) is None:
            raise NotFound("there is no such plan any more: plan the clean-up again")
        return plan
