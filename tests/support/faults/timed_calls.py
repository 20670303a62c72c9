"""How long calls take that fail, and how long until they succeed again."""

import time
from collections.abc import Callable
from typing import TypeVar

from lookalike.errors import Unavailable

Answer = TypeVar("Answer")


class Watch:
    """Runs calls; notes the seconds of each that raised Unavailable, and lets every other error pass."""

    def __init__(self) -> None:
        self.failed: list[float] = []
        self.calls = 0

    def run(self, act: Callable[[], Answer]) -> Answer:
        """The call's answer, or its error."""
        began = time.monotonic()
        self.calls += 1
        try:
            return act()
        except Unavailable:
            self.failed.append(time.monotonic() - began)
            raise


def insist(act: Callable[[], Answer], seconds: float) -> Answer:
    """Try again while something is unavailable, as clients are told to; raises the last error when time is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            return act()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
