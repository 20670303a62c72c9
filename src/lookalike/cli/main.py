"""The entry point: run one command, and turn errors into messages and exit codes."""

import gc
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from lookalike.cli import commands
from lookalike.cli.app import app
from lookalike.cli.exit_codes import ExitCode, error_object, exit_code, usage_error_object
from lookalike.cli.options import Session
from lookalike.cli.output import emit, print_error, printable
from lookalike.errors import LookalikeError

PROGRAM = "lookalike"
GARBAGE_THRESHOLD = 300_000
"""New objects after which Python looks for garbage. Short commands make fewer: half of them with all modules, and one
search for garbage among these takes 0.04 s."""


def main() -> None:
    gc.set_threshold(GARBAGE_THRESHOLD)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a file name in any encoding prints
    code = run(sys.argv[1:])
    gc.freeze()  # Python searches all objects for garbage several times while it exits, for 0.1 s
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; only a bug of this program is printed as a traceback."""
    json = "--json" in arguments
    try:
        return _run(arguments, json=json)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception:  # noqa: BLE001 - the last frame of the program
        traceback.print_exc()
        return ExitCode.BUG


def _run(arguments: Sequence[str], *, json: bool) -> int:
    commands.register(arguments)
    try:
        code = app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=Session(json=json))
    except LookalikeError as error:
        return _report(str(error), error_object(error), exit_code(error), json=json)
    except typer.TyperException as error:
        if not error.format_message():
            return ExitCode.USAGE  # no arguments: the help was printed instead
        context = getattr(error, "ctx", None)
        message, program = error.format_message(), context.command_path if context else PROGRAM
        _report(message, usage_error_object(message), ExitCode.USAGE, json=json)
        print(f"Try: {printable(program)} --help", file=sys.stderr)
        return ExitCode.USAGE
    except typer.Abort:
        return ExitCode.INTERRUPTED
    return int(code or 0)


def _report(message: str, failure: Mapping[str, Any], code: ExitCode, *, json: bool) -> int:
    """Print a command's failure on standard error, and with `--json` also as an object; returns the exit code."""
    if json:
        emit(failure)
    print_error(message)
    return code
