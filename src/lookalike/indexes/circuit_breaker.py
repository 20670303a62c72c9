"""Circuit breaker: after repeated failures, requests to a server fail at once for a while."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

from lookalike.errors import Unavailable

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
