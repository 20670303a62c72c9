"""How far a long run has come: a bar in a terminal, now and then a line elsewhere."""

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from lookalike.cli.output import err, note

EVERY = 10.0
"""Seconds between lines where there is no terminal."""


class _Done(ProgressColumn):
    """`1,200 of 1,710`, with a plus while files are still being counted."""

    def render(self, task: Task) -> Text:
        of = f" of {int(task.total):,}" if task.total is not None else ""
        return Text(f"{int(task.completed):,}{of} pictures")


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="dim")


class Counting:
    """Counts up to a total that is itself being found out, in a thread beside the work: `total()` may take its time."""

    def __init__(self, what: str, total: Callable[[], Iterable[object]], *, quiet: bool) -> None:
        console = err()
        self._shown = console.is_terminal and not quiet
        self._quiet = quiet or self._shown
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _Done(),
            _Rate(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not self._shown,
            transient=True,
        )
        self._task = self._bar.add_task(what, total=None)
        self._total = total
        self._stop = threading.Event()
        self._started = self._told = time.monotonic()
        self._done = 0

    def __enter__(self) -> Self:
        self._bar.start()
        if self._shown:
            threading.Thread(target=self._count, name="count files", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._bar.stop()

    def advance(self) -> None:
        """One more."""
        self._done += 1
        self._bar.advance(self._task)
        now = time.monotonic()
        if not self._quiet and now - self._told > EVERY:
            self._told = now
            note(f"{self._done:,} pictures so far ({self._done / (now - self._started):,.0f}/s)")

    def _count(self) -> None:
        count = 0
        for _ in self._total():
            count += 1
            if self._stop.is_set():
                return
        self._bar.update(self._task, total=count)
