"""Processor cores of this process."""

import os


def usable_cores() -> int:
    """Return the number of cores that this process may use (its CPU affinity, where the system has one)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
