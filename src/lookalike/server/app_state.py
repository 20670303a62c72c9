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
from lookalike.gallery import Gallery
from lookalike.results import Status
from lookalike.server.background_sync import BackgroundSync
from lookalike.server.executor import BoundedExecutor, MemoryBudget
from lookalike.server.health import HealthMonitor
from lookalike.server.job_runner import JobRunner
from lookalike.server.metrics import Metrics
from lookalike.server.url_fetch.fetcher import Fetcher

MIB = 1024 * 1024
STATUS_SECONDS = 2.0
PROBE_SECONDS = 5.0
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
    patience: float = 5.0
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

    def __init__(self, service: Gallery, settings: ServeSettings, fetcher: Fetcher) -> None:
        self.service = service
        self.settings = settings
        self.fetcher = fetcher
        self.metrics = Metrics()
        self.work = BoundedExecutor("work", threads=settings.threads, queue=settings.queue, patience=settings.patience)
        self.fetching = BoundedExecutor(
            "fetch", threads=settings.fetches, queue=settings.queue, patience=settings.patience
        )
        self.probing = BoundedExecutor("probe", threads=2, queue=16, patience=PROBE_SECONDS)
        self.memory = MemoryBudget(settings.memory)
        self.jobs = JobRunner(service, fetcher, settings.import_from)
        self.keeper = BackgroundSync(service)
        engines = {name: partial(service.check_engine, name) for name in service.pipelines}
        self.pulse = HealthMonitor({"catalog": lambda: service.catalog.sequence(), **engines})
        self._status: tuple[float, Status] | None = None

    def status(self) -> Status:
        """How the gallery stood `STATUS_SECONDS` ago at most: it counts all images. Asks the catalog.

        Engines that were silent when the pulse was last felt are not asked again.
        """
        recent = self._status
        if recent is None or time.monotonic() - recent[0] > STATUS_SECONDS:
            silent = {name: why.message for name, why in self.pulse.last.items()}
            recent = self._status = (time.monotonic(), self.service.status(outages=silent))
        return recent[1]

    async def probe(self, ask: Callable[[], T]) -> T:
        """What a short question to the catalog and the engines gives; raises Unavailable where it takes too long."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await self.probing.run(ask)
        except TimeoutError:
            raise Unavailable(f"the catalog or an engine did not answer within {PROBE_SECONDS:g} seconds") from None

    def start(self) -> None:
        """Begin what goes on by itself: opening the pipelines, keeping indexes in step, jobs."""
        self.keeper.start()
        if self.settings.jobs:
            self.jobs.start()

    def close(self) -> None:
        """End all that, and wait for what is under way; blocks."""
        self.jobs.close()
        self.keeper.close()
        for pool in (self.work, self.fetching, self.probing, self.pulse):
            pool.close()


async def context_of(request: Request) -> AppState:
    """The service that a request was made to."""
    context = request.app.state.context
    assert isinstance(context, AppState)
    return context


State = Annotated[AppState, Depends(context_of)]
"""A route's parameter: the service."""
