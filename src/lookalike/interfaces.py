"""The two protocols of the system: what turns images into features, and what finds the nearest features."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from lookalike.types import (
    Attributes,
    Encoded,
    EncodedViews,
    Features,
    FeatureSpec,
    Ids,
    InputSpec,
    Matches,
    Pixels,
    ResolvedFilter,
    Rows,
)


class Encoder(Protocol):
    """Turns prepared images into features. Safe to call from several threads."""

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        ...

    @property
    def input(self) -> InputSpec:
        """The image it wants."""
        ...

    def encode(self, images: Pixels) -> Encoded:
        """Encode a batch, `(n, height, width[, 3])` uint8 in the shape that `input` names."""
        ...

    def encode_views(self, images: Pixels) -> EncodedViews:
        """Encode a batch of queries, each in the views whose best match counts (at least one view)."""
        ...


class VectorIndex(Protocol):
    """Finds the nearest rows. Reads may run in several threads beside one writing thread.

    The catalog is the truth: an index need not survive a crash by itself. After reopening, whatever it had not
    flushed is replayed by its owner from `sequence` on; upsert and delete are therefore idempotent. A reader's
    index follows the catalog in the same way, in memory alone: it cannot be flushed, and `clear` leaves the disk alone.

    An index on a server is `shared`: all processes see the same rows, one at a time applies the changes, and what is
    flushed is seen by searches that ask for it with `fresh`. It raises Unavailable (bounded in time) where the server
    does not answer.
    """

    @property
    def shared(self) -> bool:
        """Whether the rows live on a server, the same for all processes."""
        ...

    @property
    def spec(self) -> FeatureSpec:
        """What the rows are."""
        ...

    @property
    def sequence(self) -> int:
        """The catalog's sequence number of the last durable flush; 0 for an index that was never flushed."""
        ...

    def upsert(self, rows: Rows) -> None:
        """Insert rows, or replace those whose ids are there. All rows or none; the caller's arrays are not kept.

        Raises FeatureMismatch for a wrong width or dtype, BadInput for NaN, ids below 1 or repeated ids.
        """
        ...

    def delete(self, ids: Ids) -> None:
        """Forget these ids; unknown ones are passed over."""
        ...

    def update_attributes(self, ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> None:
        """Change what filters see of rows that are there, one of each for a row; unknown ids are passed over.

        It is for rows whose features their owner no longer has; a row stays with its tenant. An embedded index, which
        filters by ids, has nothing to change.
        """
        ...

    def search(
        self,
        queries: Features,
        k: int,
        *,
        tenant: int | None = None,
        filter: ResolvedFilter | None = None,
        max_distance: float | None = None,
        fresh: bool = False,
    ) -> Matches:
        """The k nearest rows of each query, `(n, width)`, within `max_distance` (raw, inclusive).

        `fresh` asks that everything flushed is seen, also by copies of the data that lag behind a little.
        """
        ...

    def count(self, tenant: int | None = None) -> int:
        """How many rows there are."""
        ...

    def flush(self, sequence: int) -> None:
        """Make everything so far durable, and remember `sequence` with it."""
        ...

    def clear(self) -> None:
        """Forget every row, durably, and set `sequence` to 0."""
        ...

    def rebuilding(self) -> "AbstractContextManager[VectorIndex]":
        """An empty index to fill, which takes this one's place when the block ends without an error.

        On a server searches go on in the old one meanwhile; an embedded index is emptied at once.
        """
        ...

    def close(self) -> None:
        """Release files and memory; closing twice is harmless."""
        ...
