"""The room of the catalog for what people said: that two images are no copies of each other.

A judgement is about bytes, by digest: it holds for every image of the tenant with those bytes, and again when one
was removed and comes back.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from sqlalchemy import Connection, delete, literal, select

from lookalike.catalog.database import Database
from lookalike.catalog.dialect import insert_rows
from lookalike.catalog.reading import batches
from lookalike.catalog.schema import images, not_matches
from lookalike.catalog.writing import lock
from lookalike.errors import BadInput, NotFound
from lookalike.text import storable

MAX_KEYS = 200
"""Images that can be judged at once: every pair of them, some 20,000, is a row."""

Pair = tuple[bytes, bytes]
"""Two digests, the smaller one first."""


class DuplicateFeedback(Database):
    """Marking pairs, taking marks back, and asking for them."""

    def mark_not_matches(self, tenant_id: int, keys: Sequence[str]) -> None:
        """Remember that no two of these images are copies of each other; raises NotFound for an unknown key."""
        with self._write() as conn:
            lock(conn)  # of two that mark the same pair at once, one must wait to see it
            pairs = _pairs(_digests_by_key(conn, tenant_id, keys))
            _forget(conn, tenant_id, pairs)
            now = time.time()
            insert_rows(
                conn, not_matches, [{"tenant_id": tenant_id, "first": a, "second": b, "at": now} for a, b in pairs]
            )

    def unmark_not_matches(self, tenant_id: int, keys: Sequence[str]) -> None:
        """Take that back for every pair of these images; pairs that were not marked are passed over."""
        with self._write() as conn:
            _forget(conn, tenant_id, _pairs(_digests_by_key(conn, tenant_id, keys)))

    def not_matches(self, tenant_id: int, links: Mapping[int, Iterable[int]]) -> set[tuple[int, int]]:
        """Which of these links, from ids to ids, were marked: pairs (from, to)."""
        with self._read() as conn:
            mine = not_matches.c.tenant_id == tenant_id
            if conn.execute(select(literal(1)).select_from(not_matches).where(mine).limit(1)).one_or_none() is None:
                return set()
            digests: dict[int, bytes] = {}
            for some in batches({*links, *(other for others in links.values() for other in others)}):
                found = conn.execute(select(images.c.id, images.c.sha256).where(images.c.id.in_(some)))
                digests.update((id_, sha256) for id_, sha256 in found)
            marked: set[Pair] = set()
            for some_digests in batches(set(digests.values())):
                query = select(not_matches.c.first, not_matches.c.second)
                rows = conn.execute(query.where(mine, not_matches.c.first.in_(some_digests)))
                marked.update((first, second) for first, second in rows)
        return {
            (one, other)
            for one, others in links.items()
            for other in others
            if one in digests and other in digests and _ordered(digests[one], digests[other]) in marked
        }


def _digests_by_key(conn: Connection, tenant_id: int, keys: Sequence[str]) -> list[bytes]:
    wanted = list(dict.fromkeys(keys))
    if not 2 <= len(wanted) <= MAX_KEYS:
        raise BadInput(f"two to {MAX_KEYS} images can be told apart at once, not {len(wanted)}")
    found: dict[str, bytes] = {}
    for some in batches(filter(storable, wanted)):
        query = select(images.c.key, images.c.sha256).where(images.c.tenant_id == tenant_id, images.c.key.in_(some))
        found.update((key, sha256) for key, sha256 in conn.execute(query))
    if missing := [key for key in wanted if key not in found]:
        raise NotFound(f"there is no image {missing[0]!r}")
    return [found[key] for key in wanted]


def _pairs(digests: Sequence[bytes]) -> list[Pair]:
    """Every pair once; images of the same bytes are a pair of one digest with itself."""
    return sorted({_ordered(a, b) for a, b in combinations(digests, 2)})


def _ordered(a: bytes, b: bytes) -> Pair:
    return (a, b) if a <= b else (b, a)


def _forget(conn: Connection, tenant_id: int, pairs: Sequence[Pair]) -> None:
    grouped: dict[bytes, list[bytes]] = {}
    for first, second in pairs:
        grouped.setdefault(first, []).append(second)
    for first, seconds in grouped.items():
        for some in batches(seconds):
            same = (not_matches.c.tenant_id == tenant_id, not_matches.c.first == first)
            conn.execute(delete(not_matches).where(*same, not_matches.c.second.in_(some)))
