"""Exit codes, and the one table that maps errors to them."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from lookalike.errors import BadInput, Damaged, FeatureMismatch, ImageRejected, LookalikeError, NotFound, Unavailable
from lookalike.problem_details import PREFIX, problem_of


class ExitCode(IntEnum):
    """The exit codes of every command, as documented in docs/cli.md."""

    OK = 0
    PARTIAL = 1
    USAGE = 2
    RETRY = 3
    NOT_FOUND = 4
    DAMAGED = 5
    BUG = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141


EXIT_CODES: tuple[tuple[type[LookalikeError], ExitCode], ...] = (
    (ImageRejected, ExitCode.PARTIAL),
    (BadInput, ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (FeatureMismatch, ExitCode.DAMAGED),
    (Damaged, ExitCode.DAMAGED),
    (Unavailable, ExitCode.RETRY),
)
"""The first matching class decides."""


def exit_code(error: LookalikeError) -> ExitCode:
    """The exit code of a command that failed with this error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.BUG)


def error_object(error: LookalikeError) -> Mapping[str, Any]:
    """The failure of a command in JSON: a problem, as the HTTP API has it."""
    return {"error": problem_of(error)}


def usage_error_object(message: str) -> Mapping[str, Any]:
    """The same for an invalid command line, which HTTP does not know."""
    title = "Invalid command line"
    return {"error": {"type": PREFIX + "usage-error", "title": title, "status": 400, "detail": message}}
