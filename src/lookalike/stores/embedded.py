"""What every index that lives in this process has: its spec, its folder, its lock, and whether it may be written."""

import threading
from pathlib import Path

from lookalike.errors import BadInput
from lookalike.types import FeatureSpec


class Embedded:
    """The common part of embedded indexes; `folder` None keeps everything in memory."""

    def __init__(self, spec: FeatureSpec, folder: Path | None, *, writable: bool) -> None:
        self._spec = spec
        self._folder = folder
        self._writable = writable
        self._closed = False
        self._lock = threading.RLock()
        self._sequence = 0

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        return self._spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last durable flush."""
        return self._sequence

    def _check_open(self, *, flush: bool = False) -> None:
        if self._closed:
            raise BadInput(f"the {self._spec.name} index is closed")
        if flush and not self._writable:
            raise BadInput(f"the {self._spec.name} index was opened for reading only: it cannot be flushed")
