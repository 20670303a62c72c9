"""Whether the catalog and the engines answer: asked now and then, waited for briefly, however many want to know.

What a load balancer asks for must not hang with what hangs: a question that is under way is never asked again beside
itself, and who has waited for it in vain need not be waited for again.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from lookalike.errors import LookalikeError

CACHE_SECONDS = 3.0
"""So long an answer counts before the question is asked again."""
PROBE_TIMEOUT = 2.0
"""So long an answer may take; until it comes after all, there is none."""
log = logging.getLogger("lookalike.server")


class Outage(NamedTuple):
    """Why something does not answer: a word for anybody, and the message for those who may know of the inside."""

    summary: str
    message: str


class HealthMonitor:
    """Asks `questions`, by the name of what they ask after: functions that return where it answers, and raise else.

    Its methods belong to the event loop's thread; the questions are asked in threads, one for each.
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
        self._pool = ThreadPoolExecutor(len(self._probes), thread_name_prefix="lookalike-pulse")
        self._started: dict[str, tuple[float, asyncio.Future[Outage | None]]] = {}
        self._outages: dict[str, Outage] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What is asked after."""
        return tuple(self._probes)

    @property
    def last(self) -> Mapping[str, Outage]:
        """What `silent` gave when it was last called."""
        return dict(self._outages)

    async def check(self) -> Mapping[str, Outage]:
        """By its name whatever does not answer, and why; takes `patience` seconds at most."""
        for name in self._probes:
            self._start(name)
        began = time.monotonic() - self._timeout
        waiting = [(begun, answer) for begun, answer in self._started.values() if begun > began and not answer.done()]
        if waiting:
            await asyncio.wait([answer for _, answer in waiting], timeout=max(begun for begun, _ in waiting) - began)
        found = {name: self._result(answer) for name, (_, answer) in self._started.items()}
        self._log_changes({name: why for name, why in found.items() if why is not None})
        return self.last

    def close(self) -> None:
        """Wait for the questions under way; blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, name: str) -> None:
        if name in self._started:
            begun, answer = self._started[name]
            if not answer.done() or time.monotonic() < begun + self._cache_seconds:
                return
        asking = asyncio.get_running_loop().run_in_executor(self._pool, _run_probe, name, self._probes[name])
        self._started[name] = (time.monotonic(), asking)

    def _result(self, answer: "asyncio.Future[Outage | None]") -> Outage | None:
        if answer.done():
            return answer.result()
        late = f"no answer within {self._timeout:g} seconds"
        return Outage(late, late)

    def _log_changes(self, silent: dict[str, Outage]) -> None:
        for name in silent.keys() - self._outages.keys():
            log.warning("%s does not answer: %s", name, silent[name].message)
        for name in self._outages.keys() - silent.keys():
            log.warning("%s answers again", name)
        self._outages = silent


def _run_probe(name: str, ask: Callable[[], object]) -> Outage | None:
    try:
        ask()
    except LookalikeError as error:
        return Outage(type(error).__name__, str(error))
    except Exception:
        log.exception("asking whether %s answers failed unexpectedly", name)
        return Outage("failed unexpectedly", "asking failed unexpectedly; the server's log tells more")
    return None
