"""The transactions that write images with their features, thumbnails and verification records, or delete them.

The functions take the connection of a write transaction, and lock in the order that `catalog.statements` defines.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from lookalike.catalog.db_errors import WriteConflict
from lookalike.catalog.features import FeatureRow, delete_features, insert_features
from lookalike.catalog.records import Deleted, NewImage, PutResult, check_expected
from lookalike.catalog.schema import RELEASED, deletions, features_table, images, tenants, thumbnails
from lookalike.catalog.statements import (
    LockedImage,
    allocate_ids,
    batches,
    ids_by_key,
    insert_rows,
    lock_images,
    next_sequence_numbers,
    rows_in,
    spec_ids,
    update_images,
)
from lookalike.catalog.verification_records import copy_records, replace_records
from lookalike.errors import NotFound
from lookalike.types import FeatureSpec

_COLUMNS = (
    "tenant_id",
    "key",
    "path",
    "sha256",
    "pixels",
    "nbytes",
    "mtime_ns",
    "width",
    "height",
    "format",
    "frames",
    "truncated",
    "etag",
)
_columns_of = attrgetter(*_COLUMNS)
"""Columns that hold what the attribute of `NewImage` of the same name says."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored images that a put concerns, all locked, by id and by tenant and key; kept up to date by the put."""

    by_id: dict[int, LockedImage]
    by_key: dict[tuple[int, str], LockedImage]
    specs: dict[FeatureSpec, int]

    def add(self, row: LockedImage) -> None:
        self.by_id[row.id] = self.by_key[row.tenant_id, row.key] = row


def put_images(conn: Connection, new: Sequence[NewImage], pipelines: int | None = None) -> list[PutResult]:
    """Insert or replace images; where a tenant and key occur twice, the later one replaces the earlier.

    The specs must be registered. Raises WriteConflict where another writer has changed the same images meanwhile, and
    PipelinesChanged where `pipelines` is not the version of the gallery's set of pipelines.
    """
    by_id = _lock_existing(conn, new)
    by_key = {(row.tenant_id, row.key): row for row in by_id.values()}
    stored = _Stored(by_id, by_key, spec_ids(conn))  # read after locking: no features of other specs are added any more
    runs: list[dict[tuple[int, str], NewImage]] = [{}]  # of distinct tenants and keys
    for image in new:
        key = (image.tenant_id, image.key)
        if key in runs[-1]:
            runs.append({})
        runs[-1][key] = image
    return [result for run in runs for result in _put_distinct(conn, list(run.values()), stored, pipelines)]


def delete_images(conn: Connection, rows: Sequence[LockedImage]) -> list[Deleted]:
    """Delete locked images with all that is stored of them, and log the deletions."""
    if not rows:
        return []
    ids = [row.id for row in rows]
    delete_features(conn, spec_ids(conn).values(), ids)
    for batch in batches(ids):
        conn.execute(delete(images).where(images.c.id.in_(batch)))  # thumbnails and records by cascade
    numbers = next_sequence_numbers(conn, len(rows))
    deleted = [Deleted(row.key, row.id, sequence) for row, sequence in zip(rows, numbers, strict=True)]
    logged = [
        {"seq": gone.sequence, "image_id": gone.id, "tenant_id": row.tenant_id, "key": gone.key}
        for gone, row in zip(deleted, rows, strict=True)
    ]
    insert_rows(conn, deletions, logged)
    return deleted


def _keys_by_tenant(new: Iterable[NewImage]) -> dict[int, list[str]]:
    keys: dict[int, list[str]] = {}
    for image in new:
        keys.setdefault(image.tenant_id, []).append(image.key)
    return keys


def _lock_existing(conn: Connection, new: Sequence[NewImage]) -> dict[int, LockedImage]:
    """Lock the images that these replace, and those that they are copies of."""
    keys = _keys_by_tenant(new)
    known_tenants = set(conn.execute(select(tenants.c.id).where(tenants.c.id.in_(keys))).scalars())
    if unknown := keys.keys() - known_tenants:
        raise NotFound(f"there is no tenant {min(unknown)}; create it with tenants.get_or_create(name)")
    replaced: set[int] = set()
    for tenant_id, tenant_keys in keys.items():
        replaced.update(ids_by_key(conn, tenant_id, tenant_keys).values())
    locked = lock_images(conn, replaced | {image.copy_of for image in new if image.copy_of is not None})
    if not replaced <= locked.keys():
        raise WriteConflict("another writer deleted one of these images")
    return locked


def _put_distinct(conn: Connection, new: Sequence[NewImage], stored: _Stored, pipelines: int | None) -> list[PutResult]:
    """Put images of distinct tenants and keys."""
    old = [stored.by_key.get((image.tenant_id, image.key)) for image in new]
    for image, row in zip(new, old, strict=True):
        check_expected(image.key, image.expected, None if row is None else row.sequence)
    allocated = iter(allocate_ids(conn, old.count(None)))
    ids = [next(allocated) if row is None else row.id for row in old]
    # The features of the old bytes are deleted, also those of specs that the new image does not bring.
    changed = [row.id for image, row in zip(new, old, strict=True) if row and row.sha256 != image.sha256]
    delete_features(conn, stored.specs.values(), changed)
    _replace_thumbnails(conn, changed, new, ids)
    replace_records(conn, changed, {id_: i.verification_record for id_, i in zip(ids, new, strict=True)})
    _replace_features(conn, new, ids, {row.id for row in old if row}, stored.specs)
    not_copied = _copy_features(conn, new, ids, stored)

    numbers = next_sequence_numbers(conn, len(new), pipelines=pipelines)
    _check_still_new(conn, [image for image, row in zip(new, old, strict=True) if row is None])
    results = [
        PutResult(id_, sequence, created=row is None, copied=id_ not in not_copied)
        for id_, sequence, row in zip(ids, numbers, old, strict=True)
    ]
    _write_images(conn, new, results)
    for image, result in zip(new, results, strict=True):
        stored.add(LockedImage(result.id, image.tenant_id, image.key, image.sha256, result.sequence))
    return results


