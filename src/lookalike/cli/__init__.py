"""The command line: `main` is the program, `run` the same with arguments and an exit code."""

from lookalike.cli.main import main, run

__all__ = ["main", "run"]
