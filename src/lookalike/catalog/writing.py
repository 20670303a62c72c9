"""Putting images in: every function works inside one transaction that its caller has opened for writing.

On PostgreSQL, where writers work at the same time, each goes the same way, so that none waits for another in a circle:
first the rows of stored images are locked, by id, then everything large is written, and last, for as short as can be,
the counter of sequence numbers is locked: until the commit, so that numbers become visible in order. On SQLite the
transaction had the one lock from its beginning.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from lookalike.catalog.db_errors import WriteConflict
from lookalike.catalog.dialect import allocate_ids, insert_rows
from lookalike.catalog.layout import create_features
from lookalike.catalog.reading import batches, specs
from lookalike.catalog.records import NewImage, PutResult, check_expected
from lookalike.catalog.schema import RELEASED, features_table, fingerprints, images, state, tenants
from lookalike.catalog.thumbnails import replace
from lookalike.catalog.vectors import pack
from lookalike.errors import NotFound
from lookalike.text import check_text
from lookalike.types import FeatureSpec

Vector = NDArray[Any] | None
Place = tuple[int, str]
"""Where an image is: its tenant's id, and its key."""


@dataclass(frozen=True, slots=True)
class Row:
    """A stored image whose row this transaction has locked."""

    id: int
    tenant_id: int
    key: str
    sha256: bytes
    seq: int


def next_sequence_numbers(conn: Connection, number: int) -> Iterator[int]:
    """The next sequence numbers; no other writer gets any until this transaction ends."""
    query = update(state).values(sequence=state.c.sequence + number).returning(state.c.sequence)
    last = int(conn.execute(query).scalar_one())
    return iter(range(last - number + 1, last + 1))


def lock(conn: Connection) -> None:
    """Take the lock of all writers for something rare (SQLite has taken its own when the transaction began)."""
    conn.execute(select(state.c.one).with_for_update()).one()


def lock_rows(conn: Connection, ids: Iterable[int], *, deleting: bool = False) -> dict[int, Row]:
    """Lock stored images in the order of their ids, in which all writers do; by id, those that are gone left out."""
    i = images.c
    query = select(i.id, i.tenant_id, i.key, i.sha256, i.seq).order_by(i.id).with_for_update(key_share=not deleting)
    found: dict[int, Row] = {}
    for some in batches(sorted(set(ids))):
        found.update((row.id, Row(*row)) for row in conn.execute(query.where(i.id.in_(some))))
    return found


def register_tenant(conn: Connection, name: str) -> int:
    """The id of a tenant, made where there is none."""
    check_text("tenant", name)
    lock(conn)
    found = conn.execute(select(tenants.c.id).where(tenants.c.name == name)).scalar_one_or_none()
    if found is None:
        found = conn.execute(insert(tenants).values(name=name).returning(tenants.c.id)).scalar_one()
    return int(found)


def register_specs(conn: Connection, wanted: Iterable[FeatureSpec]) -> None:
    """Make the specs that are not there yet, with their tables."""
    lock(conn)
    there = specs(conn)
    for spec in wanted:
        if spec not in there:
            row = insert(fingerprints).values(
                name=spec.name, metric=spec.metric, width=spec.width, fingerprint=spec.fingerprint
            )
            create_features(conn, int(conn.execute(row.returning(fingerprints.c.id)).scalar_one()))


def put(conn: Connection, entries: Sequence[NewImage]) -> list[PutResult]:
    """Insert or replace; where a tenant and key come twice, the later one replaces the earlier.

    The specs must be registered. Raises Overtaken where another writer has changed the same images meanwhile.
    """
    of_id = _lock_places(conn, entries)
    there = {(row.tenant_id, row.key): row for row in of_id.values()}
    of = specs(conn)  # after the locks: nobody adds features of another spec to these images any more
    done: list[PutResult] = []
    start = 0
    while start < len(entries):
        seen: set[Place] = set()
        end = start
        while end < len(entries) and (place := (entries[end].tenant_id, entries[end].key)) not in seen:
            seen.add(place)
            end += 1
        done.extend(_put_distinct(conn, entries[start:end], there, of_id, of))
        start = end
    return done


