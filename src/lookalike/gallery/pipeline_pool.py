"""Pipelines of a gallery, opened when they are first needed, with their decoders."""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.catalog import Catalog
from lookalike.errors import LookalikeError, Unavailable, UnsupportedQuery
from lookalike.gallery.current_pipelines import CurrentPipelines, Pipelines
from lookalike.gallery.decoder import Decoder
from lookalike.gallery.index_sync import IndexSync, index_sync_of
from lookalike.gallery.writer_lock import WriterLock
from lookalike.imaging import Limits
from lookalike.interfaces import Encoder
from lookalike.pipeline import Pipeline
from lookalike.types import InputSpec

FRESHNESS_TIMEOUT = 10.0
"""Seconds that a search waits for its `min_sequence`."""
POLL_PAUSE = 0.05
"""Seconds between checks of an index that another process is bringing up to date."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class OpenPipeline:
    """An open pipeline, the synchronisation of its index, and whether that index may be written to disk."""

    pipeline: Pipeline
    sync: IndexSync
    writable: bool

    @property
    def read_only(self) -> bool:
        """Whether it must be reopened once this process writes to the gallery's folder."""
        return not (self.writable or self.pipeline.index.shared)


class PipelineBuilder(Protocol):
    """Opens pipelines by name."""

    def encoder(self, name: str) -> Encoder:
        """The encoder of a pipeline, which is kept; raises NotFound for an unknown one."""

    def pipeline(self, name: str, address: str | None) -> Pipeline:
        """A pipeline with its index, at this address or at that in the settings."""

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
    decoder: Decoder

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
        self._decoders: dict[tuple[InputSpec, ...], Decoder] = {}
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
                    sync = index_sync_of(self._catalog, pipeline, writable=writable)
                    self._open[name] = OpenPipeline(pipeline, sync, writable)
            return [self._open[name] for name in chosen]

    def now_open(self) -> list[OpenPipeline]:
        """Return those of the pipelines that are open."""
        encoded = self.current.get().encoded
        with self._open_lock:
            return [self._open[name] for name in encoded if name in self._open]

    def try_open(self, name: str) -> tuple[Pipeline, IndexSync] | LookalikeError:
        """Return a pipeline, or the error if it cannot be opened (such as weights that are not downloaded)."""
        try:
            [opened] = self.open([name])
        except LookalikeError as error:
            return error
        return opened.pipeline, opened.sync

    def decoder(self, opened: Sequence[OpenPipeline]) -> Decoder:
        """Return the decoder for these pipelines; it and its worker processes are kept."""
        return self.decoder_for(tuple(o.pipeline.input for o in opened))

    def decoder_for(self, inputs: tuple[InputSpec, ...]) -> Decoder:
        """Return the decoder for these inputs."""
        with self._open_lock:
            if inputs not in self._decoders:
                self._decoders[inputs] = Decoder(inputs, self._limits, self._workers, self._inline_limit)
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


def catch_up(opened: Sequence[OpenPipeline], *, save: bool = False) -> None:
    """Bring all indexes up to date with the catalog, and with `save` those of which enough has changed to disk.

    One whose engine does not answer catches up later: the catalog keeps the changes.
    """
    for entry in opened:
        try:
            entry.sync.catch_up()
        except Unavailable as error:
            if not entry.pipeline.index.shared:
                raise
            log.warning("the index of %s will catch up later: %s", entry.pipeline.name, error)
        if save:
            entry.sync.save()


def ensure_fresh(opened: Sequence[OpenPipeline], min_sequence: int | None = None) -> int:
    """Before a search: bring the indexes up to date, and return the sequence number that all have reached.

    Waits up to `FRESHNESS_TIMEOUT` seconds for `min_sequence`; raises Unavailable if it is not reached by then.
    """
    for entry in opened:
        try:
            entry.sync.ensure_fresh()
        except Unavailable:
            if not entry.pipeline.index.shared:
                raise  # the catalog is down; an engine that is down is reported by the search
    until = time.monotonic() + FRESHNESS_TIMEOUT
    while (reached := min(o.sync.applied for o in opened)) < (min_sequence or 0):
        behind = min(opened, key=lambda o: o.sync.applied)
        if time.monotonic() > until:
            raise Unavailable(
                f"the index of {behind.pipeline.name} is at change {reached}, not yet at {min_sequence}; try again",
                retry_after=1.0,
            )
        if behind.sync.catch_up(until) < (min_sequence or 0):
            time.sleep(POLL_PAUSE)  # another process is updating it
    return reached
