"""Running the command line in tests: here in the process, or as the real program."""

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from lookalike.cli import run
from tests.support.logs import loggers_left_alone

LOGGERS = ("lookalike", "uvicorn.error")
"""Those that `lookalike serve` configures."""
PROGRAM = (sys.executable, "-m", "lookalike")


@dataclass(frozen=True)
class Ran:
    """What a command said and how it ended."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines; fails where it holds anything else, or is not UTF-8."""
        return [json.loads(line) for line in self.out.decode("utf-8").splitlines()]

    @property
    def line(self) -> dict[str, Any]:
        """The one line."""
        [line] = self.lines
        return line

    @property
    def text(self) -> str:
        """Standard output for people."""
        return self.out.decode()


def lookalike(*arguments: object, stdin: bytes = b"") -> Ran:
    """Run a command in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    given = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    with redirect_stdout(out), redirect_stderr(err), mock.patch("sys.stdin", given), loggers_left_alone(*LOGGERS):
        code = run([str(argument) for argument in arguments])
        out.flush()
        err.flush()
    return Ran(code, out.buffer.getvalue(), err.buffer.getvalue().decode())  # type: ignore[attr-defined]


def program(*arguments: str | bytes | Path, stdin: bytes = b"", environment: Mapping[str, str] | None = None) -> Ran:
    """Run the real program, to its end."""
    done = subprocess.run(
        [*PROGRAM, *arguments], input=stdin, capture_output=True, env=environment, timeout=120, check=False
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())
