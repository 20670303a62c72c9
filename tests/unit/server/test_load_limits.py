"""The server's executor: what it cannot take is refused at once, whatever the machine's speed."""

import asyncio
import threading

import pytest

from lookalike.errors import Unavailable
from lookalike.server.load_limits import BoundedExecutor


def test_more_than_threads_and_queue_is_refused() -> None:
    async def flood() -> tuple[list[object], list[BaseException]]:
        executor = BoundedExecutor("test", threads=2, queue=3, timeout=60)
        release, running = threading.Event(), threading.Semaphore(0)

        def work() -> int:
            running.release()
            assert release.wait(60)
            return 1

        first = [asyncio.create_task(executor.run(work)) for _ in range(2)]
        for _ in first:
            await asyncio.to_thread(running.acquire)
        queued = [asyncio.create_task(executor.run(work)) for _ in range(3)]
        while executor.waiting < 3:
            await asyncio.sleep(0)
        refused = await asyncio.gather(*(executor.run(work) for _ in range(5)), return_exceptions=True)
        with pytest.raises(Unavailable, match="2 requests are running and 3 are queued") as raised:
            executor.check_capacity()
        assert (raised.value.retry_after or 0) >= 1
        release.set()
        done = await asyncio.gather(*first, *queued)
        executor.close()
        return list(done), [error for error in refused if isinstance(error, BaseException)]

    done, refused = asyncio.run(flood())
    assert done == [1] * 5
    assert len(refused) == 5
    assert all(isinstance(error, Unavailable) for error in refused)


def test_a_thread_that_does_not_become_free_in_time() -> None:
    async def wait() -> None:
        executor = BoundedExecutor("test", threads=1, queue=1, timeout=0.01)
        release, running = threading.Event(), threading.Event()

        def work() -> None:
            running.set()
            release.wait(60)

        first = asyncio.create_task(executor.run(work))
        await asyncio.to_thread(running.wait)
        with pytest.raises(Unavailable, match="no thread became free"):
            await executor.run(lambda: None)
        assert executor.waiting == 0
        release.set()
        await first
        executor.close()

    asyncio.run(wait())
