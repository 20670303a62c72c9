"""Count and rate of a long run, as text."""

import time
from collections import deque
from datetime import timedelta

RATE_WINDOW = 30.0
"""Seconds over which the rate is averaged."""


class Pace:
    """Count and rate over the last half minute: outcomes arrive in bursts, a batch at a time."""

    def __init__(self, unit: str = "images") -> None:
        self.done = 0
        self._unit = unit
        self._marks = deque([(time.monotonic(), 0)])

    def advance(self, number: int = 1) -> None:
        self.done += number
        now = time.monotonic()
        if now - self._marks[-1][0] > 1:
            self._marks.append((now, self.done))
            while now - self._marks[1][0] > RATE_WINDOW:  # one earlier mark is kept, to measure from
                self._marks.popleft()

    def rate(self) -> float:
        since, before = self._marks[0]
        return (self.done - before) / max(time.monotonic() - since, 1e-6)

    def text(self, total: float | None) -> str:
        """`1,200 of 1,710 images  84/s  0:00:06 left`."""
        of = f" of {total:,.0f}" if total is not None else ""
        rate = self.rate()
        per_second = f"{rate:,.0f}/s" if rate >= 1 else f"{60 * rate:,.0f}/min"
        unit = self._unit.removesuffix("s") if self.done == 1 and total is None else self._unit
        line = f"{self.done:,}{of} {unit}"
        line += f"  {per_second}" if self.done else ""
        if total is None or self.done == 0 or rate <= 0:
            return line
        return f"{line}  {timedelta(seconds=round(max(total - self.done, 0) / rate))} left"
