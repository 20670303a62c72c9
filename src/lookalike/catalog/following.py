"""The room of the catalog for indexes: changes in order, stored features, what was never encoded."""

from collections.abc import Iterable

from sqlalchemy import select

from lookalike.catalog import editing, reading, replay
from lookalike.catalog.database import Database, check_limit
from lookalike.catalog.records import Changes, StoredFeatures
from lookalike.catalog.schema import state
from lookalike.types import FeatureSpec, Record


class Following(Database):
    """What an index needs to follow the catalog."""

    def sequence(self) -> int:
        """The number of the last change; 0 for a new catalog."""
        with self._read() as conn:
            return int(conn.execute(select(state.c.sequence)).scalar_one())

    def pruned(self) -> int:
        """Deletions up to this number are forgotten: an index between 0 and this must be cleared and replayed."""
        with self._read() as conn:
            return int(conn.execute(select(state.c.pruned)).scalar_one())

    def changes(self, spec: FeatureSpec, since: int, limit: int, *, attributes: bool = False) -> Changes:
        """Up to `limit` changes after `since`, in order, as an index of this spec must apply them.

        Features come as `at_storage_precision` gives them. An image with no meaningful feature, or none yet, is among
        the deletes. `attributes` brings them along, for engines that filter by themselves.
        """
        check_limit(limit)
        with self._read() as conn:
            return replay.changes(conn, spec, since, limit, attributes=attributes)

    def features_of(self, spec: FeatureSpec, ids: Iterable[int]) -> StoredFeatures:
        """The stored features of images, as `at_storage_precision` gives them."""
        with self._read() as conn:
            return reading.features_of(conn, spec, ids)

    def missing(self, spec: FeatureSpec, *, after_id: int = 0, limit: int = 1000) -> list[Record]:
        """Up to `limit` images that were never encoded for this spec, by id."""
        check_limit(limit)
        with self._read() as conn:
            return reading.missing(conn, spec, after_id, limit)

    def prune_deletions(self, through: int) -> None:
        """Forget deletions up to a sequence number that every index has flushed."""
        with self._write() as conn:
            editing.prune_deletions(conn, through)
