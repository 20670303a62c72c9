"""The tenants and images of a catalog: records by key, id, digest and filter; writing and deleting images.

Images are written with their features, thumbnails and verification records in one transaction, which locks in the order
that `catalog.statements` defines.
"""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from operator import attrgetter
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, or_, select

from lookalike.catalog.built_in_attributes import KEY, sort_expression
from lookalike.catalog.database import Database, Repository
from lookalike.catalog.db_errors import WriteConflict
from lookalike.catalog.features import FeatureRepository, FeatureRow, delete_features, insert_features
from lookalike.catalog.filters import check_contains, has_index, key_contains, to_sql
from lookalike.catalog.origins import remember_removals
from lookalike.catalog.records import (
    CatalogTotals,
    Deleted,
    ExistingImage,
    FileLocation,
    NewImage,
    PutResult,
    SameBytes,
    check_attributes,
    check_expected,
    check_limit,
)
from lookalike.catalog.schema import RELEASED, deletions, features_table, images, tenants, thumbnails
from lookalike.catalog.statements import (
    RECORD,
    LockedImage,
    allocate_ids,
    batches,
    id_array,
    ids_by_key,
    in_tenant,
    insert_rows,
    insert_values,
    lock_images,
    lock_state,
    next_sequence_numbers,
    rows_in,
    spec_ids,
    to_record,
    update_images,
)
from lookalike.catalog.verification_records import copy_records, replace_records
from lookalike.errors import BadInput, NotFound
from lookalike.text import check_text, storable
from lookalike.types import Attributes, Condition, FeatureSpec, Ids, Record

# Built once: on the way of every search, building a statement would cost more than running it.
_BY_KEY = RECORD.where(images.c.tenant_id == bindparam("tenant"), images.c.key == bindparam("key"))
_BY_ID = RECORD.where(images.c.id.in_(bindparam("ids", expanding=True)))
_FIRST_IDS = select(func.min(images.c.id)).group_by(images.c.sha256)
_SAME_BYTES = select(images.c.sha256, images.c.id, images.c.key).where(
    images.c.id.in_(
        _FIRST_IDS.where(
            images.c.sha256.in_(bindparam("digests", expanding=True)), images.c.tenant_id == bindparam("tenant")
        )
    )
)
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
"""Columns that hold what the attribute of `NewImage` of the same name says."""
_columns_of = attrgetter(*_COLUMNS, "offset")
_WRITTEN = (*_COLUMNS, "file_offset", "border", "exif", "seq")
"""Columns that every put of an image writes."""


class TenantRepository(Repository):
    """Tenants by name; every image belongs to one."""

    def find(self, name: str) -> int | None:
        """The id of a tenant, None where there is none."""
        if not storable(name):
            return None
        with self._database.read() as conn:
            found = conn.execute(select(tenants.c.id).where(tenants.c.name == name)).scalar_one_or_none()
        return None if found is None else int(found)

    def get_or_create(self, name: str) -> int:
        """The id of a tenant, created where there is none; raises BadInput for a name that cannot be stored."""
        if (found := self.find(name)) is not None:
            return found
        check_text("tenant", name)
        with self._database.write() as conn:
            lock_state(conn)
            query = select(tenants.c.id).where(tenants.c.name == name)
            found = conn.execute(query).scalar_one_or_none()  # another writer may have been faster
            if found is None:
                found = conn.execute(insert(tenants).values(name=name).returning(tenants.c.id)).scalar_one()
            return int(found)

    def ids_by_name(self) -> dict[str, int]:
        """The ids of all tenants, by name."""
        with self._database.read() as conn:
            return {row[0]: row[1] for row in conn.execute(select(tenants.c.name, tenants.c.id)).all()}


