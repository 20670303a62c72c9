"""Decoding: a few images in the calling process, more in worker processes that are kept."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from lookalike.errors import ImageRejected
from lookalike.imaging import DecodePool, Limits, Source, Unchanged
from lookalike.imaging.decode_pool.worker import process_request
from lookalike.types import InputSpec, Prepared

INLINE_LIMIT = 4
"""Most images that a command decodes in its own process, because starting workers would take longer; a server: 0."""


class Decoder:
    """Prepares images for `inputs`, in order. Safe to use from several threads.

    Workers are started for the first call with more than `inline_limit` images, and then serve all calls, because a
    hostile image cannot crash the caller from there.
    """

    def __init__(
        self, inputs: Sequence[InputSpec], limits: Limits, workers: int | None, inline_limit: int = INLINE_LIMIT
    ) -> None:
        self._inputs = inputs
        self._limits = limits
        self._workers = workers
        self._inline_limit = inline_limit
        self._pool: DecodePool | None = None
        self._start_lock = threading.Lock()

    def map(self, sources: Iterable[Source]) -> Iterator[Prepared | Unchanged | ImageRejected]:
        """Yield each source prepared, unchanged or rejected; sources are consumed as the results are."""
        rest = iter(sources)
        if self._pool is None:
            first = list(islice(rest, self._inline_limit + 1))
            if len(first) <= self._inline_limit:
                yield from map(self._decode_inline, first)
                return
            rest = chain(first, rest)
        yield from self._worker_pool().map(rest)

    def _worker_pool(self) -> DecodePool:
        with self._start_lock:
            if self._pool is None:
                self._pool = DecodePool(self._inputs, limits=self._limits, workers=self._workers)
            return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()

    def _decode_inline(self, source: Source) -> Prepared | Unchanged | ImageRejected:
        reply = process_request(source.request(), self._inputs, self._limits)
        return Unchanged(*reply) if isinstance(reply, tuple) else reply
