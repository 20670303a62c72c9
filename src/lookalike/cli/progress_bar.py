"""The bar that shows the progress of a long run in a terminal."""

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from lookalike.cli.output import err
from lookalike.cli.progress import Pace


class _PaceColumn(ProgressColumn):
    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace

    def render(self, task: Task) -> Text:
        return Text(self._pace.text(task.total))


class TerminalBar:
    """A bar on standard error, with the count and rate of `pace`; cleared when it stops."""

    def __init__(self, what: str, pace: Pace, total: int | None) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), _PaceColumn(pace))
        self._progress = Progress(*columns, console=err(), transient=True)
        self._task = self._progress.add_task(what, total=total)

    def start(self) -> None:
        self._progress.start()

    def stop(self) -> None:
        self._progress.stop()

    def advance(self, number: int) -> None:
        self._progress.advance(self._task, number)

    def set_total(self, total: int) -> None:
        self._progress.update(self._task, total=total)
