"""Exit codes, and the one table that maps errors to them."""

from enum import IntEnum

from lookalike.errors import (
    BadInput,
    Damaged,
    FeatureMismatch,
    ImageRejected,
    LookalikeError,
    NotFound,
    Unavailable,
)


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


def error_object(error: LookalikeError) -> dict[str, str]:
    """`{"type", "message"}`, and `reason` where the error has one."""
    fields = {"type": type(error).__name__, "message": str(error)}
    return fields | {"reason": error.reason} if isinstance(error, ImageRejected) else fields
