"""Asking whether others answer: bounded in time, once at a time, and as true as a few seconds allow."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping

from lookalike.errors import Unavailable
from lookalike.server.health import HealthMonitor, Outage


def words(silent: Mapping[str, Outage]) -> dict[str, str]:
    return {name: why.word for name, why in silent.items()}


def test_an_answer_counts_for_a_while() -> None:
    asked: list[float] = []

    async def look() -> None:
        pulse = HealthMonitor({"a": lambda: asked.append(time.monotonic())}, fresh=0.2)
        for _ in range(5):
            assert await pulse.silent() == {}
        assert len(asked) == 1
        await asyncio.sleep(0.25)
        assert await pulse.silent() == {}
        assert len(asked) == 2
        pulse.close()

    asyncio.run(look())


def test_what_fails_is_told_in_a_word_and_comes_back() -> None:
    away = [True]

    def ask() -> None:
        if away[0]:
            raise Unavailable("cannot reach secret.example:9200")

    def wrong() -> None:
        raise ZeroDivisionError

    async def look() -> None:
        pulse = HealthMonitor({"a": ask, "b": lambda: None, "c": wrong}, fresh=0.0)
        assert words(await pulse.silent()) == {"a": "Unavailable", "c": "failed unexpectedly"}
        assert pulse.last["a"].message == "cannot reach secret.example:9200"
        away[0] = False
        assert words(await pulse.silent()) == {"c": "failed unexpectedly"}
        assert words(pulse.last) == {"c": "failed unexpectedly"}
        pulse.close()

    asyncio.run(look())


def test_what_hangs_is_waited_for_once_and_asked_once() -> None:
    released, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        released.wait(30)

    async def timed(look: Callable[[], object]) -> float:
        began = time.monotonic()
        await look()  # type: ignore[misc]
        return time.monotonic() - began

    async def look() -> None:
        pulse = HealthMonitor({"a": hang, "b": lambda: None}, fresh=0.0, patience=0.4)
        together = await asyncio.gather(*(timed(pulse.silent) for _ in range(20)))
        assert 0.3 < max(together) < 2
        assert words(pulse.last) == {"a": "no answer within 0.4 seconds"}
        assert await timed(pulse.silent) < 0.2
        assert words(pulse.last) == {"a": "no answer within 0.4 seconds"}
        assert len(asked) == 1
        released.set()
        while pulse.last:
            await pulse.silent()
        pulse.close()

    asyncio.run(asyncio.wait_for(look(), 20))
