"""What is logged in tests, and loggers that one test does not leave to the next as it configured them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def logged(name: str, level: int = logging.WARNING) -> Iterator[list[logging.LogRecord]]:
    """The records that a logger and those below it are given while the block runs, from this level on.

    Unlike `caplog`, which listens at the root, where not every record comes once a logger is configured (`serve`).
    """
    logger, handler = logging.getLogger(name), _Records()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield handler.records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def loggers_left_alone(*names: str) -> Iterator[None]:
    """Loggers are configured afterwards as they were before, whatever a command run in this process does to them."""
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    try:
        yield
    finally:
        for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
            logger.setLevel(level)
