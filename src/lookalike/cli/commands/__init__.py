"""The commands: a file each, or one for a close family, with declaration and work together.

A command imports the library inside its functions: numpy, SQLAlchemy and the rest take half a second, which `--help`
and `--version` do not need.
"""

from importlib import import_module

MODULES = (
    *("add", "ingest", "watch", "search", "encode", "images", "duplicates", "explain", "why_not", "changes"),
    *("gallery", "backup", "parquet", "pipelines", "index", "keys", "evaluate", "calibrate"),
    *("serve", "models", "train_head", "try_it", "doctor", "plan"),
)
"""In the order of `lookalike --help`."""


def register() -> None:
    """Import the commands, which declares them."""
    for name in MODULES:
        import_module(f"{__name__}.{name}")
