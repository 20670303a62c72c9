"""Pipelines of a gallery, opened when they are first needed, with their decoders."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.catalog import Catalog
from lookalike.errors import LookalikeError, UnsupportedQuery
from lookalike.gallery.current_pipelines import CurrentPipelines, Pipelines
from lookalike.gallery.index_sync import IndexSync, LocalIndexSync, OpenPipeline, SharedIndexSync
from lookalike.gallery.writer_lock import WriterLock
from lookalike.imaging import DecodePool, Limits
from lookalike.interfaces import Encoder
from lookalike.pipeline import ClosedPipeline, Pipeline
from lookalike.types import InputSpec


class PipelineBuilder(Protocol):
    """Opens pipelines by name."""

    def encoder(self, name: str) -> Encoder:
        """The encoder of a pipeline, which is kept; raises NotFound for an unknown one."""

    def pipeline(self, name: str, address: str | None) -> Pipeline:
        """A pipeline with its index, at this address or at that in the settings."""

    def describe(self, name: str, address: str | None) -> ClosedPipeline | None:
        """What is known of a pipeline without opening its index; None where that must be opened."""

    def address(self, name: str, stored: str | None) -> str:
        """The address of the index of a pipeline, without a password."""

    def check(self, name: str, address: str | None) -> None:
        """Raise BadSetting where a gallery like this one cannot have such a pipeline."""

    def wipe(self, name: str) -> None:
        """Delete the files of an embedded index."""


@dataclass(frozen=True, slots=True)
class EncodingSet:
    """The pipelines of which every new image has features, their decoder, and the version of this set."""

    version: int
    opened: list[OpenPipeline]
    decoder: DecodePool

    @property
    def pipelines(self) -> list[Pipeline]:
        return [entry.pipeline for entry in self.opened]


class PipelinePool:
    """The pipelines of the set in `current`; `builder` opens one. Safe to use from several threads."""

    def __init__(
        self,
        current: CurrentPipelines,
        builder: PipelineBuilder,
        catalog: Catalog,
        lock: WriterLock,
        limits: Limits,
        workers: int | None,
        inline_limit: int,
    ) -> None:
        self.current = current
        self.builder = builder
        self._catalog = catalog
        self._lock = lock
        self._limits = limits
        self._workers = workers
        self._inline_limit = inline_limit
        self._open: dict[str, OpenPipeline] = {}
        self._decoders: dict[tuple[InputSpec, ...], DecodePool] = {}
        self._open_lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """The pipelines that answer searches, in order of precedence."""
        return self.current.get().active

    def open(self, names: Sequence[str] | None = None) -> list[OpenPipeline]:
        """Return these pipelines, by default the active ones, in order of precedence.

        Once this process writes to the gallery they are reopened as writable; the read-only index is left to the
        searches that still use it, as is that of a pipeline that was dropped. Raises UnsupportedQuery for an unknown
        name.
        """
        found = self.current.get()
        self.check(*names or ())
        return self._opened(found, [name for name in found.encoded if name in (names or found.active)])

    def check(self, *names: str) -> None:
        """Raise UnsupportedQuery for a name that is not that of a pipeline."""
        encoded = self.current.get().encoded
        if unknown := [name for name in names if name not in encoded]:
            known = ", ".join(encoded)
            raise UnsupportedQuery(f"the gallery has no pipeline {unknown[0]!r}; its pipelines are {known}")

    def open_encoding(self, *, now: bool = False) -> EncodingSet:
        """Return the pipelines of which new images get features: the active and the shadow ones."""
        found = self.current.get(now=now)
        opened = self._opened(found, found.encoded)
        return EncodingSet(found.version, opened, self.decoder(opened))

    def _opened(self, found: Pipelines, chosen: Sequence[str]) -> list[OpenPipeline]:
        with self._open_lock:
            self._open = {name: opened for name, opened in self._open.items() if name in found.encoded}
            for name in chosen:
                opened = self._open.get(name)
                if opened is None or (self._lock.held and opened.read_only):
                    # read before building: if the lock is acquired meanwhile, the next call reopens it
                    writable = self._lock.held
                    pipeline = self.builder.pipeline(name, found.addresses.get(name))
                    sync: IndexSync = (
                        SharedIndexSync(self._catalog, pipeline)
                        if pipeline.index.shared
                        else LocalIndexSync(self._catalog, pipeline, writable=writable)
                    )
                    self._open[name] = OpenPipeline(pipeline, sync, writable)
            return [self._open[name] for name in chosen]

    def now_open(self) -> list[OpenPipeline]:
        """Return those of the pipelines that are open."""
        encoded = self.current.get().encoded
        with self._open_lock:
            return [self._open[name] for name in encoded if name in self._open]

    def look_up(self, name: str) -> OpenPipeline | ClosedPipeline | LookalikeError:
        """Return a pipeline, opened only if there is no other way to know its state, or why it cannot be opened."""
        with self._open_lock:
            opened = self._open.get(name)
        try:
            return opened or self.builder.describe(name, self.current.get().addresses.get(name)) or self.open([name])[0]
        except LookalikeError as error:  # such as weights that are not downloaded
            return error

    def decoder(self, opened: Sequence[OpenPipeline]) -> DecodePool:
        """Return the decoder for these pipelines; it and its worker processes are kept."""
        return self.decoder_for(tuple(o.pipeline.input for o in opened))

    def decoder_for(self, inputs: tuple[InputSpec, ...]) -> DecodePool:
        """Return the decoder for these inputs; those of earlier sets of pipelines end with what still uses them."""
        with self._open_lock:
            if inputs not in self._decoders:
                used = {opened.pipeline.input for opened in self._open.values()}.union(inputs)
                self._decoders = {key: decoder for key, decoder in self._decoders.items() if used.issuperset(key)}
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
