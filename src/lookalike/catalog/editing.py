"""Changing and deleting images: every function works inside one transaction opened for writing.

Rows are locked by id, then the counter of sequence numbers, as `writing` tells.
"""

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, select, update

from lookalike.catalog.dialect import insert_rows
from lookalike.catalog.filters import to_sql
from lookalike.catalog.reading import batches, ids_matching, specs
from lookalike.catalog.records import Deleted, FileLocation, check_attributes, check_expected
from lookalike.catalog.schema import deletions, images, state
from lookalike.catalog.writing import Row, forget_features, lock_rows, next_sequence_numbers, update_images
from lookalike.errors import BadInput, NotFound
from lookalike.text import check_text, storable
from lookalike.types import Attributes, Condition


def update_file_locations(conn: Connection, seen: Sequence[FileLocation]) -> None:
    """Remember where files with unchanged content are now; no index needs to know, so no sequence number is spent."""
    for one in seen:
        if one.path is not None:
            check_text("path", one.path)
    # By id, in which order all writers lock rows; of two for the same image, the later one stays the later.
    rows = [{"the_id": one.id, "path": one.path, "mtime_ns": one.mtime_ns} for one in sorted(seen, key=lambda s: s.id)]
    update_images(conn, rows)


def set_attributes(
    conn: Connection, tenant_id: int, key: str, attributes: Attributes, *, merge: bool, expected: int | None
) -> int:
    """Replace the attributes, or merge into them by top-level name; returns the sequence number."""
    check_attributes(attributes)
    query = select(images.c.id, images.c.seq, images.c.attributes)
    query = query.where(images.c.tenant_id == tenant_id, images.c.key == key).with_for_update(key_share=True)
    row = conn.execute(query).one_or_none() if storable(key) else None
    if row is None:
        raise NotFound(f"there is no image {key!r}")
    check_expected(key, expected, row.seq)
    values = {**row.attributes, **attributes} if merge else dict(attributes)
    (seq,) = next_sequence_numbers(conn, 1)
    update_images(conn, [{"the_id": row.id, "attributes": values, "updated": time.time(), "seq": seq}])
    return seq


def delete_keys(conn: Connection, tenant_id: int, keys: Iterable[str], expected: int | None) -> list[Deleted]:
    """Delete images by key, unknown keys passed over; each must stand at the expected sequence number, if any."""
    found: dict[str, int] = {}
    wanted = [key for key in dict.fromkeys(keys) if storable(key)]
    for some in batches(wanted):
        query = select(images.c.key, images.c.id).where(images.c.tenant_id == tenant_id, images.c.key.in_(some))
        found.update((key, id_) for key, id_ in conn.execute(query))
    locked = lock_rows(conn, found.values(), deleting=True)
    rows = [locked[found[key]] for key in wanted if found.get(key) in locked]
    for row in rows:
        check_expected(row.key, expected, row.seq)
    return _delete(conn, rows)


def delete_by_filter(conn: Connection, tenant_id: int, conditions: Sequence[Condition]) -> list[Deleted]:
    """Delete the images that satisfy every condition, at least one of which must be given."""
    if not conditions:
        raise BadInput("a deletion by filter needs a condition; to empty a gallery, delete its keys")
    locked = lock_rows(conn, ids_matching(conn, tenant_id, conditions).tolist(), deleting=True)
    if conn.dialect.name != "sqlite":  # until they were locked, they may have been changed
        still: set[int] = set()
        for some in batches(locked):
            query = select(images.c.id).where(images.c.id.in_(some), to_sql(conditions, conn.dialect.name))
            still.update(conn.execute(query).scalars())
        locked = {id_: row for id_, row in locked.items() if id_ in still}
    return _delete(conn, list(locked.values()))


def _delete(conn: Connection, found: Sequence[Row]) -> list[Deleted]:
    if not found:
        return []
    ids = [row.id for row in found]
    forget_features(conn, specs(conn).values(), ids)
    for some in batches(ids):
        conn.execute(delete(images).where(images.c.id.in_(some)))  # the thumbnails go along
    gone = [
        Deleted(row.key, row.id, seq) for row, seq in zip(found, next_sequence_numbers(conn, len(found)), strict=True)
    ]
    insert_rows(conn, deletions, [{"seq": one.seq, "image_id": one.id} for one in gone])
    return gone


def prune_deletions(conn: Connection, through: int) -> None:
    """Forget deletions up to a sequence number."""
    conn.execute(delete(deletions).where(deletions.c.seq <= through))
    conn.execute(update(state).where(state.c.pruned < through).values(pruned=through))
