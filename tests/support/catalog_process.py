"""A catalog opened by another process, used as if it were here: calls and answers go through a pipe."""

import multiprocessing
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, cast

from lookalike.catalog import Catalog
from lookalike.errors import LookalikeError

ANSWER_SECONDS = 60


def serve(pipe: Connection) -> None:
    """Open and close catalogs and call methods of their repositories, until the pipe is closed."""
    catalog: Catalog | None = None
    while (request := pipe.recv()) is not None:
        name, args, kwargs = request
        try:
            if name == "open":
                if catalog is not None:
                    catalog.close()
                catalog = Catalog.open(*args)
                pipe.send((None, None))
            else:
                pipe.send((operator.attrgetter(name)(catalog)(*args, **kwargs), None))
        except LookalikeError as error:
            pipe.send((None, error))
    if catalog is not None:
        catalog.close()


class OtherProcess:
    """Has every method of a catalog and of its repositories; `path` names a repository."""

    def __init__(self, pipe: Connection, path: str = "") -> None:
        self._pipe = pipe
        self._path = path

    def __getattr__(self, name: str) -> "OtherProcess":
        return OtherProcess(self._pipe, f"{self._path}.{name}" if self._path else name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._pipe.send((self._path, args, kwargs))
        assert self._pipe.poll(ANSWER_SECONDS), f"the other process does not answer to {self._path}"
        answer, error = self._pipe.recv()
        if error is not None:
            raise error
        return answer

    def as_catalog(self) -> Catalog:
        return cast(Catalog, self)


@contextmanager
def other_process() -> Iterator[OtherProcess]:
    """A process that opens a catalog at `open(url)`, another one at the next."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield OtherProcess(here)
    finally:
        here.send(None)
        process.join(ANSWER_SECONDS)
        assert process.exitcode == 0
