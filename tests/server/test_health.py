"""Asking whether others answer: bounded in time, once at a time, and as true as a few seconds allow."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from unittest import mock

from lookalike.errors import Unavailable
from lookalike.server.health import HealthMonitor, Outage
from tests.support.waiting import HANG_SECONDS


def words(silent: Mapping[str, Outage]) -> dict[str, str]:
    return {name: why.summary for name, why in silent.items()}


def test_an_answer_counts_for_a_while() -> None:
    asked: list[float] = []

    async def look() -> None:
        for seconds, expected in ((HANG_SECONDS, 1), (0.0, 5)):
            asked.clear()
            pulse = HealthMonitor(lambda: {"a": lambda: asked.append(time.monotonic())}, cache_seconds=seconds)
            for _ in range(5):
                assert await pulse.check() == {}
            assert len(asked) == expected
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
        pulse = HealthMonitor(lambda: {"a": ask, "b": lambda: None, "c": wrong}, cache_seconds=0.0)
        assert words(await pulse.check()) == {"a": "Unavailable", "c": "failed unexpectedly"}
        assert pulse.last["a"].message == "cannot reach secret.example:9200"
        away[0] = False
        assert words(await pulse.check()) == {"c": "failed unexpectedly"}
        assert words(pulse.last) == {"c": "failed unexpectedly"}
        pulse.close()

    asyncio.run(look())


def test_what_hangs_is_waited_for_once_and_asked_once() -> None:
    released, asked = threading.Event(), []

    def hang() -> None:
        asked.append(1)
        released.wait(2 * HANG_SECONDS)

    async def timed(look: Callable[[], object]) -> float:
        began = time.monotonic()
        await look()  # type: ignore[misc]
        return time.monotonic() - began

    async def look() -> None:
        pulse = HealthMonitor(lambda: {"a": hang}, cache_seconds=0.0, timeout=0.4)
        together = await asyncio.gather(*(timed(pulse.check) for _ in range(20)))
        assert max(together) > 0.3
        assert words(pulse.last) == {"a": "no response within 0.4 seconds"}
        with mock.patch.object(asyncio, "wait", side_effect=AssertionError("it is waited for again")):
            await pulse.check()
        assert words(pulse.last) == {"a": "no response within 0.4 seconds"}
        assert len(asked) == 1
        released.set()
        while pulse.last:
            await asyncio.sleep(0.01)
            await pulse.check()
        pulse.close()

    asyncio.run(asyncio.wait_for(look(), HANG_SECONDS))
