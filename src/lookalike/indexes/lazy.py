"""An index on a server, opened when it is first needed: a gallery takes images even while an engine is down."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from lookalike.errors import BadInput
from lookalike.indexes.circuit_breaker import CircuitBreaker
from lookalike.interfaces import VectorIndex
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows


class LazyIndex:
    """An `VectorIndex` of `spec` that `connect` opens at the first use; every use tries again until that succeeds.

    `server` names the engine in messages. Raises what `connect` raises, and Unavailable at once while an engine that
    did not answer several times is left alone.
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
        """The rows live on a server."""
        return True

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        return self._spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last flush, as the server knows it."""
        return self._connected().sequence

    def upsert(self, rows: Rows) -> None:
        """Insert or replace rows."""
        self._connected().upsert(rows)

    def delete(self, ids: Ids) -> None:
        """Forget these ids."""
        self._connected().delete(ids)

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change what filters see of rows that are there."""
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
        """The k nearest rows of each query."""
        return self._connected().search(
            queries, k, tenant=tenant, filter=filter, max_distance=max_distance, fresh=fresh
        )

    def count(self, tenant: int | None = None) -> int:
        """How many rows there are."""
        return self._connected().count(tenant)

    def flush(self, sequence: int) -> None:
        """Make everything so far durable and visible."""
        self._connected().flush(sequence)

    def clear(self) -> None:
        """Forget every row."""
        self._connected().clear()

    def rebuilding(self) -> AbstractContextManager[VectorIndex]:
        """An empty index that takes this one's place."""
        return self._connected().rebuilding()

    def close(self) -> None:
        """Release the connections."""
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