def _lock_places(conn: Connection, entries: Sequence[NewImage]) -> dict[int, Row]:
    """Lock the images at the places of these entries, and those they are copies of."""
    keys: dict[int, list[str]] = {}
    for entry in entries:
        keys.setdefault(entry.tenant_id, []).append(entry.key)
    known_tenants = set(conn.execute(select(tenants.c.id).where(tenants.c.id.in_(keys))).scalars())
    if unknown := keys.keys() - known_tenants:
        raise NotFound(f"there is no tenant {min(unknown)}; make it with tenant_id(name, create=True)")
    found: set[int] = set()
    for tenant_id, mine in keys.items():
        for some in batches(mine):
            query = select(images.c.id).where(images.c.tenant_id == tenant_id, images.c.key.in_(some))
            found.update(conn.execute(query).scalars())
    locked = lock_rows(conn, found | {entry.copy_of for entry in entries if entry.copy_of is not None})
    if not found <= locked.keys():
        raise WriteConflict("another writer deleted one of these images")
    return locked


def _put_distinct(
    conn: Connection,
    entries: Sequence[NewImage],
    there: dict[Place, Row],
    of_id: dict[int, Row],
    of: dict[FeatureSpec, int],
) -> list[PutResult]:
    """Put entries of distinct places in; `there` and `of_id` are brought up to date."""
    old = [there.get((entry.tenant_id, entry.key)) for entry in entries]
    for entry, row in zip(entries, old, strict=True):
        check_expected(entry.key, entry.expected, None if row is None else row.seq)
    fresh = iter(allocate_ids(conn, old.count(None)))
    ids = [next(fresh) if row is None else row.id for row in old]
    # Features of the old bytes go, also those of pipelines that the entry knows nothing of.
    stale = [row.id for entry, row in zip(entries, old, strict=True) if row and row.sha256 != entry.sha256]
    forget_features(conn, of.values(), stale)
    small = [(id_, entry.thumbnail) for id_, entry in zip(ids, entries, strict=True) if entry.thumbnail is not None]
    replace(conn, stale, small)
    _write_features(conn, entries, ids, {row.id for row in old if row}, of)
    not_copied = _copy_features(conn, entries, ids, of_id, of)

    sequence = next_sequence_numbers(conn, len(entries))
    _check_new(conn, [entry for entry, row in zip(entries, old, strict=True) if row is None])
    done = [
        PutResult(id_, seq, created=row is None, copied=id_ not in not_copied)
        for id_, seq, row in zip(ids, sequence, old, strict=True)
    ]
    _write_images(conn, entries, done)
    for entry, put_ in zip(entries, done, strict=True):
        row = Row(put_.id, entry.tenant_id, entry.key, entry.sha256, put_.seq)
        there[entry.tenant_id, entry.key] = of_id[put_.id] = row
    return done


def _check_new(conn: Connection, entries: Sequence[NewImage]) -> None:
    """Raise Overtaken where a place that was free is taken by now; nobody takes one while the counter is locked."""
    if conn.dialect.name == "sqlite":
        return
    keys: dict[int, list[str]] = {}
    for entry in entries:
        keys.setdefault(entry.tenant_id, []).append(entry.key)
    for tenant_id, mine in keys.items():
        for some in batches(mine):
            query = select(images.c.id).where(images.c.tenant_id == tenant_id, images.c.key.in_(some)).limit(1)
            if conn.execute(query).one_or_none() is not None:
                raise WriteConflict("another writer put one of these images in")


def _write_images(conn: Connection, entries: Sequence[NewImage], done: Sequence[PutResult]) -> None:
    now = time.time()
    new: list[dict[str, Any]] = []
    replaced: list[dict[str, Any]] = []
    for entry, place in zip(entries, done, strict=True):
        values = _values(entry, place.seq, now)
        if place.created:
            new.append({**values, "id": place.id, "created": now, "attributes": dict(entry.attributes or {})})
            continue
        if entry.attributes is not None:
            values["attributes"] = dict(entry.attributes)
        replaced.append({**values, "the_id": place.id})
    insert_rows(conn, images, new)
    update_images(conn, [row for row in replaced if "attributes" in row])
    update_images(conn, [row for row in replaced if "attributes" not in row])


def _values(entry: NewImage, seq: int, now: float) -> dict[str, Any]:
    border = entry.border
    return {
        "tenant_id": entry.tenant_id,
        "key": entry.key,
        "path": entry.path,
        "sha256": entry.sha256,
        "pixels": entry.pixels,
        "nbytes": entry.nbytes,
        "mtime_ns": entry.mtime_ns,
        "width": entry.width,
        "height": entry.height,
        "format": entry.format,
        "border": [border.left, border.top, border.right, border.bottom] if border else None,
        "updated": now,
        "seq": seq,
    }


