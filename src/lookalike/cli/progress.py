"""How far a long run has come: a bar in a terminal, now and then a line elsewhere."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from lookalike.cli.output import err, print_error

EVERY = 10.0
"""Seconds between lines where there is no terminal."""
WINDOW = 30.0
"""Seconds over which the rate is taken."""


class Pace:
    """How fast it goes, over the last half minute: outcomes come in bursts, a batch at a time."""

    def __init__(self) -> None:
        self.done = 0
        self._marks = deque([(time.monotonic(), 0)])

    def advance(self) -> None:
        """One more is done."""
        self.done += 1
        now = time.monotonic()
        if now - self._marks[-1][0] > 1:
            self._marks.append((now, self.done))
            while now - self._marks[1][0] > WINDOW:  # one mark from before stays, to measure from
                self._marks.popleft()

    def rate(self) -> float:
        """Images a second."""
        since, before = self._marks[0]
        return (self.done - before) / max(time.monotonic() - since, 1e-6)

    def told(self, total: float | None) -> str:
        """`1,200 of 1,710 images  84/s  0:00:06 left`."""
        of = f" of {total:,.0f}" if total is not None else ""
        rate = self.rate()
        line = f"{self.done:,}{of} images  {rate:,.0f}/s" if self.done else f"{self.done:,}{of} images"
        if total is None or self.done == 0 or rate <= 0:
            return line
        return f"{line}  {timedelta(seconds=round(max(total - self.done, 0) / rate))} left"


class _PaceColumn(ProgressColumn):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        return Text(self._pace.told(task.total))


class ProgressBar:
    """Counts up to a total that is itself being found out, in a thread beside the work: `total()` may take its time."""

    def __init__(self, what: str, total: Callable[[], Iterable[object]], *, quiet: bool) -> None:
        console = err()
        self._pace = Pace()
        self._shown = console.is_terminal and not quiet
        self._quiet = quiet or self._shown
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            _PaceColumn(self._pace),
            console=console,
            disable=not self._shown,
            transient=True,
        )
        self._task = self._bar.add_task(what, total=None)
        self._total = total
        self._stop = threading.Event()
        self._told = time.monotonic()

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
        self._pace.advance()
        self._bar.advance(self._task)
        now = time.monotonic()
        if not self._quiet and now - self._told > EVERY:
            self._told = now
            print_error(self._pace.told(None))

    def _count(self) -> None:
        count = 0
        for _ in self._total():
            count += 1
            if self._stop.is_set():
                return
        self._bar.update(self._task, total=count)
