"""The commands: a file each, or one for a close family, with declaration and work together.

A command imports the library inside its functions: numpy, SQLAlchemy and the rest take half a second, which `--help`
and `--version` do not need.
"""

from collections.abc import Sequence
from importlib import import_module

from lookalike.cli.app import app

COMMANDS = {
    "add": ("add",),
    "ingest": ("ingest",),
    "watch": ("watch",),
    "search": ("search",),
    "encode": ("encode",),
    "images": ("show", "rm", "ls"),
    "duplicates": ("duplicates", "compare"),
    "explain": ("explain",),
    "why_not": ("why-not",),
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
_WITH_VALUE = ("-g", "--gallery", "--tenant", "--server")
"""The options before a command's name that take a value."""


def register(arguments: Sequence[str] = ()) -> None:
    """Import, which declares it, the command that these arguments name; all where they name none, as for `--help`.

    To declare all takes 0.05 s, about as long as importing Typer.
    """
    module = _MODULE_OF.get(_name_in(arguments))
    for name in COMMANDS if module is None else (module,):
        import_module(f"{__name__}.{name}")
    app.registered_commands.sort(key=lambda info: _ORDER[info.name or ""])
    app.registered_groups.sort(key=lambda info: _ORDER[info.name or ""])


def _name_in(arguments: Sequence[str]) -> str:
    """The first argument that is no option and no option's value; empty where there is none."""
    remaining = iter(arguments)
    for argument in remaining:
        if argument in _WITH_VALUE:
            next(remaining, None)
        elif not argument.startswith("-"):
            return argument
        elif argument in ("-h", "--help"):
            break
    return ""
