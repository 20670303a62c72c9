"""What a failure of a command means to the shell: one table from the error tree to exit codes."""

import sys
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from lookalike.cli.output import emit, print_error, printable
from lookalike.errors import (
    BadInput,
    Damaged,
    FeatureMismatch,
    ImageRejected,
    LookalikeError,
    NotFound,
    Unavailable,
)
from lookalike.problem_details import PREFIX, problem_of


class ExitCode(IntEnum):
    """The exit codes of every command; docs/cli.md tells people."""

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
"""The first kind that fits decides."""


def exit_code(error: LookalikeError) -> ExitCode:
    """The exit code of a command that failed with this error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ExitCode.BUG)


def error_object(error: LookalikeError) -> Mapping[str, Any]:
    """The failure of a command in JSON: a problem, as the HTTP API has it."""
    return {"error": problem_of(error)}


def report(error: LookalikeError, *, json: bool) -> int:
    """Tell of a command's failure, on standard error and with `--json` also as a line; gives the exit code."""
    if json:
        emit(error_object(error))
    print_error(str(error))
    return exit_code(error)


def report_usage(message: str, command: str, *, json: bool) -> int:
    """The same for a command line that cannot be understood."""
    if json:
        title = "Invalid command line"
        emit({"error": {"type": PREFIX + "usage-error", "title": title, "status": 400, "detail": message}})
    print_error(message)
    print(f"Try: {printable(command)} --help", file=sys.stderr)
    return ExitCode.USAGE
