"""Engines that may be unavailable: the circuit breaker, and an index that is connected to at its first use."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from lookalike.errors import BadInput, Unavailable
from lookalike.interfaces import VectorIndex
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Matches, ResolvedFilter, Rows

FAILURE_THRESHOLD = 3
"""Consecutive failures that open the circuit."""
RESET_TIMEOUT = 5.0
"""Seconds for which an open circuit refuses requests before it lets one trial request through."""


class CircuitBreaker:
    """Wrap every request to one server in `with circuit:`. Thread-safe.

    Only Unavailable counts as a failure. An open circuit raises it, with `retry_after`; after `reset_timeout` seconds
    one trial request is let through, whose success closes the circuit.
    """

    def __init__(
        self,
        server: str,
        *,
        failure_threshold: int = FAILURE_THRESHOLD,
        reset_timeout: float = RESET_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._failure_threshold = failure_threshold
        self._reset_timeout = reset_timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._failures_in_row = 0
        self._opened_at: float | None = None
        self._last_error = ""

    @property
    def open(self) -> bool:
        with self._lock:
            return self._opened_at is not None and self._clock() < self._opened_at + self._reset_timeout

    def __enter__(self) -> None:
        with self._lock:
            if self._opened_at is None:
                return
            left = self._opened_at + self._reset_timeout - self._clock()
            if left > 0:
                raise Unavailable(
                    f"{self._server}: circuit open for {left:.1f} s after "
                    f"{self._failures_in_row} consecutive failures: {self._last_error}",
                    retry_after=left,
                )
            self._opened_at = self._clock()  # half-open: refuse the other callers until this one returns

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            if not isinstance(error, Unavailable):  # any answer, even a refusal, shows that the server is up
                self._failures_in_row, self._opened_at = 0, None
                return
            self._failures_in_row += 1
            self._last_error = str(error)
            if self._failures_in_row >= self._failure_threshold:
                self._opened_at = self._clock()


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
