"""Processes to be killed, forked from one that has loaded everything: many are, and loading is not what is tried."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "__main__",
        "lookalike.indexes.mih.index",
        "tests.faults.test_kill",
        "tests.faults.test_catalog_kill",
        "tests.faults.test_cleanup_kill",
        "tests.faults.test_backup",
        "tests.faults.test_pipelines_kill",
    ]
)


class Child:
    """A process that runs `work(*arguments)`; what it prints is read from `said`, a line or all to its end."""

    def __init__(self, work: Callable[..., None], *arguments: object) -> None:
        receiver, sender = FORKS.Pipe(duplex=False)
        self._process = FORKS.Process(target=_run, args=(sender, work, arguments))
        self._process.start()
        sender.close()
        self.said = os.fdopen(os.dup(receiver.fileno()), encoding="utf-8")
        receiver.close()

    @property
    def exit_code(self) -> int | None:
        """Minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def kill(self) -> str:
        """SIGKILL; gives what it said and nobody has read yet, once it is gone."""
        self.end()
        with self.said:
            return self.said.read()

    def end(self) -> None:
        """SIGKILL, where somebody else reads what it says."""
        self._process.kill()
        self._process.join()


def _run(sender: Connection, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    os.dup2(sender.fileno(), 1)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    work(*arguments)
