"""Application state shared by the routes: gallery, executors, memory budget, metrics, health, jobs, URL fetcher."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from lookalike.errors import BadSetting, Unavailable
from lookalike.gallery import Gallery
from lookalike.results import Status
from lookalike.server.background_sync import BackgroundSync
from lookalike.server.change_watcher import ChangeWatcher
from lookalike.server.cleanup_plans import CleanupPlans
from lookalike.server.health import HealthMonitor
from lookalike.server.job_runner import JobRunner
from lookalike.server.live_queries import MAX_KEPT, LiveQueries
from lookalike.server.load_limits import BoundedExecutor, MemoryBudget
from lookalike.server.metrics import Metrics
from lookalike.server.url_fetch.fetcher import Fetcher

MIB = 1024 * 1024
STATUS_CACHE_SECONDS = 2.0
PROBE_TIMEOUT = 5.0
"""Seconds that a read of status or metrics may take."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Capacity limits of a server process; raises BadSetting for invalid values.

    Up to `queue` requests wait for one of `threads`, each up to `queue_timeout` seconds. `fetches` bounds concurrent
    URL fetches, `memory` the bytes of request bodies. `jobs`: whether to run them; they may read from `import_from`.
    The features of the last `live_queries` queries are kept, to compare pipelines by them.
    `local_files`: whether callers may see and clean up the files of images; None: those on this machine.
    """

    threads: int = 16
    queue: int = 64
    queue_timeout: float = 5.0
    fetches: int = 8
    memory: int = 1024 * MIB
    import_from: tuple[Path, ...] = ()
    jobs: bool = True
    local_files: bool | None = None
    live_queries: int = 0

    def __post_init__(self) -> None:
        for name in ("threads", "queue", "queue_timeout", "fetches", "memory"):
            if not getattr(self, name) > 0:
                raise BadSetting(f"the server setting {name} must be greater than 0, not {getattr(self, name)}")
        if not 0 <= self.live_queries <= MAX_KEPT:
            raise BadSetting(f"--live-queries must be from 0 to {MAX_KEPT:,}, not {self.live_queries}")
        for folder in self.import_from:
            if not folder.is_dir():
                raise BadSetting(f"--import-from {folder}: no such folder")


class AppState:
    """The state of one running application; created in the event loop, closed outside of it."""

    def __init__(self, gallery: Gallery, settings: ServeSettings, fetcher: Fetcher) -> None:
        self.gallery = gallery
        self.settings = settings
        self.fetcher = fetcher
        self.metrics = Metrics()
        self.executor = BoundedExecutor(
            "work", threads=settings.threads, queue=settings.queue, timeout=settings.queue_timeout
        )
        self.fetch_executor = BoundedExecutor(
            "fetch", threads=settings.fetches, queue=settings.queue, timeout=settings.queue_timeout
        )
        self.probe_executor = BoundedExecutor("probe", threads=2, queue=16, timeout=PROBE_TIMEOUT)
        self.memory = MemoryBudget(settings.memory)
        self.live_queries = LiveQueries(gallery, settings.live_queries)
        self.jobs = JobRunner(gallery, fetcher, settings.import_from, self.live_queries)
        self.cleanup_plans = CleanupPlans()
        self.background_sync = BackgroundSync(gallery)
        self.changes = ChangeWatcher(lambda: self.probe(gallery.catalog.changes.last_sequence))
        self.health = HealthMonitor(self._probes)
        self._status: tuple[float, Status] | None = None

    def status(self) -> Status:
        """The status, `STATUS_CACHE_SECONDS` old at most, without engines that failed the last health check; blocks."""
        recent = self._status
        if recent is None or time.monotonic() - recent[0] > STATUS_CACHE_SECONDS:  # it counts all images
            unavailable = {name: outage.message for name, outage in self.health.last.items()}
            recent = self._status = (time.monotonic(), self.gallery.status(outages=unavailable))
        return recent[1]

    def _probes(self) -> dict[str, Callable[[], object]]:
        """The health probes of the catalog and of the pipelines of now."""
        engines = {name: partial(self.gallery.check_engine, name) for name in self.background_sync.names}
        return {"catalog": lambda: self.gallery.catalog.changes.last_sequence(), **engines}

    async def probe(self, function: Callable[[], T]) -> T:
        """The result of a short read of the catalog and the engines; raises Unavailable after `PROBE_TIMEOUT`."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                return await self.probe_executor.run(function)
        except TimeoutError:
            raise Unavailable(f"the catalog or an engine did not answer within {PROBE_TIMEOUT:g} seconds") from None

    def start(self) -> None:
        """Start the background threads: index synchronization and jobs."""
        self.background_sync.start()
        if self.settings.jobs:
            self.jobs.start()

    def close(self) -> None:
        """Stop them and wait for running work; blocks."""
        self.jobs.close()
        self.live_queries.close()
        self.background_sync.close()
        for pool in (self.executor, self.fetch_executor, self.probe_executor, self.health):
            pool.close()


async def get_app_state(request: Request) -> AppState:
    """The state of the application that serves a request."""
    state = request.app.state.app_state
    assert isinstance(state, AppState)
    return state


State = Annotated[AppState, Depends(get_app_state)]
"""A route's parameter: the application state."""
