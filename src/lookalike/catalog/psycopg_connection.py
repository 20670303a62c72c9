"""psycopg connections that wait for an answer only so long; imported only for a catalog in PostgreSQL."""

import time
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import make_conninfo

from lookalike.errors import BadSetting


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer takes longer than `answer_timeout` seconds."""

    answer_timeout: float = 60.0

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for an answer, as psycopg does, within the timeout."""
        return super().wait(self._bounded(gen, self.answer_timeout if timeout is None else timeout), interval)

    def _bounded(self, gen: PQGen[Any], limit: float) -> PQGen[Any]:
        """The steps of an exchange with the server; psycopg resumes it each interval, also when nothing arrived."""
        end = time.monotonic() + limit
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready and time.monotonic() >= end:
                    self.pgconn.finish()  # a later answer would be read as that of another statement
                    raise psycopg.OperationalError(f"no answer within {limit:.0f} seconds")
                state = gen.send(ready)
        except StopIteration as done:
            return done.value


def connect(conninfo: str, answer_timeout: float) -> BoundedConnection:
    """A connection with this timeout, in seconds."""
    connection = BoundedConnection.connect(conninfo)
    connection.answer_timeout = answer_timeout
    return connection


def connection_string(parameters: dict[str, str]) -> str:
    """The parameters as libpq takes them; raises BadSetting for one that it does not know."""
    try:
        return make_conninfo(**parameters)
    except psycopg.ProgrammingError as error:
        raise BadSetting(f"the catalog's URL cannot be used: {error}") from None
