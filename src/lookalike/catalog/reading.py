"""Looking things up: every function works inside a transaction that its caller has opened."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, select

from lookalike.catalog.filters import has_index, to_sql
from lookalike.catalog.records import CatalogTotals, ExistingImage, SameBytes, StoredFeatures
from lookalike.catalog.schema import RELEASED, features_table, fingerprints, images, tenants
from lookalike.catalog.vectors import unpack
from lookalike.text import storable
from lookalike.types import Border, Condition, FeatureSpec, Ids, Record

T = TypeVar("T")
BATCH = 512
"""Values a statement: SQLite takes 32,766 parameters, and longer lists bring no more speed."""

_RECORD = select(
    images.c.id,
    tenants.c.name,
    images.c.key,
    images.c.path,
    images.c.sha256,
    images.c.pixels,
    images.c.nbytes,
    images.c.width,
    images.c.height,
    images.c.format,
    images.c.border,
    images.c.attributes,
    images.c.created,
    images.c.updated,
    images.c.seq,
).join(tenants, tenants.c.id == images.c.tenant_id)

# Built once: on the way of every search, building a statement would cost more than running it.
_BY_KEY = _RECORD.where(images.c.tenant_id == bindparam("tenant"), images.c.key == bindparam("key"))
_BY_ID = _RECORD.where(images.c.id.in_(bindparam("ids", expanding=True)))


def batches(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists that fit a statement."""
    everything = list(values)
    for start in range(0, len(everything), BATCH):
        yield everything[start : start + BATCH]


def specs(conn: Connection) -> dict[FeatureSpec, int]:
    """The specs that the catalog holds features of, with their ids."""
    f = fingerprints.c
    found = conn.execute(select(f.name, f.metric, f.width, f.fingerprint, f.id).order_by(f.id))
    return {FeatureSpec(name, metric, width, fingerprint): id_ for name, metric, width, fingerprint, id_ in found}


def existing_images(conn: Connection, tenant_id: int, keys: Iterable[str]) -> dict[str, ExistingImage]:
    """What is known of these keys, by key; the unknown ones are left out."""
    of = specs(conn)
    i = images.c
    query: Any = select(i.key, i.id, i.sha256, i.nbytes, i.mtime_ns, i.path, i.attributes, i.seq)
    query = query.select_from(images)
    for fingerprint_id in of.values():
        table = features_table(fingerprint_id)
        query = query.add_columns(table.c.image_id).outerjoin(table, table.c.image_id == i.id)
    found: dict[str, ExistingImage] = {}
    row: Any  # its length depends on the number of specs
    for some in batches(filter(storable, dict.fromkeys(keys))):
        for row in conn.execute(query.where(i.tenant_id == tenant_id, i.key.in_(some))):
            encoded = frozenset(spec for spec, image_id in zip(of, row[8:], strict=True) if image_id is not None)
            there = (row.id, row.sha256, row.nbytes, row.mtime_ns, row.path, row.attributes)
            found[row[0]] = ExistingImage(*there, encoded, row.seq)
    return found


def same_bytes(conn: Connection, tenant_id: int, sha256s: Iterable[bytes]) -> dict[bytes, SameBytes]:
    """The image of the lowest id with these bytes, by digest."""
    i = images.c
    found: dict[bytes, SameBytes] = {}
    for some in batches(dict.fromkeys(sha256s)):
        first = select(func.min(i.id)).where(i.sha256.in_(some), i.tenant_id == tenant_id).group_by(i.sha256)
        query = select(i.sha256, i.id, i.key).where(i.id.in_(first))
        found.update({sha256: SameBytes(id_, key) for sha256, id_, key in conn.execute(query)})
    return found


def _to_record(row: Any) -> Record:
    id_, tenant, key, path, sha256, pixels, nbytes, width, height, kind, border, attributes, *rest = row
    cut = Border(*border) if border else Border()
    return Record(id_, tenant, key, path, sha256, pixels, nbytes, width, height, kind, cut, attributes, *rest)


def record(conn: Connection, tenant_id: int, key: str) -> Record | None:
    """The image of this key."""
    if not storable(key):
        return None
    row = conn.execute(_BY_KEY, {"tenant": tenant_id, "key": key}).one_or_none()
    return _to_record(row) if row is not None else None


def records(conn: Connection, ids: Iterable[int]) -> dict[int, Record]:
    """The images of these ids, by id; ids that are gone are left out."""
    found: dict[int, Record] = {}
    for some in batches(dict.fromkeys(map(int, ids))):
        found.update((row[0], _to_record(row)) for row in conn.execute(_BY_ID, {"ids": some}))
    return found


