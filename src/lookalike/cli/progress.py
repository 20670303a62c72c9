"""Progress of a long run: a bar in a terminal, else a line every few seconds."""

import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from lookalike.cli.output import print_error
from lookalike.cli.pace import Pace

LINE_INTERVAL = 10.0
"""Seconds between lines where there is no terminal."""
FIRST_LINE = 1.0
"""Seconds until the first of them."""


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
