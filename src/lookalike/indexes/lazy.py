"""An index on a server, connected on first use: a gallery opens and takes images even while an engine is down."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from lookalike.errors import BadInput
from lookalike.indexes.circuit_breaker import CircuitBreaker
from lookalike.interfaces import VectorIndex
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows


class LazyIndex:
    """A `VectorIndex` of `spec` that forwards to the one that `connect` gives, called on each use until it succeeds.

    Raises what `connect` raises, and Unavailable while the circuit to `server` is open.
    """

    def __init__(self, spec: FeatureSpec, server: str, connect: Callable[[], VectorIndex]) -> None:
        self._spec = spec
        self._connect = connect
        self._circuit = CircuitBreaker(server)
        self._lock = threading.Lock()
        self._index: VectorIndex | None = None
        self._closed = False

    @property
    def shared(self) -> bool:
        return True

    @property
    def spec(self) -> FeatureSpec:
        return self._spec

    @property
    def sequence(self) -> int:
        return self._connected().sequence

    def upsert(self, rows: Rows) -> None:
        self._connected().upsert(rows)

    def delete(self, ids: Ids) -> None:
        self._connected().delete(ids)

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        self._connected().update_attributes(ids, tenants, attributes)

    def search(
        self,
        queries: Features,
        k: int,
        *,
        tenant: int | None = None,
        filter: ResolvedFilter | None = None,
        max_distance: float | None = None,
        fresh: bool = False,
    ) -> Matches:
        return self._connected().search(
            queries, k, tenant=tenant, filter=filter, max_distance=max_distance, fresh=fresh
        )

    def count(self, tenant: int | None = None) -> int:
        return self._connected().count(tenant)

    def flush(self, sequence: int) -> None:
        self._connected().flush(sequence)

    def clear(self) -> None:
        self._connected().clear()

    def rebuilding(self) -> AbstractContextManager[VectorIndex]:
        return self._connected().rebuilding()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._index is not None:
                self._index.close()

    def _connected(self) -> VectorIndex:
        with self._lock:
            if self._closed:
                raise BadInput(f"the {self._spec.name} index is closed")
            if self._index is None:
                with self._circuit:
                    self._index = self._connect()
            return self._index