def update_images(conn: Connection, rows: list[dict[str, Any]]) -> None:
    """Change rows that all name the same columns, and `the_id`."""
    if rows:
        columns: dict[str, Any] = {name: bindparam(name) for name in rows[0] if name != "the_id"}
        conn.execute(update(images).where(images.c.id == bindparam("the_id")).values(columns), rows)


def forget_features(conn: Connection, fingerprint_ids: Iterable[int], ids: Sequence[int]) -> None:
    """Delete the features of images."""
    for fingerprint_id in fingerprint_ids:
        table = features_table(fingerprint_id)
        for some in batches(ids):
            conn.execute(delete(table).where(table.c.image_id.in_(some)))


def _write_features(
    conn: Connection, entries: Sequence[NewImage], ids: Sequence[int], old: set[int], of: dict[FeatureSpec, int]
) -> None:
    columns: dict[FeatureSpec, list[tuple[int, Vector]]] = {}
    for entry, id_ in zip(entries, ids, strict=True):
        for spec, row in entry.features.items():
            columns.setdefault(spec, []).append((id_, row))
    for spec, rows in columns.items():
        forget_features(conn, [of[spec]], [id_ for id_, _ in rows if id_ in old])
        _insert_features(conn, spec, of[spec], rows)


def _insert_features(
    conn: Connection, spec: FeatureSpec, fingerprint_id: int, rows: Sequence[tuple[int, Vector]]
) -> None:
    blobs = iter(pack(spec, [row for _, row in rows if row is not None]))
    values = [{"image_id": id_, "vector": None if row is None else next(blobs)} for id_, row in rows]
    insert_rows(conn, features_table(fingerprint_id), values)


def _copy_features(
    conn: Connection, entries: Sequence[NewImage], ids: Sequence[int], of_id: dict[int, Row], of: dict[FeatureSpec, int]
) -> set[int]:
    """Take features over from images with the same bytes, exactly as stored; gives the ids where that cannot be."""
    wanted = [(id_, entry) for id_, entry in zip(ids, entries, strict=True) if entry.copy_of is not None]
    if not wanted:
        return set()
    refused: set[int] = set()
    pairs: dict[int, int] = {}
    kept = _kept_by_engine(conn, {entry.copy_of for _, entry in wanted if entry.copy_of}, of)
    for id_, entry in wanted:
        source = of_id.get(entry.copy_of or 0)
        if source is None or source.sha256 != entry.sha256 or source.id in kept:
            refused.add(id_)
        elif source.id != id_:
            pairs[id_] = source.id
    if pairs:
        forget_features(conn, of.values(), list(pairs))
        for fingerprint_id in of.values():
            table = features_table(fingerprint_id)
            rows = select(bindparam("to"), table.c.vector).where(table.c.image_id == bindparam("source"))
            values = [{"to": to, "source": source} for to, source in pairs.items()]
            conn.execute(insert(table).from_select(["image_id", "vector"], rows), values)
    return refused


def _kept_by_engine(conn: Connection, ids: Iterable[int], of: dict[FeatureSpec, int]) -> set[int]:
    found: set[int] = set()
    for fingerprint_id in of.values():
        table = features_table(fingerprint_id)
        for some in batches(ids):
            query = select(table.c.image_id).where(table.c.image_id.in_(some), table.c.vector == RELEASED)
            found.update(conn.execute(query).scalars())
    return found


def put_features(
    conn: Connection, spec: FeatureSpec, ids: Sequence[int], sha256s: Sequence[bytes], rows: Sequence[Vector]
) -> list[int]:
    """Add the rows of a pipeline to stored images; passes over those gone or changed, returns the ids written."""
    there = lock_rows(conn, ids)
    kept = {
        id_: row
        for id_, sha256, row in zip(ids, sha256s, rows, strict=True)
        if id_ in there and there[id_].sha256 == sha256
    }
    if kept:
        fingerprint_id = specs(conn)[spec]
        forget_features(conn, [fingerprint_id], list(kept))
        _insert_features(conn, spec, fingerprint_id, list(kept.items()))
        sequence = next_sequence_numbers(conn, len(kept))
        update_images(conn, [{"the_id": id_, "seq": seq} for id_, seq in zip(kept, sequence, strict=True)])
    return list(kept)