def by_digest(
    conn: Connection,
    column: ColumnElement[bytes],
    digests: Iterable[bytes],
    tenant_id: int | None,
    conditions: Sequence[Condition],
    limit: int | None,
) -> dict[bytes, list[Record]]:
    """The images with these digests, by digest, ordered by id, at most `limit` of each."""
    found: dict[bytes, list[Record]] = {}
    place = func.row_number().over(partition_by=column, order_by=images.c.id).label("place")
    for some in batches(dict.fromkeys(digests)):
        same = _in_tenant(select(images.c.id, place).where(column.in_(some)), tenant_id)
        if conditions:
            same = same.where(to_sql(conditions, conn.dialect.name))
        numbered = same.subquery()
        query = _RECORD.add_columns(column).join(numbered, numbered.c.id == images.c.id).order_by(images.c.id)
        if limit is not None:
            query = query.where(numbered.c.place <= limit)
        for row in conn.execute(query):
            found.setdefault(row[-1], []).append(_to_record(row[:-1]))
    return found


def ids_matching(conn: Connection, tenant_id: int | None, conditions: Sequence[Condition]) -> Ids:
    """The ids of the images that satisfy every condition, ascending."""
    query = select(images.c.id).where(to_sql(conditions, conn.dialect.name, indexed=True)).order_by(images.c.id)
    if conn.dialect.name == "sqlite" and any(map(has_index, conditions)) and tenant_id is not None:
        query = query.where(images.c.tenant_id + 0 == tenant_id)  # or else it would take all of the tenant's images
    else:
        query = _in_tenant(query, tenant_id)
    return id_array(conn.execute(query).scalars())


def browse(
    conn: Connection,
    tenant_id: int,
    after: str | None,
    limit: int,
    conditions: Sequence[Condition],
    prefix: str,
) -> list[Record]:
    """Up to `limit` images with keys beyond `after` that begin with `prefix`, by key.

    A prefix is a range of keys, so that an index serves it and no character of it means anything but itself.
    """
    if not storable(prefix):
        return []
    query = _RECORD.where(images.c.tenant_id == tenant_id, to_sql(conditions, conn.dialect.name))
    # One lower bound alone: of two, SQLite would look up the first and try every key from there on against the other.
    if after is not None and after >= prefix:
        query = query.where(images.c.key > after)
    elif prefix:
        query = query.where(images.c.key >= prefix)
    if (end := end_of(prefix)) is not None:
        query = query.where(images.c.key < end)
    return [_to_record(row) for row in conn.execute(query.order_by(images.c.key).limit(limit))]


def end_of(prefix: str) -> str | None:
    """The lowest text, by code point, beyond every text that begins with `prefix`; None where there is none."""
    kept = prefix.rstrip(chr(sys.maxunicode))
    if not kept:
        return None
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if following == 0xD800 else following)  # between these lie no characters


def count(conn: Connection, tenant_id: int | None) -> int:
    """How many images there are."""
    return int(conn.execute(_in_tenant(select(func.count()).select_from(images), tenant_id)).scalar_one())


def totals(conn: Connection, tenant_id: int | None) -> CatalogTotals:
    """Images and bytes, in all and by format."""
    query = select(images.c.format, func.count(), func.sum(images.c.nbytes)).group_by(images.c.format)
    found = conn.execute(_in_tenant(query.order_by(func.count().desc(), images.c.format), tenant_id)).all()
    by_format = {str(kind): int(number) for kind, number, _ in found}
    return CatalogTotals(sum(by_format.values()), sum(int(nbytes) for _, _, nbytes in found), by_format)


def features_of(conn: Connection, spec: FeatureSpec, ids: Iterable[int]) -> StoredFeatures:
    """The stored features of these images; images without a row of this spec are left out."""
    fingerprint_id = specs(conn).get(spec)
    rows: list[tuple[int, bytes | None]] = []
    if fingerprint_id is not None:
        table = features_table(fingerprint_id)
        for some in batches(sorted({int(id_) for id_ in ids})):
            query = select(table.c.image_id, table.c.vector).where(table.c.image_id.in_(some))
            rows.extend((id_, vector) for id_, vector in conn.execute(query.order_by(table.c.image_id)))
    full = [(id_, vector) for id_, vector in rows if vector]
    return StoredFeatures(
        ids=id_array(id_ for id_, _ in full),
        features=unpack(spec, [vector for _, vector in full]),
        empty=id_array(id_ for id_, vector in rows if vector is None),
        kept=id_array(id_ for id_, vector in rows if vector == RELEASED),
    )


def missing(conn: Connection, spec: FeatureSpec, after_id: int, limit: int) -> list[Record]:
    """Up to `limit` images beyond `after_id` with no row of this spec, not even an empty one, by id."""
    query = _RECORD.where(images.c.id > after_id)
    fingerprint_id = specs(conn).get(spec)
    if fingerprint_id is not None:
        table = features_table(fingerprint_id)
        # Looked up for one image after the other: a join might read every feature for a page.
        encoded = select(table.c.image_id).where(table.c.image_id == images.c.id).scalar_subquery()
        query = query.where(encoded.is_(None))
    return [_to_record(row) for row in conn.execute(query.order_by(images.c.id).limit(limit))]


def _in_tenant(query: Select[Any], tenant_id: int | None) -> Select[Any]:
    return query if tenant_id is None else query.where(images.c.tenant_id == tenant_id)


def id_array(ids: Iterable[int]) -> Ids:
    """Ids as an array of int64."""
    return np.fromiter(ids, dtype=np.int64)
