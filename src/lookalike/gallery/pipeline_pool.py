"""The pipelines of a gallery, opened when they are first needed, and the decoding that goes with them."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lookalike.catalog import Catalog
from lookalike.errors import LookalikeError, Unavailable, UnsupportedQuery
from lookalike.gallery.decoder import Decoder
from lookalike.gallery.index_sync import IndexSync, index_sync_of
from lookalike.gallery.writer_lock import WriterLock
from lookalike.imaging import Limits
from lookalike.pipeline import Pipeline
from lookalike.types import InputSpec

FRESHNESS_TIMEOUT = 10.0
"""Seconds that a search waits for the change that it asks for."""
PAUSE = 0.05
"""Seconds between two looks at an index that another process brings up to date."""

log = logging.getLogger("lookalike")


@dataclass(frozen=True, slots=True)
class OpenPipeline:
    """A pipeline, what keeps its index in step, and whether that index may be written to disk."""

    pipeline: Pipeline
    follower: IndexSync
    writable: bool

    @property
    def settled(self) -> bool:
        """Whether nothing would change if this process began to write the gallery's folder."""
        return self.writable or self.pipeline.index.shared


class PipelinePool:
    """The pipelines called `names`, in order of precedence; `build` opens one. Safe to use from several threads."""

    def __init__(
        self,
        names: Sequence[str],
        build: Callable[[str], Pipeline],
        catalog: Catalog,
        lock: WriterLock,
        limits: Limits,
        workers: int | None,
        few: int,
    ) -> None:
        self.names = tuple(names)
        self._build = build
        self._catalog = catalog
        self._lock = lock
        self._limits = limits
        self._workers = workers
        self._few = few
        self._opened: dict[str, OpenPipeline] = {}
        self._decoders: dict[tuple[InputSpec, ...], Decoder] = {}
        self._opening = threading.Lock()

    def open(self, names: Sequence[str] | None = None) -> list[OpenPipeline]:
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
                if opened is None or (self._lock.held and not opened.settled):
                    writable = self._lock.held  # before building: taken meanwhile, it is built anew the next time
                    pipeline = self._build(name)
                    follower = index_sync_of(self._catalog, pipeline, writable=writable)
                    self._opened[name] = OpenPipeline(pipeline, follower, writable)
            return [self._opened[name] for name in chosen]

    def now_open(self) -> list[OpenPipeline]:
        """The pipelines that were needed so far, in order of precedence."""
        with self._opening:
            return [self._opened[name] for name in self.names if name in self._opened]

    def try_open(self, name: str) -> tuple[Pipeline, IndexSync] | LookalikeError:
        """A pipeline, or why it cannot be opened (weights that were not fetched yet)."""
        try:
            [opened] = self.open([name])
        except LookalikeError as error:
            return error
        return opened.pipeline, opened.follower

    def decoder(self, opened: Sequence[OpenPipeline]) -> Decoder:
        """What prepares images for these pipelines; kept, and its processes with it."""
        inputs = tuple(o.pipeline.input for o in opened)
        with self._opening:
            if inputs not in self._decoders:
                self._decoders[inputs] = Decoder(inputs, self._limits, self._workers, self._few)
            return self._decoders[inputs]

    def close(self) -> None:
        """Save what is worth saving, and release files and processes."""
        for opened in self._opened.values():
            opened.follower.save()
            opened.pipeline.index.close()
        self._opened.clear()
        for decoder in self._decoders.values():
            decoder.close()
        self._decoders.clear()


def catch_up(opened: Sequence[OpenPipeline], *, save: bool = False) -> None:
    """Bring all indexes up to the catalog, and save what is worth it.

    One whose engine does not answer stays behind and catches up later: the catalog keeps what it lacks.
    """
    for one in opened:
        try:
            one.follower.catch_up()
        except Unavailable as error:
            if not one.pipeline.index.shared:
                raise
            log.warning("the index of %s will catch up later: %s", one.pipeline.name, error)
        if save:
            one.follower.save()


def ensure_fresh(opened: Sequence[OpenPipeline], at_least: int | None = None) -> int:
    """Before a search: see that the indexes are in step; gives the sequence number that all of them have reached.

    Waits up to `MAX_BATCH_DELAY` seconds for `at_least`; raises Unavailable where it is not reached by then.
    """
    for one in opened:
        try:
            one.follower.ensure_fresh()
        except Unavailable:
            if not one.pipeline.index.shared:
                raise  # the catalog itself; of an engine the search will tell
    until = time.monotonic() + FRESHNESS_TIMEOUT
    while (reached := min(o.follower.applied for o in opened)) < (at_least or 0):
        behind = min(opened, key=lambda o: o.follower.applied)
        if time.monotonic() > until:
            raise Unavailable(
                f"the index of {behind.pipeline.name} has reached change {reached} and not yet {at_least}; try again",
                retry_after=1.0,
            )
        if behind.follower.catch_up(until) < (at_least or 0):
            time.sleep(PAUSE)  # another process is at it
    return reached
