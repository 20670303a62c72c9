"""Running the program: parse, act, and turn whatever goes wrong into a message and an exit code."""

import sys
import traceback
from collections.abc import Sequence

import typer

from lookalike.cli import commands_gallery, commands_keys, commands_machine, commands_serve
from lookalike.cli.app import app
from lookalike.cli.exit_codes import ExitCode, report, report_usage
from lookalike.errors import LookalikeError

PROGRAM = "lookalike"
GRAMMAR = (app, commands_gallery, commands_keys, commands_serve, commands_machine)
"""Importing these registers the commands, in this order."""


def main() -> None:
    """The command `lookalike`."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # no name ends a listing
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; gives its exit code. Only a fault of this program itself is shown as a traceback."""
    json = "--json" in arguments
    try:
        return _run(arguments, json=json)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception:  # noqa: BLE001 - the last frame of the program
        traceback.print_exc()
        return ExitCode.BUG


def _run(arguments: Sequence[str], *, json: bool) -> int:
    try:
        code = app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except LookalikeError as error:
        return report(error, json=json)
    except typer.TyperException as error:
        if not error.format_message():
            return ExitCode.USAGE  # no arguments at all: the help was shown instead
        context = getattr(error, "ctx", None)
        return report_usage(error.format_message(), context.command_path if context else PROGRAM, json=json)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    return int(code or 0)