class ImageRepository(Repository):
    """Images of all tenants. Each method is one transaction; one that writes returns when its change is durable."""

    def __init__(self, database: Database, features: FeatureRepository) -> None:
        super().__init__(database)
        self._features = features

    def get(self, tenant_id: int, key: str) -> Record:
        """The image of a key; raises NotFound where there is none."""
        with self._database.read() as conn:
            return _find(conn, tenant_id, key)

    def get_with_thumbnail(self, tenant_id: int, key: str) -> tuple[Record, bytes | None]:
        """The image of a key, and its thumbnail, stored only of images that were added as bytes (else None)."""
        with self._database.read() as conn:
            record = _find(conn, tenant_id, key)
            query = select(thumbnails.c.data).where(thumbnails.c.image_id == record.id)
            return record, conn.execute(query).scalar_one_or_none()

    def thumbnail(self, image_id: int) -> bytes | None:
        """The stored thumbnail of an image, a JPEG; None if there is none."""
        with self._database.read() as conn:
            query = select(thumbnails.c.data).where(thumbnails.c.image_id == image_id)
            return conn.execute(query).scalar_one_or_none()

    def by_ids(self, ids: Iterable[int]) -> dict[int, Record]:
        """Images by id; those that are gone are left out."""
        found: dict[int, Record] = {}
        with self._database.read() as conn:
            for batch in batches(dict.fromkeys(map(int, ids))):
                found.update((row[0], to_record(row)) for row in conn.execute(_BY_ID, {"ids": batch}))
        return found

    def by_digest(
        self,
        kind: Literal["sha256", "pixels"],
        tenant_id: int | None,
        digests: Iterable[bytes],
        *,
        conditions: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> dict[bytes, list[Record]]:
        """Images with the same bytes or the same pixels that satisfy every condition, by digest, each list by id.

        `tenant_id` None is all tenants. `limit` is a digest's: one image may be in a catalog a million times.
        """
        column = images.c[kind]
        number = func.row_number().over(partition_by=column, order_by=images.c.id).label("number")
        found: dict[bytes, list[Record]] = {}
        with self._database.read() as conn:
            for batch in batches(dict.fromkeys(digests)):
                same = in_tenant(select(images.c.id, number).where(column.in_(batch)), tenant_id)
                if conditions:
                    same = same.where(to_sql(conditions, conn.dialect.name))
                numbered = same.subquery()
                query = RECORD.add_columns(column).join(numbered, numbered.c.id == images.c.id).order_by(images.c.id)
                if limit is not None:
                    query = query.where(numbered.c.number <= limit)
                for row in conn.execute(query):
                    found.setdefault(row[-1], []).append(to_record(row[:-1]))
        return found

    def same_bytes_groups(self, tenant_id: int) -> list[list[int]]:
        """The ids, ascending, of a tenant's images with the same bytes, where there are two or more."""
        i = images.c
        several = select(i.sha256).where(i.tenant_id == tenant_id).group_by(i.sha256).having(func.count() > 1)
        query = select(i.sha256, i.id).where(i.sha256.in_(several), i.tenant_id == tenant_id).order_by(i.id)
        groups: dict[bytes, list[int]] = {}
        with self._database.read() as conn:
            for sha256, id_ in conn.execute(query):
                groups.setdefault(sha256, []).append(id_)
        return list(groups.values())

    def keys(self, ids: Iterable[int]) -> dict[int, str]:
        """The keys of images by id; those that are gone are left out."""
        with self._database.read() as conn:
            return {row.id: row.key for row in rows_in(conn, select(images.c.id, images.c.key), images.c.id, ids)}

    def ids_matching(self, tenant_id: int | None, conditions: Sequence[Condition]) -> Ids:
        """The ids, ascending, of images that satisfy every condition, as `catalog.filters` defines them."""
        with self._database.read() as conn:
            return _ids_matching(conn, tenant_id, conditions)

    def list_page(
        self,
        tenant_id: int,
        *,
        after: str | None = None,
        limit: int = 1000,
        conditions: Sequence[Condition] = (),
        prefix: str = "",
        contains: str = "",
        sort: str = KEY,
    ) -> list[Record]:
        """A page of a tenant's images after this key, in code point order, or sorted by a built-in attribute.

        A prefix is a range of keys, so that an index serves it and every character stands for itself. `contains` is a
        part of the key, ignoring case, for which all keys are read. `sort` is one of `SORTS`, after `-` for the reverse
        order; images without the attribute come last, equal ones by key. Raises BadInput for a limit below 1, an
        invalid condition, an unknown `sort`, or an `after` that cannot be a key, or, where the list is sorted, is no
        key any more.
        """
        check_limit(limit)
        check_contains(contains)
        if not (storable(prefix) and storable(contains)):
            return []
        if sort == KEY and after is not None:
            check_text("the key to continue after", after)
        with self._database.read() as conn:
            if sort == KEY:
                query = _listed(conn, tenant_id, conditions, prefix, contains, after).order_by(images.c.key)
            else:
                query = _sorted(conn, _listed(conn, tenant_id, conditions, prefix, contains), tenant_id, sort, after)
            return [to_record(row) for row in conn.execute(query.limit(limit))]

    def count(self, tenant_id: int | None = None) -> int:
        """The number of images of a tenant, or of all."""
        with self._database.read() as conn:
            return int(conn.execute(in_tenant(select(func.count()).select_from(images), tenant_id)).scalar_one())

    def totals(self, tenant_id: int | None = None) -> CatalogTotals:
        """The number of images of a tenant, or of all, of their files' bytes, and of images by format."""
        query = select(images.c.format, func.count(), func.sum(images.c.nbytes)).group_by(images.c.format)
        query = in_tenant(query.order_by(func.count().desc(), images.c.format), tenant_id)
        with self._database.read() as conn:
            found = conn.execute(query).all()
        by_format = {str(format_): int(number) for format_, number, _ in found}
        return CatalogTotals(sum(by_format.values()), sum(int(nbytes) for _, _, nbytes in found), by_format)

    def existing_images(self, tenant_id: int, keys: Iterable[str]) -> dict[str, ExistingImage]:
        """What shows whether a file has changed since it was added, by key; unknown keys are left out."""
        i = images.c
        query: Any = select(i.key, i.id, i.sha256, i.nbytes, i.mtime_ns, i.path, i.attributes, i.seq, i.etag)
        query = query.select_from(images)
        found: dict[str, ExistingImage] = {}
        with self._database.read() as conn:
            specs = spec_ids(conn)
            for spec_id in specs.values():
                table = features_table(spec_id)
                query = query.add_columns(table.c.image_id).outerjoin(table, table.c.image_id == i.id)
            query = query.where(i.tenant_id == tenant_id)
            for row in rows_in(conn, query, i.key, filter(storable, dict.fromkeys(keys))):
                encoded = frozenset(spec for spec, id_ in zip(specs, row[9:], strict=True) if id_ is not None)
                found[row.key] = ExistingImage(
                    row.id, row.sha256, row.nbytes, row.mtime_ns, row.path, row.attributes, encoded, row.seq, row.etag
                )
        return found

    def same_bytes(self, tenant_id: int, sha256s: Iterable[bytes]) -> dict[bytes, SameBytes]:
        """By digest the tenant's image of the lowest id with these bytes."""
        found: dict[bytes, SameBytes] = {}
        with self._database.read() as conn:
            for batch in batches(dict.fromkeys(sha256s)):
                rows = conn.execute(_SAME_BYTES, {"tenant": tenant_id, "digests": batch})
                found.update({sha256: SameBytes(id_, key) for sha256, id_, key in rows})
        return found

    def put(self, new: Sequence[NewImage], *, pipelines: int | None = None) -> list[PutResult]:
        """Insert images, or replace those of the same tenant and key (the later one wins); all of them or none.

        A replaced image keeps its id and creation time. Its features are kept where its bytes are the same and the new
        image brings none of that spec, and deleted where its bytes have changed. Raises NotFound for an unknown tenant,
        BadInput for cosine rows not of unit length, Conflict for a sequence number other than the `expected` one, and
        PipelinesChanged where `pipelines` is not the version of the gallery's set of pipelines (None: any).
        """
        if not new:
            return []
        self._features.register(dict.fromkeys(spec for image in new for spec in image.features))
        return self._database.write_with_retry(lambda conn: _put_images(conn, new, pipelines))

    def update_file_locations(self, locations: Sequence[FileLocation]) -> None:
        """Store where unchanged files are now, the last of several; no index needs to know: no sequence number."""
        for location in locations:
            if location.path is not None:
                check_text("path", location.path)
        # Rows are locked by id (see `statements`); the sort is stable.
        ordered = sorted(locations, key=lambda location: location.id)
        rows = [
            {"the_id": at.id, "path": at.path, "mtime_ns": at.mtime_ns, "etag": at.etag, "file_offset": at.offset}
            for at in ordered
        ]
        self._database.write_with_retry(lambda conn: update_images(conn, rows))

    def set_attributes(
        self, tenant_id: int, key: str, attributes: Attributes, *, merge: bool = False, expected: int | None = None
    ) -> int:
        """Replace the attributes of an image, or merge into them; returns the sequence number of the change.

        Raises NotFound for an unknown key, BadInput for attributes that are no JSON object, Conflict where the image's
        sequence number is not the `expected` one.
        """
        check_attributes(attributes)
        query = select(images.c.id, images.c.seq, images.c.attributes)
        query = query.where(images.c.tenant_id == tenant_id, images.c.key == key).with_for_update(key_share=True)

        def work(conn: Connection) -> int:
            row = conn.execute(query).one_or_none() if storable(key) else None
            if row is None:
                raise NotFound(f"there is no image {key!r}")
            check_expected(key, expected, row.seq)
            values = {**row.attributes, **attributes} if merge else dict(attributes)
            (sequence,) = next_sequence_numbers(conn, 1)
            changed = {"the_id": row.id, "attributes": values, "updated": time.time(), "seq": sequence}
            update_images(conn, [changed])
            return sequence

        return self._database.write_with_retry(work)

    def delete(
        self, tenant_id: int, keys: Iterable[str], *, expected: int | None = None, remember: bool = True
    ) -> list[Deleted]:
        """Delete images by key, skipping unknown ones; raises Conflict, deleting none, for one not at `expected`.

        `remember` the removals, as those of a person, so that the images are not added again with their folder.
        """
        distinct = [key for key in dict.fromkeys(keys) if storable(key)]

        def work(conn: Connection) -> list[Deleted]:
            ids = ids_by_key(conn, tenant_id, distinct)
            locked = lock_images(conn, ids.values(), deleting=True)
            rows = [locked[ids[key]] for key in distinct if ids.get(key) in locked]
            for row in rows:
                check_expected(row.key, expected, row.sequence)
            if remember:
                remember_removals(conn, tenant_id, [row.id for row in rows], [row.key for row in rows])
            return _delete_images(conn, rows)

        return self._database.write_with_retry(work)

    def delete_by_filter(self, tenant_id: int, conditions: Sequence[Condition]) -> list[Deleted]:
        """Delete the images of a tenant that satisfy every condition; raises BadInput where none is given."""
        if not conditions:
            raise BadInput("a deletion by filter needs a condition; to empty a gallery, delete its keys")

        def work(conn: Connection) -> list[Deleted]:
            locked = lock_images(conn, _ids_matching(conn, tenant_id, conditions).tolist(), deleting=True)
            if self._database.is_postgresql:  # until they were locked, they may have been changed
                query = select(images.c.id).where(to_sql(conditions, conn.dialect.name))
                matching = {row.id for row in rows_in(conn, query, images.c.id, locked)}
                locked = {id_: row for id_, row in locked.items() if id_ in matching}
            remember_removals(conn, tenant_id, list(locked), [row.key for row in locked.values()])
            return _delete_images(conn, list(locked.values()))

        return self._database.write_with_retry(work)


def _find(conn: Connection, tenant_id: int, key: str) -> Record:
    row = conn.execute(_BY_KEY, {"tenant": tenant_id, "key": key}).one_or_none() if storable(key) else None
    if row is None:
        raise NotFound(f"there is no image {key!r}")
    return to_record(row)


def _listed(
    conn: Connection,
    tenant_id: int,
    conditions: Sequence[Condition],
    prefix: str,
    contains: str,
    after: str | None = None,
) -> Select[Any]:
    """The images of a tenant that satisfy every condition, by their keys too; only those `after` a key."""
    query = RECORD.where(images.c.tenant_id == tenant_id, to_sql(conditions, conn.dialect.name))
    # One lower bound alone: of two, SQLite would look up the first and check each key after it for the other.
    if after is not None and after >= prefix:
        query = query.where(images.c.key > after)
    elif prefix:
        query = query.where(images.c.key >= prefix)
    if (end := prefix_end(prefix)) is not None:
        query = query.where(images.c.key < end)
    return query.where(key_contains(contains, conn.dialect.name)) if contains else query


def _sorted(conn: Connection, query: Select[Any], tenant_id: int, sort: str, after: str | None) -> Select[Any]:
    """Images by a built-in attribute, those without it last and equal ones by key; only those after that of a key."""
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    value = sort_expression(name, conn.dialect.name)
    if after is not None:
        query = query.where(_after(conn, tenant_id, after, value, descending=descending))
    directed, key = (value.desc(), images.c.key.desc()) if descending else (value, images.c.key)
    return query.order_by(value.is_(None), directed, key)


def _after(
    conn: Connection, tenant_id: int, key: str, value: ColumnElement[Any], *, descending: bool
) -> ColumnElement[bool]:
    """What comes after the image of a key, in the order of a value and then of keys, without a value last."""
    check_text("the key to continue after", key)
    query = select(value).where(images.c.tenant_id == tenant_id, images.c.key == key)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise BadInput(f"the list cannot continue after {key!r}, which is gone; start again")
    further = images.c.key < key if descending else images.c.key > key
    if row[0] is None:
        return value.is_(None) & further
    beyond = value < row[0] if descending else value > row[0]
    return or_(beyond, (value == row[0]) & further, value.is_(None))


def _ids_matching(conn: Connection, tenant_id: int | None, conditions: Sequence[Condition]) -> Ids:
    query = select(images.c.id).where(to_sql(conditions, conn.dialect.name, indexed=True)).order_by(images.c.id)
    if conn.dialect.name == "sqlite" and any(map(has_index, conditions)) and tenant_id is not None:
        query = query.where(images.c.tenant_id + 0 == tenant_id)  # or SQLite would read all of the tenant's images
    else:
        query = in_tenant(query, tenant_id)
    return id_array(conn.execute(query).scalars())


def prefix_end(prefix: str) -> str | None:
    """The lowest text, by code point, after every text that begins with `prefix`; None where there is none."""
    kept = prefix.rstrip(chr(sys.maxunicode))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)  # between these are surrogates, no characters


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored images that a put concerns, all locked, by id and by tenant and key; kept up to date by the put."""

    by_id: dict[int, LockedImage]
    by_key: dict[tuple[int, str], LockedImage]
    specs: dict[FeatureSpec, int]

    def add(self, row: LockedImage) -> None:
        self.by_id[row.id] = self.by_key[row.tenant_id, row.key] = row


def _put_images(conn: Connection, new: Sequence[NewImage], pipelines: int | None = None) -> list[PutResult]:
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
    results: list[PutResult] = []
    for run in runs:
        put = _put_distinct(conn, list(run.values()), stored, pipelines)
        results += put
        if run is not runs[-1]:
            for image, result in zip(run.values(), put, strict=True):
                stored.add(LockedImage(result.id, image.tenant_id, image.key, image.sha256, result.sequence))
    return results


def _delete_images(conn: Connection, rows: Sequence[LockedImage]) -> list[Deleted]:
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
    inserted: list[list[Any]] = []
    replaced: list[dict[str, Any]] = []
    for image, result in zip(new, results, strict=True):
        border = list(astuple(image.border)) if image.border else None
        values = [*_columns_of(image), border, dict(image.exif), result.sequence]
        if result.created:
            attributes = dict(image.attributes or {})
            inserted.append([*values, result.id, image.created or now, image.updated or now, attributes])
            continue
        row = {**dict(zip(_WRITTEN, values, strict=True)), "updated": now, "the_id": result.id}
        if image.attributes is not None:
            row["attributes"] = dict(image.attributes)
        replaced.append(row)
    insert_values(conn, images, (*_WRITTEN, "id", "created", "updated", "attributes"), inserted)
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
