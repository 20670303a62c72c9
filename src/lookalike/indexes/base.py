"""Base class of indexes that live in this process."""

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
    """State and behaviour common to embedded indexes; a `folder` of None keeps everything in memory."""

    def __init__(self, spec: FeatureSpec, folder: Path | None, *, writable: bool) -> None:
        self._spec = spec
        self._folder = folder
        self._writable = writable
        self._closed = False
        self._lock = threading.RLock()
        self._sequence = 0

    @property
    def shared(self) -> bool:
        """False: every process has its own copy."""
        return False

    @property
    def spec(self) -> FeatureSpec:
        """Specification of the indexed features."""
        return self._spec

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last durable flush."""
        return self._sequence

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Validate only: filters reach an embedded index as ids, so it stores no attributes."""
        check_attributes(ids, tenants, attributes)
        self._check_open()

    def _check_open(self, *, flush: bool = False) -> None:
        if self._closed:
            raise BadInput(f"the {self._spec.name} index is closed")
        if flush and not self._writable:
            raise BadInput(f"the {self._spec.name} index is read-only and cannot be flushed")

    @abstractmethod
    def clear(self) -> None:
        """Delete every row; durably if the index is writable."""

    @contextmanager
    def rebuilding(self) -> Iterator[Self]:
        """Empty this index and yield it: an embedded index is rebuilt in place."""
        self.clear()
        yield self


def allowed_ids(filter: ResolvedFilter | None) -> Ids | None:
    """The ids that pass a filter, None without one; raises UnsupportedQuery for an engine-specific filter."""
    if filter is None:
        return None
    if filter.engine_filter:
        raise UnsupportedQuery(
            f"this index is embedded and takes no engine_filter (given for {', '.join(filter.engine_filter)})"
        )
    return filter.ids()
