"""Pairs of images whose pixels were compared, and whether one is a copy of the other."""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, and_, bindparam, delete, select

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import compared_pairs
from lookalike.catalog.statements import insert_rows, lock_images, rows_in

Pair = tuple[int, int]
"""The ids of two images, in the order in which they were compared."""

_TABLE = compared_pairs
_OF_PAIR = and_(_TABLE.c.first_id == bindparam("first"), _TABLE.c.second_id == bindparam("second"))


class ComparedPairRepository(Repository):
    """Results of comparing images, each with a digest of what was compared; they leave with either image."""

    def get(self, pairs: Collection[Pair]) -> dict[Pair, tuple[bytes, bool]]:
        """The digest and the result of those of these pairs that have one."""
        requested = set(pairs)
        query = select(_TABLE.c.first_id, _TABLE.c.second_id, _TABLE.c.digest, _TABLE.c.is_copy)
        found: dict[Pair, tuple[bytes, bool]] = {}
        with self._database.read() as conn:
            for row in rows_in(conn, query, _TABLE.c.first_id, {first for first, _ in requested}):
                if (row.first_id, row.second_id) in requested:
                    found[row.first_id, row.second_id] = (bytes(row.digest), bool(row.is_copy))
        return found

    def put(self, results: Mapping[Pair, tuple[bytes, bool]]) -> None:
        """Store results, in the place of earlier ones; a pair of which an image is gone is skipped."""

        def work(conn: Connection) -> None:
            present = lock_images(conn, sorted({id_ for pair in results for id_ in pair}))
            rows = [
                {"first_id": first, "second_id": second, "digest": digest, "is_copy": is_copy}
                for (first, second), (digest, is_copy) in results.items()
                if first in present and second in present
            ]
            if rows:
                replaced = [{"first": row["first_id"], "second": row["second_id"]} for row in rows]
                conn.execute(delete(_TABLE).where(_OF_PAIR), replaced)
                insert_rows(conn, _TABLE, rows)

        if results:
            self._database.write_with_retry(work)
