"""Health checks of the catalog and the engines, for readiness, status and metrics."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lookalike.errors import LookalikeError

CACHE_SECONDS = 3.0
"""Seconds for which a result is reused."""
PROBE_TIMEOUT = 2.0
"""Seconds after which a running probe counts as an outage."""
MAX_PROBES = 64
"""Threads of probes, more than a gallery has pipelines."""
log = logging.getLogger("lookalike.server")


class Outage(NamedTuple):
    """Why a dependency is unavailable: a short summary that is public, and a message for operators."""

    summary: str
    message: str


class HealthMonitor:
    """Runs the health `probes` of now by name: functions that return if the dependency answers, and raise otherwise.

    `last` are the outages at the last check. Readiness must not block: at most one probe per dependency runs, in its
    own thread, and one that timed out is not awaited again. The methods must be called in the event loop's thread.
    """

    def __init__(
        self,
        probes: Callable[[], Mapping[str, Callable[[], object]]],
        *,
        cache_seconds: float = CACHE_SECONDS,
        timeout: float = PROBE_TIMEOUT,
    ) -> None:
        self._probes = probes
        self._cache_seconds = cache_seconds
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(MAX_PROBES, thread_name_prefix="lookalike-health")
        self._started: dict[str, tuple[float, asyncio.Future[Outage | None]]] = {}
        self.last: Mapping[str, Outage] = {}

    async def check(self) -> Mapping[str, Outage]:
        """The outages by name; takes at most `timeout` seconds."""
        probes = self._probes()
        for name in self._started.keys() - probes.keys():  # a pipeline that answers no longer
            del self._started[name]
        for name, probe in probes.items():
            self._start(name, probe)
        oldest = time.monotonic() - self._timeout
        waiting = [(start, probe) for start, probe in self._started.values() if start > oldest and not probe.done()]
        if waiting:
            await asyncio.wait([probe for _, probe in waiting], timeout=max(start for start, _ in waiting) - oldest)
        message = f"no response within {self._timeout:g} seconds"
        timed_out = Outage(message, message)
        results = {name: probe.result() if probe.done() else timed_out for name, (_, probe) in self._started.items()}
        outages = {name: outage for name, outage in results.items() if outage is not None}
        for name in outages.keys() - self.last.keys():
            log.warning("%s is unavailable: %s", name, outages[name].message)
        for name in self.last.keys() - outages.keys():
            log.warning("%s is available again", name)
        self.last = outages
        return outages

    @property
    def names(self) -> tuple[str, ...]:
        """What is checked."""
        return tuple(self._probes())

    def close(self) -> None:
        """Wait for the running probes; blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, name: str, probe: Callable[[], object]) -> None:
        if name in self._started:
            started, running = self._started[name]
            if not running.done() or time.monotonic() < started + self._cache_seconds:
                return
        future = asyncio.get_running_loop().run_in_executor(self._pool, _run_probe, name, probe)
        self._started[name] = (time.monotonic(), future)


def _run_probe(name: str, probe: Callable[[], object]) -> Outage | None:
    try:
        probe()
    except LookalikeError as error:
        return Outage(type(error).__name__, str(error))
    except Exception:
        log.exception("the health probe of %s failed unexpectedly", name)
        return Outage("failed unexpectedly", "the probe failed unexpectedly; see the server's log")
    return None
