"""Reading and preparing pictures: a few of them right here, more in processes that are kept for the next time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from lookalike.errors import ImageRejected
from lookalike.imaging import DecodePool, Limits, Source, Unchanged
from lookalike.imaging.worker import answer
from lookalike.types import InputSpec, Prepared

FEW = 4
"""Up to so many pictures are decoded in this process; starting others would take longer."""


class Decoder:
    """Prepares pictures for `inputs`, in order. Safe to use from several threads.

    Processes are started for the first longer row of pictures; once there, they do the short ones too, for they
    survive what a hostile picture does to its decoder.
    """

    def __init__(self, inputs: Sequence[InputSpec], limits: Limits, workers: int | None) -> None:
        self._inputs = inputs
        self._limits = limits
        self._workers = workers
        self._pool: DecodePool | None = None

    def map(self, sources: Iterable[Source]) -> Iterator[Prepared | Unchanged | ImageRejected]:
        """Each source prepared, known already, or rejected; consumes the sources as the results are."""
        rest = iter(sources)
        if self._pool is None:
            first = list(islice(rest, FEW + 1))
            if len(first) <= FEW:
                yield from map(self._here, first)
                return
            rest = chain(first, rest)
            self._pool = DecodePool(self._inputs, limits=self._limits, workers=self._workers)
        yield from self._pool.map(rest)

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()

    def _here(self, source: Source) -> Prepared | Unchanged | ImageRejected:
        path = None if source.path is None else str(source.path)
        request = (path, source.data, source.known, source.want_pixels, source.want_thumbnail)
        reply = answer(request, self._inputs, self._limits)
        return Unchanged(*reply) if isinstance(reply, tuple) else reply
