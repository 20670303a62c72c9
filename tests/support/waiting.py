"""Waiting in tests, and bounds that say nothing about the speed of the machine."""

import time
from collections.abc import Callable

HANG_SECONDS = 90.0
"""What takes this long hangs, even on a busy machine. Calls that give up by themselves do so well before."""


def wait_until(holds: Callable[[], object], what: str = "the condition never held") -> None:
    """Wait until the condition holds; fails, saying what, where it does not within HANG_SECONDS."""
    end = time.monotonic() + HANG_SECONDS
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)
