"""The pipelines of a gallery: the set of now, read again every second, and each opened when it is first needed."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lookalike.catalog import Catalog, OtherIndex, StoredIndex, StoredPipeline
from lookalike.errors import LookalikeError, UnsupportedQuery
from lookalike.gallery.index_sync import IndexSync, LocalIndexSync, OpenPipeline, SharedIndexSync
from lookalike.gallery.writer_lock import WriterLock
from lookalike.imaging import DecodePool, Limits
from lookalike.interfaces import Encoder
from lookalike.pipeline import ClosedPipeline, Pipeline
from lookalike.types import InputSpec

REFRESH_SECONDS = 1.0
"""For how long a process searches with a set of pipelines that another one may have changed. Writers learn of a change
in the transaction that it concerns."""
DROP_SECONDS = 3 * REFRESH_SECONDS
"""Seconds after which no search uses a pipeline any more that was taken from the set."""
PREPARE_SECONDS = 1.0
"""Seconds for which an index that the gallery moves to is filled at once, between two looks at the others."""


@dataclass(frozen=True, slots=True)
class Pipelines:
    """A version of the set: `active` answer searches, the last one ranks; `encoded` are those and the shadow ones.

    Both are in order of precedence. `indexes` are those that answer; `others` are second ones, of pipelines whose index
    is being moved or was.
    """

    version: int
    active: tuple[str, ...]
    encoded: tuple[str, ...]
    indexes: Mapping[str, StoredIndex]
    others: Mapping[str, OtherIndex]


class CurrentPipelines:
    """Reads the set of pipelines from the catalog; `initial` are the names in the settings. Thread-safe."""

    def __init__(self, catalog: Catalog, initial: Sequence[str]) -> None:
        self.initial = tuple(initial)
        self._catalog = catalog
        self._lock = threading.Lock()
        self._read_at = time.monotonic()
        self._last = self._read()

    @property
    def last(self) -> Pipelines:
        """The set that was read last."""
        return self._last

    def get(self, *, now: bool = False) -> Pipelines:
        """The set, at most `REFRESH_SECONDS` old, or that of `now`."""
        if now or time.monotonic() - self._read_at > REFRESH_SECONDS:
            with self._lock:
                self._read_at = time.monotonic()
                if self._catalog.pipelines.version() != self._last.version:
                    self._last = self._read()
        return self._last

    def stored(self) -> list[StoredPipeline]:
        """What the catalog knows of each pipeline, in order of precedence."""
        found = list(self._catalog.pipelines.current().pipelines)
        return found or [StoredPipeline(name, "active") for name in self.initial]

    def _read(self) -> Pipelines:
        found = self._catalog.pipelines.current()
        stored = found.pipelines or tuple(StoredPipeline(name, "active") for name in self.initial)
        return Pipelines(
            found.version,
            tuple(p.name for p in stored if p.state == "active"),
            tuple(p.name for p in stored if p.state != "dropping"),
            {p.name: p.index for p in stored},
            {p.name: p.other for p in stored if p.other is not None},
        )


class PipelineBuilder(Protocol):
    """Opens pipelines by name."""

    def encoder(self, name: str) -> Encoder:
        """The encoder of a pipeline, which is kept; raises NotFound for an unknown one."""

    def pipeline(self, name: str, stored: StoredIndex) -> Pipeline:
        """A pipeline with this index."""

    def describe(self, name: str, stored: StoredIndex) -> ClosedPipeline | None:
        """What is known of a pipeline without opening its index; None where that must be opened."""

    def address(self, name: str, stored: StoredIndex) -> str:
        """The address of an index of a pipeline, without a password; empty where it is the default one."""

    def engine(self, name: str, stored: StoredIndex) -> str:
        """What an index of a pipeline runs on: its address without password and options."""

    def is_at(self, name: str, stored: StoredIndex, address: str) -> bool:
        """Whether an index of a pipeline is at this address, which has no password."""

    def is_named(self, address: str) -> bool:
        """Whether the gallery's settings, or this process's, name this address, with or without a password."""

    def check(self, name: str, address: str | None) -> None:
        """Raise BadSetting where a gallery like this one cannot have such a pipeline."""

    def drop_index(self, name: str, stored: StoredIndex) -> None:
        """Delete an index of a pipeline; raises Unavailable where its server does not answer."""

    def is_windowed(self, name: str) -> bool:
        """Whether the rows of a pipeline hold windows of images (`WindowedEncoder`); it is not loaded."""

    def wipe(self, name: str) -> None:
        """Delete the files of the embedded indexes of a pipeline."""


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
        self._open: dict[tuple[str, int], OpenPipeline] = {}  # by name, and generation of the index
        self._prepares = False
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
        name, and for a pipeline of windows.
        """
        found = self.current.get()
        self.check(*names or ())
        for name in names or ():
            if self.builder.is_windowed(name):
                raise UnsupportedQuery(
                    f"{name} holds windows of stored images, and is not searched by itself: where no copy was found, "
                    "a search uses it without being asked"
                )
        return self._opened(found, [name for name in found.encoded if name in (names or found.active)])

    def open_windows(self) -> list[OpenPipeline]:
        """Return the pipelines of windows, which are searched where no copy was found."""
        found = self.current.get()
        shadow = [name for name in found.encoded if name not in found.active]
        return self._opened(found, [name for name in shadow if self.builder.is_windowed(name)])

    def open_encoded(self, name: str) -> OpenPipeline:
        """Return a pipeline of which new images get features; raises UnsupportedQuery for an unknown name."""
        self.check(name)
        return self._opened(self.current.get(), [name])[0]

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
            self._forget(found)
            for name in chosen:
                self._open_index(name, found.indexes[name])
            return [self._answering(found, name) for name in chosen]

    def open_index(self, name: str, stored: StoredIndex) -> OpenPipeline:
        """Return a pipeline with one of its indexes, also one that does not answer searches."""
        with self._open_lock:
            return self._open_index(name, stored)

    def _open_index(self, name: str, stored: StoredIndex) -> OpenPipeline:
        at = name, stored.generation
        opened = self._open.get(at)
        if opened is None or (self._lock.held and opened.read_only):
            # read before building: if the lock is acquired meanwhile, the next call reopens it
            writable = self._lock.held
            pipeline = self.builder.pipeline(name, stored)
            sync: IndexSync = (
                SharedIndexSync(self._catalog, pipeline, stored.generation)
                if pipeline.index.shared
                else LocalIndexSync(self._catalog, pipeline, writable=writable)
            )
            self._open[at] = OpenPipeline(pipeline, sync, writable)
        return self._open[at]

    def _forget(self, found: Pipelines) -> None:
        """Let go of indexes that answer no more searches, and of those of pipelines that were dropped."""
        used = {(name, found.indexes[name].generation) for name in found.encoded}
        used |= {(name, other.index.generation) for name, other in found.others.items() if other.state != "dropping"}
        self._open = {at: opened for at, opened in self._open.items() if at in used}

    def _answering(self, found: Pipelines, name: str) -> OpenPipeline:
        """The pipeline with the index that answers: the one before a move while `prepare` still fills the new one."""
        other = found.others.get(name)
        opened = self._open[name, found.indexes[name].generation]
        if other is None or other.state != "kept":
            return opened
        before = name, other.index.generation
        if self._prepares and before in self._open and _lags(opened, other.sequence):
            return self._open[before]
        self._open.pop(before, None)
        return opened

    def prepare(self) -> None:
        """Fill the embedded indexes that the gallery moves to, for a second each, so that no search waits for them.

        A server calls it again and again. Indexes on servers are filled by the process that moves.
        """
        self._prepares = True
        found = self.current.get()
        for name, other in found.others.items():
            if name not in found.encoded or other.state == "dropping":
                continue
            opened = self.open_index(name, other.index if other.state == "building" else found.indexes[name])
            wanted = other.state == "building" or _lags(opened, other.sequence)
            if wanted and not opened.pipeline.index.shared:
                opened.sync.catch_up(time.monotonic() + PREPARE_SECONDS)
                opened.sync.save()

    def now_open(self) -> list[OpenPipeline]:
        """Return those of the pipelines that are open."""
        found = self.current.get()
        with self._open_lock:
            self._forget(found)
            return [
                self._answering(found, name)
                for name in found.encoded
                if (name, found.indexes[name].generation) in self._open
            ]

    def look_up(self, name: str) -> OpenPipeline | ClosedPipeline | LookalikeError:
        """Return a pipeline, opened only if there is no other way to know its state, or why it cannot be opened."""
        stored = self.current.get().indexes[name]
        with self._open_lock:
            opened = self._open.get((name, stored.generation))
        try:
            return opened or self.builder.describe(name, stored) or self.open_encoded(name)
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


def _lags(opened: OpenPipeline, sequence: int) -> bool:
    """Whether an embedded index has not yet all changes up to this one."""
    return not opened.pipeline.index.shared and opened.sync.applied < sequence
