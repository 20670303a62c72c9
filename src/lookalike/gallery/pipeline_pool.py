"""Pipelines of a gallery, opened when they are first needed, with their decoders."""

import threading
from collections.abc import Callable, Sequence

from lookalike.catalog import Catalog
from lookalike.errors import LookalikeError, UnsupportedQuery
from lookalike.gallery.index_sync import IndexSync, LocalIndexSync, OpenPipeline, SharedIndexSync
from lookalike.gallery.writer_lock import WriterLock
from lookalike.imaging import DecodePool, Limits
from lookalike.pipeline import ClosedPipeline, Pipeline
from lookalike.types import InputSpec


class PipelinePool:
    """The pipelines `names`, in order of precedence; `build` opens one. Safe to use from several threads.

    `describe` says what is known of one without opening its index, None where it must be opened.
    """

    def __init__(
        self,
        names: Sequence[str],
        build: Callable[[str], Pipeline],
        describe: Callable[[str], ClosedPipeline | None],
        catalog: Catalog,
        lock: WriterLock,
        limits: Limits,
        workers: int | None,
        inline_limit: int,
    ) -> None:
        self.names = tuple(names)
        self._build = build
        self._describe = describe
        self._catalog = catalog
        self._lock = lock
        self._limits = limits
        self._workers = workers
        self._inline_limit = inline_limit
        self._open: dict[str, OpenPipeline] = {}
        self._decoders: dict[tuple[InputSpec, ...], DecodePool] = {}
        self._open_lock = threading.Lock()

    def open(self, names: Sequence[str] | None = None) -> list[OpenPipeline]:
        """Return these pipelines (all by default), in order of precedence; raises UnsupportedQuery for an unknown name.

        Once this process writes to the gallery they are reopened as writable; the read-only index is left to the
        searches that still use it.
        """
        unknown = [name for name in names or () if name not in self.names]
        if unknown:
            raise UnsupportedQuery(
                f"the gallery has no pipeline {unknown[0]!r}; its pipelines are {', '.join(self.names)}"
            )
        chosen = [name for name in self.names if not names or name in names]
        with self._open_lock:
            for name in chosen:
                opened = self._open.get(name)
                if opened is None or (self._lock.held and opened.read_only):
                    # read before building: if the lock is acquired meanwhile, the next call reopens it
                    writable = self._lock.held
                    pipeline = self._build(name)
                    sync: IndexSync = (
                        SharedIndexSync(self._catalog, pipeline)
                        if pipeline.index.shared
                        else LocalIndexSync(self._catalog, pipeline, writable=writable)
                    )
                    self._open[name] = OpenPipeline(pipeline, sync, writable)
            return [self._open[name] for name in chosen]

    def now_open(self) -> list[OpenPipeline]:
        with self._open_lock:
            return [self._open[name] for name in self.names if name in self._open]

    def look_up(self, name: str) -> OpenPipeline | ClosedPipeline | LookalikeError:
        """Return a pipeline, opened only if there is no other way to know its state, or why it cannot be opened."""
        with self._open_lock:
            opened = self._open.get(name)
        try:
            return opened or self._describe(name) or self.open([name])[0]
        except LookalikeError as error:  # such as weights that are not downloaded
            return error

    def decoder(self, opened: Sequence[OpenPipeline]) -> DecodePool:
        """Return the decoder for these pipelines; it and its worker processes are kept."""
        inputs = tuple(o.pipeline.input for o in opened)
        with self._open_lock:
            if inputs not in self._decoders:
                self._decoders[inputs] = DecodePool(
                    inputs, limits=self._limits, workers=self._workers, inline_limit=self._inline_limit
                )
            return self._decoders[inputs]

    def close(self) -> None:
        """Save indexes of which enough has changed, and release files and processes."""
        for opened in self._open.values():
            opened.sync.save()
            opened.pipeline.index.close()
        self._open.clear()
        for decoder in self._decoders.values():
            decoder.close()
        self._decoders.clear()
