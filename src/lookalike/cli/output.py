"""Output: JSON lines or text on standard output, messages and progress on standard error."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNLIMITED = 10_000
"""The width of tables outside a terminal: lines for a program are never wrapped or cut."""
_TRAILING_SPACES = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$")


def emit(line: Mapping[str, Any], *, flush: bool = True, out: TextIO | None = None) -> None:
    """Print a JSON object as a line of UTF-8 on standard output, or on `out` where that is redirected.

    The bytes of a file name that is not UTF-8 stand as lone surrogates, which are written as JSON escapes
    (`\\udcff`): the line stays valid, and `os.fsencode` gives the name back.
    """
    text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    stream = out or sys.stdout
    stream.flush()
    stream.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
    if flush:
        stream.buffer.flush()


def print_line(text: str = "") -> None:
    print(text)


def print_error(text: str) -> None:
    """Print a message about the command on standard error."""
    print("lookalike:", printable(text, keep="\n"), file=sys.stderr, flush=True)


def printable(text: str, *, keep: str = "") -> str:
    """The text with control characters and undecodable bytes, which disturb a terminal, written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def out() -> "Console":
    """The console for tables: as wide as the terminal, or unlimited without one."""
    console = _console()
    return console if console.is_terminal else _console(width=UNLIMITED)


def print_unwrapped(table: "Table") -> None:
    """Print a table whose last column holds paths: no line is broken, so that each path can be copied.

    Lines longer than a terminal are wrapped by the terminal; spaces at their ends are left out, as they would show
    there as empty lines.
    """
    console = _console(width=UNLIMITED)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print_line(_TRAILING_SPACES.sub(r"\1", line))


class CsvWriter:
    """Rows of CSV (RFC 4180) in UTF-8 on standard output, below a row of the columns' names."""

    def __init__(self, *columns: str) -> None:
        self._columns = columns
        self._write(columns)

    def row(self, values: Mapping[str, Any]) -> None:
        """Print a row; columns without a value are empty."""
        self._write("" if values.get(name) is None else values[name] for name in self._columns)

    def _write(self, cells: Iterable[Any]) -> None:
        line = io.StringIO()
        csv.writer(line).writerow(list(cells))
        sys.stdout.flush()
        # the bytes of a name that is not UTF-8 are written as they are
        sys.stdout.buffer.write(line.getvalue().encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()


def err() -> "Console":
    return _console(stderr=True)


def _console(**options: Any) -> "Console":
    from rich.console import Console  # noqa: PLC0415 - 0.03 s, which not every command needs

    return Console(highlight=False, emoji=False, markup=False, **options)


def day(seconds: float) -> str:
    """Local date and time to the minute."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def size(nbytes: int) -> str:
    """A number of bytes as text: 1.4 MB."""
    value = float(nbytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.5 else f"{value:.1f} {unit}"


def counted(n: int, one: str, many: str | None = None) -> str:
    """`1 image`, `2,000 images`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
