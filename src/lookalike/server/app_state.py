"""What every route works with: the gallery, threads to work in, memory to read into, counters, and who fetches URLs."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from lookalike.errors import BadSetting, Unavailable
from lookalike.gallery import Gallery, Status
from lookalike.server.background_sync import BackgroundSync
from lookalike.server.executor import BoundedExecutor
from lookalike.server.health import HealthMonitor
from lookalike.server.job_runner import JobRunner
from lookalike.server.memory_budget import MemoryBudget
from lookalike.server.metrics import Metrics
from lookalike.server.url_fetch.fetcher import Fetcher

MIB = 1024 * 1024
STATUS_CACHE_SECONDS = 2.0
PROBE_TIMEOUT = 5.0
"""How long a question about the service's own health may take."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How much a server takes on at once; raises BadSetting for what makes no sense.

    `threads` work at the same time, `queue` requests wait for one, each up to `patience` seconds; `fetches` URLs are
    fetched at the same time; bodies under way hold `memory` bytes. Jobs may read files below `import_from`. `jobs` is
    whether this process runs jobs.
    """

    threads: int = 16
    queue: int = 64
    queue_timeout: float = 5.0
    fetches: int = 8
    memory: int = 1024 * MIB
    import_from: tuple[Path, ...] = field(default=())
    jobs: bool = True

    def __post_init__(self) -> None:
        for name in ("threads", "queue", "patience", "fetches", "memory"):
            if not getattr(self, name) > 0:
                raise BadSetting(f"the server's {name} must be above 0, not {getattr(self, name)}")
        for folder in self.import_from:
            if not folder.is_dir():
                raise BadSetting(f"--import-from {folder}: there is no such folder")


class AppState:
    """One running service. Made in the event loop, closed outside of it."""

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
        self.jobs = JobRunner(gallery, fetcher, settings.import_from)
        self.background_sync = BackgroundSync(gallery)
        engines = {name: partial(gallery.check_engine, name) for name in gallery.pipelines}
        self.health = HealthMonitor({"catalog": lambda: gallery.catalog.sequence(), **engines})
        self._status: tuple[float, Status] | None = None

    def status(self) -> Status:
        """How the gallery stood `STATUS_SECONDS` ago at most: it counts all images. Asks the catalog.

        Engines that were silent when the pulse was last felt are not asked again.
        """
        recent = self._status
        if recent is None or time.monotonic() - recent[0] > STATUS_CACHE_SECONDS:
            silent = {name: why.message for name, why in self.health.last.items()}
            recent = self._status = (time.monotonic(), self.gallery.status(silent=silent))
        return recent[1]

    async def probe(self, function: Callable[[], T]) -> T:
        """What a short question to the catalog and the engines gives; raises Unavailable where it takes too long."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                return await self.probe_executor.run(function)
        except TimeoutError:
            raise Unavailable(f"the catalog or an engine did not answer within {PROBE_TIMEOUT:g} seconds") from None

    def start(self) -> None:
        """Begin what goes on by itself: opening the pipelines, keeping indexes in step, jobs."""
        self.background_sync.start()
        if self.settings.jobs:
            self.jobs.start()

    def close(self) -> None:
        """End all that, and wait for what is under way; blocks."""
        self.jobs.close()
        self.background_sync.close()
        for pool in (self.executor, self.fetch_executor, self.probe_executor, self.health):
            pool.close()


async def get_app_state(request: Request) -> AppState:
    """The service that a request was made to."""
    context = request.app.state.context
    assert isinstance(context, AppState)
    return context


State = Annotated[AppState, Depends(get_app_state)]
"""A route's parameter: the service."""
