"""The entry point: declare the command that was named and run it; errors become messages and exit codes."""

import gc
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import typer

from lookalike.cli.exit_codes import ExitCode, error_object, exit_code, usage_error_object
from lookalike.cli.options import WITH_VALUE, Session, app
from lookalike.cli.output import emit, print_error, printable
from lookalike.errors import LookalikeError

PROGRAM = "lookalike"
GARBAGE_THRESHOLD = 300_000
"""New objects after which Python looks for garbage while a command starts. Short commands make fewer: half of them with
all modules, and one search for garbage among these takes 0.04 s."""
START_SECONDS = 3.0
"""Seconds after which a command looks for garbage as often as Python does by default: it may run for days."""
COMMANDS = {
    "add": ("add",),
    "ingest": ("ingest",),
    "watch": ("watch",),
    "search": ("search",),
    "encode": ("encode",),
    "images": ("show", "rm", "ls"),
    "duplicates": ("duplicates", "compare"),
    "explain": ("explain", "why-not"),
    "changes": ("changes",),
    "gallery": ("init", "status", "prune", "repair"),
    "backup": ("backup", "restore", "verify"),
    "parquet": ("export", "import"),
    "pipelines": ("pipelines",),
    "index": ("index",),
    "keys": ("keys",),
    "evaluate": ("evaluate",),
    "calibrate": ("calibrate",),
    "serve": ("serve",),
    "models": ("models",),
    "train_head": ("train-head",),
    "try_it": ("try",),
    "doctor": ("doctor",),
    "plan": ("plan",),
}
"""By module, in the order of `lookalike --help`: the commands, or the group of commands, that it declares."""
_MODULE_OF = {name: module for module, names in COMMANDS.items() for name in names}
_ORDER = {name: place for place, name in enumerate(_MODULE_OF)}


def main() -> None:
    _collect_less(START_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a file name in any encoding prints
    code = run(sys.argv[1:])
    gc.freeze()  # Python searches all objects for garbage several times while it exits, for 0.1 s
    sys.exit(code)


def _collect_less(seconds: float) -> None:
    """Look for garbage rarely for so many seconds."""
    default = gc.get_threshold()
    gc.set_threshold(GARBAGE_THRESHOLD)
    timer = threading.Timer(seconds, gc.set_threshold, default)
    timer.daemon = True  # a command does not wait for it
    timer.start()


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
    register(arguments)
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


def register(arguments: Sequence[str] = ()) -> None:
    """Import, which declares it, the command that these arguments name; all where they name none, as for `--help`.

    To declare all takes 0.05 s, about as long as importing Typer.
    """
    module = _MODULE_OF.get(_name_in(arguments))
    for name in COMMANDS if module is None else (module,):
        import_module(f"lookalike.cli.commands.{name}")
    app.registered_commands.sort(key=lambda info: _ORDER[info.name or ""])
    app.registered_groups.sort(key=lambda info: _ORDER[info.name or ""])


def _name_in(arguments: Sequence[str]) -> str:
    """The first argument that is no option and no option's value; empty where there is none."""
    remaining = iter(arguments)
    for argument in remaining:
        if argument in WITH_VALUE:
            next(remaining, None)
        elif not argument.startswith("-"):
            return argument
        elif argument in ("-h", "--help"):
            break
    return ""


def _report(message: str, failure: Mapping[str, Any], code: ExitCode, *, json: bool) -> int:
    """Print a command's failure on standard error, and with `--json` also as an object; returns the exit code."""
    if json:
        emit(failure)
    print_error(message)
    return code
