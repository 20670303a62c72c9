"""The pipelines of a gallery, opened when they are first needed, and the decoding that goes with them."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lookalike.catalog import Catalog
from lookalike.errors import LookalikeError, UnsupportedQuery
from lookalike.imaging import Limits
from lookalike.pipeline import Pipeline
from lookalike.service.decoding import Decoder
from lookalike.service.follow import Follower
from lookalike.service.lock import WriterLock
from lookalike.types import InputSpec


@dataclass(frozen=True, slots=True)
class Opened:
    """A pipeline, what keeps its index in step, and whether that index may be written to disk."""

    pipeline: Pipeline
    follower: Follower
    writable: bool


class Pipelines:
    """The pipelines called `names`, in order of precedence; `build` opens one. Safe to use from several threads."""

    def __init__(
        self,
        names: Sequence[str],
        build: Callable[[str], Pipeline],
        catalog: Catalog,
        lock: WriterLock,
        limits: Limits,
        workers: int | None,
    ) -> None:
        self.names = tuple(names)
        self._build = build
        self._catalog = catalog
        self._lock = lock
        self._limits = limits
        self._workers = workers
        self._opened: dict[str, Opened] = {}
        self._decoders: dict[tuple[InputSpec, ...], Decoder] = {}
        self._opening = threading.Lock()

    def open(self, names: Sequence[str] | None = None) -> list[Opened]:
        """These pipelines (all by default), in order of precedence; raises UnsupportedQuery for an unknown name.

        Once this process writes the gallery they are opened anew, to be written; a reader's index is left to the
        searches that still use it.
        """
        unknown = [name for name in names or () if name not in self.names]
        if unknown:
            raise UnsupportedQuery(f"this gallery has no pipeline {unknown[0]!r}; it has {', '.join(self.names)}")
        chosen = [name for name in self.names if not names or name in names]
        with self._opening:
            for name in chosen:
                opened = self._opened.get(name)
                if opened is None or (self._lock.held and not opened.writable):
                    pipeline = self._build(name)
                    self._opened[name] = Opened(pipeline, Follower(self._catalog, pipeline), self._lock.held)
            return [self._opened[name] for name in chosen]

    def try_open(self, name: str) -> tuple[Pipeline, Follower] | LookalikeError:
        """A pipeline, or why it cannot be opened (weights that were not fetched yet)."""
        try:
            [opened] = self.open([name])
        except LookalikeError as error:
            return error
        return opened.pipeline, opened.follower

    def decoder(self, opened: Sequence[Opened]) -> Decoder:
        """What prepares pictures for these pipelines; kept, and its processes with it."""
        inputs = tuple(o.pipeline.input for o in opened)
        with self._opening:
            if inputs not in self._decoders:
                self._decoders[inputs] = Decoder(inputs, self._limits, self._workers)
            return self._decoders[inputs]

    def close(self) -> None:
        """Save what is worth saving, and release files and processes."""
        for opened in self._opened.values():
            if opened.writable:
                opened.follower.save()
            opened.pipeline.index.close()
        self._opened.clear()
        for decoder in self._decoders.values():
            decoder.close()
        self._decoders.clear()


def follow(opened: Sequence[Opened]) -> int:
    """Bring the indexes up to the catalog; gives the sequence number that all of them have reached."""
    return min(o.follower.catch_up() for o in opened)
