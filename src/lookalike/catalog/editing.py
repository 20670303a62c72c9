"""Changing and deleting pictures: every function works inside one transaction opened for writing."""

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select, update

from lookalike.catalog.dialect import insert_rows
from lookalike.catalog.reading import batches, ids_where
from lookalike.catalog.schema import deletions, images, state
from lookalike.catalog.values import Deleted, Seen, check_attributes, check_expected, check_text, storable
from lookalike.catalog.writing import Counters, lock, save, update_images
from lookalike.errors import BadInput, NotFound
from lookalike.types import Attributes, Condition


def touch(conn: Connection, seen: Sequence[Seen]) -> None:
    """Remember where files with unchanged content are now; no index needs to know, so no sequence number is spent."""
    for one in seen:
        if one.path is not None:
            check_text("path", one.path)
    update_images(conn, [{"the_id": one.id, "path": one.path, "mtime_ns": one.mtime_ns} for one in seen])


def set_attributes(
    conn: Connection, tenant_id: int, key: str, attributes: Attributes, *, merge: bool, expected: int | None
) -> int:
    """Replace the attributes, or merge into them by top-level name; returns the sequence number."""
    check_attributes(attributes)
    counters = lock(conn)
    query = select(images.c.id, images.c.seq, images.c.attributes)
    query = query.where(images.c.tenant_id == tenant_id, images.c.key == key)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"there is no picture {key!r}")
    check_expected(key, expected, row.seq)
    values = {**row.attributes, **attributes} if merge else dict(attributes)
    seq = counters.next_seq()
    update_images(conn, [{"the_id": row.id, "attributes": values, "updated": time.time(), "seq": seq}])
    save(conn, counters)
    return seq


def delete_keys(conn: Connection, tenant_id: int, keys: Iterable[str], expected: int | None) -> list[Deleted]:
    """Delete pictures by key, unknown keys passed over; each must stand at the expected sequence number, if any."""
    counters = lock(conn)
    found: dict[str, int] = {}
    wanted = [key for key in dict.fromkeys(keys) if storable(key)]
    for some in batches(wanted):
        query = select(images.c.key, images.c.id, images.c.seq)
        for key, id_, seq in conn.execute(query.where(images.c.tenant_id == tenant_id, images.c.key.in_(some))):
            check_expected(key, expected, seq)
            found[key] = id_
    return _delete(conn, counters, [(key, found[key]) for key in wanted if key in found])


def delete_where(conn: Connection, tenant_id: int, conditions: Sequence[Condition]) -> list[Deleted]:
    """Delete the pictures that satisfy every condition, at least one of which must be given."""
    if not conditions:
        raise BadInput("a deletion by filter needs a condition; to empty a gallery, delete its keys")
    counters = lock(conn)
    ids = ids_where(conn, tenant_id, conditions)
    found: list[tuple[str, int]] = []
    for some in batches(ids.tolist()):
        query = select(images.c.key, images.c.id).where(images.c.id.in_(some)).order_by(images.c.id)
        found.extend((key, id_) for key, id_ in conn.execute(query))
    return _delete(conn, counters, found)


def _delete(conn: Connection, counters: Counters, found: Sequence[tuple[str, int]]) -> list[Deleted]:
    if not found:
        return []
    gone = [Deleted(key, id_, counters.next_seq()) for key, id_ in found]
    for some in batches(gone):
        conn.execute(delete(images).where(images.c.id.in_([one.id for one in some])))  # the features go along
    insert_rows(conn, deletions, [{"seq": one.seq, "image_id": one.id} for one in gone])
    save(conn, counters)
    return gone


def prune_deletions(conn: Connection, through: int) -> None:
    """Forget deletions up to a sequence number."""
    conn.execute(delete(deletions).where(deletions.c.seq <= through))
    conn.execute(update(state).where(state.c.pruned < through).values(pruned=through))
