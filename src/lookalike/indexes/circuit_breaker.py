"""A circuit breaker: after repeated failures an engine is left alone for a while, so that callers fail at once."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

from lookalike.errors import Unavailable

FAILURES = 3
"""Failures in a row that open the circuit."""
RESET_TIMEOUT = 5.0
"""Seconds for which it stays open; then one caller at a time may try."""


class CircuitBreaker:
    """`with circuit:` around every request to one server; safe to use from several threads.

    Only Unavailable counts as a failure. While open it raises Unavailable itself, with `retry_after`. After `rest`
    seconds one caller is let through: its success closes the circuit, its failure keeps it open for as long again.
    """

    def __init__(
        self,
        server: str,
        *,
        failures: int = FAILURES,
        rest: float = RESET_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._failures = failures
        self._rest = rest
        self._clock = clock
        self._lock = threading.Lock()
        self._failures_in_row = 0
        self._opened: float | None = None
        self._why = ""

    @property
    def open(self) -> bool:
        """Whether requests are refused at present."""
        with self._lock:
            return self._opened is not None and self._clock() < self._opened + self._rest

    def __enter__(self) -> None:
        with self._lock:
            if self._opened is None:
                return
            left = self._opened + self._rest - self._clock()
            if left > 0:
                raise Unavailable(
                    f"{self._server}: circuit open for {left:.1f} s after "
                    f"{self._failures_in_row} consecutive failures: {self._why}",
                    retry_after=left,
                )
            self._opened = self._clock()  # the others wait until this one comes back

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            if not isinstance(error, Unavailable):
                self._failures_in_row, self._opened = (
                    0,
                    None,
                )  # an answer, be it a refusal, shows that the server is there
                return
            self._failures_in_row += 1
            self._why = str(error)
            if self._failures_in_row >= self._failures:
                self._opened = self._clock()