def _check_still_new(conn: Connection, new: Sequence[NewImage]) -> None:
    """Raise WriteConflict where another writer has inserted one of these keys meanwhile.

    None can do so from here on, for the row of sequence numbers is locked. On SQLite there is no other writer.
    """
    if conn.dialect.name == "sqlite":
        return
    if any(ids_by_key(conn, tenant_id, keys) for tenant_id, keys in _keys_by_tenant(new).items()):
        raise WriteConflict("another writer added one of these images")


def _write_images(conn: Connection, new: Sequence[NewImage], results: Sequence[PutResult]) -> None:
    now = time.time()
    inserted: list[dict[str, Any]] = []
    replaced: list[dict[str, Any]] = []
    for image, result in zip(new, results, strict=True):
        values: dict[str, Any] = dict(zip(_COLUMNS, _columns_of(image), strict=True))
        border = list(astuple(image.border)) if image.border else None
        values.update(border=border, exif=dict(image.exif), file_offset=image.offset, updated=now, seq=result.sequence)
        if result.created:
            created, updated = image.created or now, image.updated or now
            values.update(id=result.id, created=created, updated=updated, attributes=dict(image.attributes or {}))
            inserted.append(values)
            continue
        if image.attributes is not None:
            values["attributes"] = dict(image.attributes)
        replaced.append({**values, "the_id": result.id})
    insert_rows(conn, images, inserted)
    update_images(conn, [row for row in replaced if "attributes" in row])
    update_images(conn, [row for row in replaced if "attributes" not in row])


def _replace_thumbnails(conn: Connection, changed: Sequence[int], new: Sequence[NewImage], ids: Sequence[int]) -> None:
    """Delete the thumbnails of images whose bytes have changed, and store those of the new images."""
    stored = [(id_, image.thumbnail) for id_, image in zip(ids, new, strict=True) if image.thumbnail is not None]
    for batch in batches({*changed, *(id_ for id_, _ in stored)}):
        conn.execute(delete(thumbnails).where(thumbnails.c.image_id.in_(batch)))
    insert_rows(conn, thumbnails, [{"image_id": id_, "data": data} for id_, data in stored])


def _replace_features(
    conn: Connection, new: Sequence[NewImage], ids: Sequence[int], existing: set[int], specs: dict[FeatureSpec, int]
) -> None:
    by_spec: dict[FeatureSpec, list[tuple[int, FeatureRow]]] = {}
    for image, id_ in zip(new, ids, strict=True):
        for spec, row in image.features.items():
            by_spec.setdefault(spec, []).append((id_, row))
    for spec, rows in by_spec.items():
        delete_features(conn, [specs[spec]], [id_ for id_, _ in rows if id_ in existing])
        insert_features(conn, spec, specs[spec], rows)


def _copy_features(conn: Connection, new: Sequence[NewImage], ids: Sequence[int], stored: _Stored) -> set[int]:
    """Copy stored features from images with the same bytes; returns the ids for which that is not possible."""
    copies = [(id_, image) for id_, image in zip(ids, new, strict=True) if image.copy_of is not None]
    if not copies:
        return set()
    refused: set[int] = set()
    sources: dict[int, int] = {}
    released = _released_ids(conn, {image.copy_of for _, image in copies if image.copy_of}, stored.specs.values())
    for id_, image in copies:
        source = stored.by_id.get(image.copy_of or 0)
        if source is None or source.sha256 != image.sha256 or source.id in released:
            refused.add(id_)
        elif source.id != id_:
            sources[id_] = source.id
    if sources:
        delete_features(conn, stored.specs.values(), list(sources))
        for spec_id in stored.specs.values():
            table = features_table(spec_id)
            rows = select(bindparam("to"), table.c.vector).where(table.c.image_id == bindparam("source"))
            values = [{"to": to, "source": source} for to, source in sources.items()]
            conn.execute(insert(table).from_select(["image_id", "vector"], rows), values)
        copy_records(conn, {id_: sources[id_] for id_, i in copies if i.copy_record and id_ in sources})
    return refused


def _released_ids(conn: Connection, ids: Iterable[int], spec_ids: Iterable[int]) -> set[int]:
    """Those of these images of which a feature was released to the engine."""
    ids = list(ids)
    released: set[int] = set()
    for spec_id in spec_ids:
        table = features_table(spec_id)
        query = select(table.c.image_id).where(table.c.vector == RELEASED)
        released.update(row.image_id for row in rows_in(conn, query, table.c.image_id, ids))
    return released
