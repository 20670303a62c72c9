"""Health checks of the catalog and the engines, for readiness, status and metrics.

Readiness must not block: at most one probe per dependency runs, and a probe that timed out is not awaited again.
"""

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
log = logging.getLogger("lookalike.server")


class Outage(NamedTuple):
    """Why a dependency is unavailable: a short summary that is public, and a message for operators."""

    summary: str
    message: str


class HealthMonitor:
    """Runs health probes by name: functions that return if the dependency answers, and raise otherwise.

    Its methods must be called in the event loop's thread; each probe runs in a thread of its own.
    """

    def __init__(
        self,
        probes: Mapping[str, Callable[[], object]],
        *,
        cache_seconds: float = CACHE_SECONDS,
        timeout: float = PROBE_TIMEOUT,
    ) -> None:
        self._probes = dict(probes)
        self._cache_seconds = cache_seconds
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(len(self._probes), thread_name_prefix="lookalike-health")
        self._started: dict[str, tuple[float, asyncio.Future[Outage | None]]] = {}
        self._outages: dict[str, Outage] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the dependencies."""
        return tuple(self._probes)

    @property
    def last(self) -> Mapping[str, Outage]:
        """The outages at the last check."""
        return dict(self._outages)

    async def check(self) -> Mapping[str, Outage]:
        """The outages by name; takes at most `timeout` seconds."""
        for name in self._probes:
            self._start(name)
        oldest = time.monotonic() - self._timeout
        waiting = [(start, probe) for start, probe in self._started.values() if start > oldest and not probe.done()]
        if waiting:
            await asyncio.wait([probe for _, probe in waiting], timeout=max(start for start, _ in waiting) - oldest)
        results = {name: self._result(probe) for name, (_, probe) in self._started.items()}
        self._update({name: outage for name, outage in results.items() if outage is not None})
        return self.last

    def close(self) -> None:
        """Wait for the running probes; blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, name: str) -> None:
        if name in self._started:
            started, probe = self._started[name]
            if not probe.done() or time.monotonic() < started + self._cache_seconds:
                return
        probe = asyncio.get_running_loop().run_in_executor(self._pool, _run_probe, name, self._probes[name])
        self._started[name] = (time.monotonic(), probe)

    def _result(self, probe: "asyncio.Future[Outage | None]") -> Outage | None:
        if probe.done():
            return probe.result()
        message = f"no response within {self._timeout:g} seconds"
        return Outage(message, message)

    def _update(self, outages: dict[str, Outage]) -> None:
        for name in outages.keys() - self._outages.keys():
            log.warning("%s is unavailable: %s", name, outages[name].message)
        for name in self._outages.keys() - outages.keys():
            log.warning("%s is available again", name)
        self._outages = outages


def _run_probe(name: str, probe: Callable[[], object]) -> Outage | None:
    try:
        probe()
    except LookalikeError as error:
        return Outage(type(error).__name__, str(error))
    except Exception:
        log.exception("the health probe of %s failed unexpectedly", name)
        return Outage("failed unexpectedly", "the probe failed unexpectedly; see the server's log")
    return None
