"""Progress of a long run: count and rate, as a bar in a terminal, else a line every few seconds."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Self

from lookalike.cli.output import print_error

RATE_WINDOW = 30.0
"""Seconds over which the rate is averaged."""
LINE_INTERVAL = 10.0
"""Seconds between lines where there is no terminal."""
FIRST_LINE = 1.0
"""Seconds until the first of them."""


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
        unit = self._unit.removesuffix("s") if (self.done if total is None else total) == 1 else self._unit
        line = f"{self.done:,}{of} {unit}"
        line += f"  {per_second}" if self.done else ""
        if total is None or self.done == 0 or rate <= 0:
            return line
        return f"{line}  {timedelta(seconds=round(max(total - self.done, 0) / rate))} left"


class ProgressBar:
    """A bar whose total is a number, or counted by a thread, for `total()` may be slow; None if it is unknown.

    `unit` is the plural of what is counted.
    """

    def __init__(
        self,
        what: str,
        total: Callable[[], Iterable[object]] | int | None,
        *,
        quiet: bool,
        unit: str = "images",
    ) -> None:
        self._pace = Pace(unit)
        self._number = total if isinstance(total, int) else None
        self._total = None if isinstance(total, int) else total
        self._bar = None
        if sys.stderr.isatty() and not quiet:
            from lookalike.cli.progress_bar import TerminalBar  # noqa: PLC0415 - loads rich, 0.05 s

            self._bar = TerminalBar(what, self._pace, self._number)
        self._lines = not quiet and self._bar is None
        self._stop = threading.Event()
        self._next_line = time.monotonic() + FIRST_LINE

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            if self._total is not None:
                threading.Thread(target=self._count, name="count files", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        if self._bar is not None:
            self._bar.stop()

    def set_total(self, total: int) -> None:
        """Say the total, where it becomes known with the first progress."""
        self._number = total
        if self._bar is not None:
            self._bar.set_total(total)

    def advance(self, number: int = 1) -> None:
        self._pace.advance(number)
        if self._bar is not None:
            self._bar.advance(number)
        now = time.monotonic()
        if self._lines and now >= self._next_line:
            self._next_line = now + LINE_INTERVAL
            print_error(self._pace.text(self._number))

    def _count(self) -> None:
        assert self._total is not None
        assert self._bar is not None
        count = 0
        for _ in self._total():
            count += 1
            if self._stop.is_set():
                return
        self._bar.set_total(count)
