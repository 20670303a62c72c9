"""Rejected images with their reasons, as a Parquet file."""

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lookalike.errors import BadInput, Unavailable
from lookalike.optional import require
from lookalike.types import Outcome

BATCH_ROWS = 10_000
"""Rows written at a time."""
COLUMNS = ("tenant", "key", "uri", "reason", "message")


class RejectedWriter:
    """Writes rejected images to a file, which appears when it is complete; without rejected images it is empty.

    Raises:
        BadInput: The file exists, or cannot be written.
        Unavailable: The disk is full.
    """

    def __init__(self, path: Path) -> None:
        require("pyarrow", purpose=f"writing {path}")
        import pyarrow as pa  # noqa: PLC0415 - of the extra ray
        import pyarrow.parquet as pq  # noqa: PLC0415

        if path.exists():
            raise BadInput(f"{path} exists; give another name with --rejected, or remove it")
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        self._rows: list[dict[str, Any]] = []
        try:
            self._writer = pq.ParquetWriter(str(self._part), self._schema)
        except OSError as error:
            raise BadInput(f"{path} cannot be written: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Complete the file; what was rejected before an interruption is in it as well."""
        self._write()
        self._writer.close()
        os.replace(self._part, self._path)  # noqa: PTH105 - replaces on every system

    def add(self, tenant: str, outcome: Outcome) -> None:
        """Note one rejected image."""
        reason, colon, message = (outcome.reason or "").partition(": ")
        values = (tenant, outcome.key, outcome.path, reason if colon else "other", message if colon else reason)
        self._rows.append({name: _text(value) for name, value in zip(COLUMNS, values, strict=True)})
        if len(self._rows) >= BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 - of the extra ray

        if not self._rows:
            return
        try:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written: {error}") from error
        self._rows = []


def _text(value: str | None) -> str | None:
    """Text that Parquet takes: a byte that is no UTF-8 becomes an escape."""
    return None if value is None else value.encode("utf-8", "backslashreplace").decode()
