"""Reading and preparing images: a few of them right here, more in processes that are kept for the next time."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from lookalike.errors import ImageRejected
from lookalike.imaging import DecodePool, Limits, Source, Unchanged
from lookalike.imaging.decode_pool.worker import process_request
from lookalike.types import InputSpec, Prepared

INLINE_LIMIT = 4
"""Up to so many images a command decodes in its own process; starting others would take longer. A service: none."""


class Decoder:
    """Prepares images for `inputs`, in order. Safe to use from several threads.

    Processes are started for the first row of more than `few` images; once there, they do the short ones too, for
    they survive what a hostile image does to its decoder.
    """

    def __init__(
        self, inputs: Sequence[InputSpec], limits: Limits, workers: int | None, few: int = INLINE_LIMIT
    ) -> None:
        self._inputs = inputs
        self._limits = limits
        self._workers = workers
        self._few = few
        self._pool: DecodePool | None = None
        self._starting = threading.Lock()

    def map(self, sources: Iterable[Source]) -> Iterator[Prepared | Unchanged | ImageRejected]:
        """Each source prepared, known already, or rejected; consumes the sources as the results are."""
        rest = iter(sources)
        if self._pool is None:
            first = list(islice(rest, self._few + 1))
            if len(first) <= self._few:
                yield from map(self._here, first)
                return
            rest = chain(first, rest)
        yield from self._processes().map(rest)

    def _processes(self) -> DecodePool:
        with self._starting:
            if self._pool is None:
                self._pool = DecodePool(self._inputs, limits=self._limits, workers=self._workers)
            return self._pool

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()

    def _here(self, source: Source) -> Prepared | Unchanged | ImageRejected:
        path = None if source.path is None else str(source.path)
        request = (path, source.data, source.known, source.want_pixels, source.thumbnail_side)
        reply = process_request(request, self._inputs, self._limits)
        return Unchanged(*reply) if isinstance(reply, tuple) else reply
