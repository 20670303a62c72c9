"""Pairs of images that a person marked as no duplicates.

A mark is about bytes, by digest: it holds for every image of the tenant with them, also for one that is added again.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from sqlalchemy import Connection, delete, literal, select

from lookalike.catalog.database import Repository
from lookalike.catalog.schema import images, not_matches
from lookalike.catalog.statements import batches, insert_rows, lock_state, rows_in
from lookalike.errors import BadInput, NotFound
from lookalike.text import storable

MAX_KEYS = 200
"""Images that can be marked at once: each pair of them, about 20,000, is a row."""

Pair = tuple[bytes, bytes]
"""Two digests, the smaller one first."""


class DuplicateFeedback(Repository):
    """Pairs of images marked as no duplicates of each other."""

    def mark(self, tenant_id: int, keys: Sequence[str]) -> None:
        """Mark every pair of these images, 2 to `MAX_KEYS`, as no duplicates; raises NotFound for an unknown key."""
        with self._database.write() as conn:
            lock_state(conn)  # of two writers that mark the same pair at once, one must wait to see the other's
            pairs = _pairs(_digests_by_key(conn, tenant_id, keys))
            _delete(conn, tenant_id, pairs)
            now = time.time()
            insert_rows(
                conn, not_matches, [{"tenant_id": tenant_id, "first": a, "second": b, "at": now} for a, b in pairs]
            )

    def unmark(self, tenant_id: int, keys: Sequence[str]) -> None:
        """Remove the marks of every pair of these images, 2 to `MAX_KEYS`; raises NotFound for an unknown key."""
        with self._database.write() as conn:
            _delete(conn, tenant_id, _pairs(_digests_by_key(conn, tenant_id, keys)))

    def exists(self, tenant_id: int) -> bool:
        """Whether any pair of a tenant's images is marked."""
        with self._database.read() as conn:
            query = select(literal(1)).select_from(not_matches).where(not_matches.c.tenant_id == tenant_id).limit(1)
            return conn.execute(query).one_or_none() is not None

    def marked_links(self, tenant_id: int, links: Mapping[int, Iterable[int]]) -> set[tuple[int, int]]:
        """Those of the links between images, by id, whose pair was marked, as (from, to)."""
        with self._database.read() as conn:
            own = not_matches.c.tenant_id == tenant_id
            if conn.execute(select(literal(1)).select_from(not_matches).where(own).limit(1)).one_or_none() is None:
                return set()
            ids = {*links, *(other for others in links.values() for other in others)}
            query = select(images.c.id, images.c.sha256)
            digests: dict[int, bytes] = dict(rows_in(conn, query, images.c.id, ids))
            query = select(not_matches.c.first, not_matches.c.second).where(own)
            found = rows_in(conn, query, not_matches.c.first, set(digests.values()))
            marked: set[Pair] = {(first, second) for first, second in found}
        return {
            (start, end)
            for start, ends in links.items()
            for end in ends
            if start in digests and end in digests and _ordered(digests[start], digests[end]) in marked
        }


def _digests_by_key(conn: Connection, tenant_id: int, keys: Sequence[str]) -> list[bytes]:
    distinct = list(dict.fromkeys(keys))
    if not 2 <= len(distinct) <= MAX_KEYS:
        raise BadInput(f"2 to {MAX_KEYS} images can be marked at once, not {len(distinct)}")
    query = select(images.c.key, images.c.sha256).where(images.c.tenant_id == tenant_id)
    found = dict(rows_in(conn, query, images.c.key, filter(storable, distinct)))
    if missing := [key for key in distinct if key not in found]:
        raise NotFound(f"there is no image {missing[0]!r}")
    return [found[key] for key in distinct]


def _pairs(digests: Sequence[bytes]) -> list[Pair]:
    """Every pair once; images of the same bytes are a pair of one digest with itself."""
    return sorted({_ordered(a, b) for a, b in combinations(digests, 2)})


def _ordered(a: bytes, b: bytes) -> Pair:
    return (a, b) if a <= b else (b, a)


def _delete(conn: Connection, tenant_id: int, pairs: Sequence[Pair]) -> None:
    grouped: dict[bytes, list[bytes]] = {}
    for first, second in pairs:
        grouped.setdefault(first, []).append(second)
    for first, seconds in grouped.items():
        for batch in batches(seconds):
            same = (not_matches.c.tenant_id == tenant_id, not_matches.c.first == first)
            conn.execute(delete(not_matches).where(*same, not_matches.c.second.in_(batch)))
