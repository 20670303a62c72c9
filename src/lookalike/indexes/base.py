"""What every index that lives in this process has: its spec, its folder, its lock, and whether it may be written."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from lookalike.errors import BadInput, UnsupportedQuery
from lookalike.indexes.validation import check_attributes
from lookalike.types import Attributes, FeatureSpec, Ids, ResolvedFilter


class EmbeddedIndex(ABC):
    """The common part of embedded indexes; `folder` None keeps everything in memory."""

    def __init__(self, spec: FeatureSpec, folder: Path | None, *, writable: bool) -> None:
        self._spec = spec
        self._folder = folder
        self._writable = writable
        self._closed = False
        self._lock = threading.RLock()
        self._sequence = 0

    @property
    def shared(self) -> bool:
        """Every process has its own."""
        return False

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        return self._spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last durable flush."""
        return self._sequence

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Nothing to do: a filter reaches this index as ids."""
        check_attributes(ids, tenants, attributes)
        self._check_open()

    def _check_open(self, *, flush: bool = False) -> None:
        if self._closed:
            raise BadInput(f"the {self._spec.name} index is closed")
        if flush and not self._writable:
            raise BadInput(f"the {self._spec.name} index was opened for reading only: it cannot be flushed")

    @abstractmethod
    def clear(self) -> None:
        """Forget every row; durably, if the index is writable."""

    @contextmanager
    def rebuilding(self) -> Iterator[Self]:
        """This index, emptied."""
        self.clear()
        yield self


def allowed_ids(filter: ResolvedFilter | None) -> Ids | None:
    """The ids that pass a filter; raises UnsupportedQuery for one in the words of an engine."""
    if filter is None:
        return None
    if filter.engine_filter:
        raise UnsupportedQuery(
            f"only {' and '.join(filter.engine_filter)} can filter in its own words; this index is embedded"
        )
    return filter.ids()
