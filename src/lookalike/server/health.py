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

    word: str
    message: str


class HealthMonitor:
    """Asks `questions`, by the name of what they ask after: functions that return where it answers, and raise else.

    Its methods belong to the event loop's thread; the questions are asked in threads, one for each.
    """

    def __init__(
        self,
        questions: Mapping[str, Callable[[], object]],
        *,
        fresh: float = CACHE_SECONDS,
        patience: float = PROBE_TIMEOUT,
    ) -> None:
        self._questions = dict(questions)
        self._fresh = fresh
        self._patience = patience
        self._pool = ThreadPoolExecutor(len(self._questions), thread_name_prefix="lookalike-pulse")
        self._asked: dict[str, tuple[float, asyncio.Future[Outage | None]]] = {}
        self._silent: dict[str, Outage] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What is asked after."""
        return tuple(self._questions)

    @property
    def last(self) -> Mapping[str, Outage]:
        """What `silent` gave when it was last called."""
        return dict(self._silent)

    async def silent(self) -> Mapping[str, Outage]:
        """By its name whatever does not answer, and why; takes `patience` seconds at most."""
        for name in self._questions:
            self._ask(name)
        began = time.monotonic() - self._patience
        waiting = [(begun, answer) for begun, answer in self._asked.values() if begun > began and not answer.done()]
        if waiting:
            await asyncio.wait([answer for _, answer in waiting], timeout=max(begun for begun, _ in waiting) - began)
        found = {name: self._told(answer) for name, (_, answer) in self._asked.items()}
        self._note({name: why for name, why in found.items() if why is not None})
        return self.last

    def close(self) -> None:
        """Wait for the questions under way; blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self, name: str) -> None:
        if name in self._asked:
            begun, answer = self._asked[name]
            if not answer.done() or time.monotonic() < begun + self._fresh:
                return
        asking = asyncio.get_running_loop().run_in_executor(self._pool, _tried, name, self._questions[name])
        self._asked[name] = (time.monotonic(), asking)

    def _told(self, answer: "asyncio.Future[Outage | None]") -> Outage | None:
        if answer.done():
            return answer.result()
        late = f"no answer within {self._patience:g} seconds"
        return Outage(late, late)

    def _note(self, silent: dict[str, Outage]) -> None:
        for name in silent.keys() - self._silent.keys():
            log.warning("%s does not answer: %s", name, silent[name].message)
        for name in self._silent.keys() - silent.keys():
            log.warning("%s answers again", name)
        self._silent = silent


def _tried(name: str, ask: Callable[[], object]) -> Outage | None:
    try:
        ask()
    except LookalikeError as error:
        return Outage(type(error).__name__, str(error))
    except Exception:
        log.exception("asking whether %s answers failed unexpectedly", name)
        return Outage("failed unexpectedly", "asking failed unexpectedly; the server's log tells more")
    return None
