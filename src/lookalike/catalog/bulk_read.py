"""Reading whole images in bulk, in one snapshot, with all that is stored of them, for an export."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, select

from lookalike.catalog.catalog import Catalog
from lookalike.catalog.postgresql import without_timeouts
from lookalike.catalog.schema import features_table, images, thumbnails, verification_records
from lookalike.catalog.statements import RECORD, in_tenant, rows_in, spec_ids, to_record
from lookalike.types import FeatureSpec, Record

BATCH_IMAGES = 2048
"""Images read at once: with vectors of two kilobytes each, 4 MB."""


@dataclass(frozen=True, slots=True)
class WholeImage:
    """An image with its features as they are stored, by spec, None where it has no usable one.

    `thumbnail` and `verification_record` are None where it has none.
    """

    record: Record
    mtime_ns: int | None
    etag: str | None
    features: Mapping[FeatureSpec, bytes | None]
    thumbnail: bytes | None
    verification_record: bytes | None


def read_whole_images(catalog: Catalog, tenant_id: int | None) -> Iterator[list[WholeImage]]:
    """Yield all images of a tenant, or of all tenants, in the order of their ids, in batches of one snapshot."""
    with catalog.database.read() as conn, without_timeouts(conn):
        specs = spec_ids(conn)
        query = in_tenant(RECORD.add_columns(images.c.mtime_ns, images.c.etag), tenant_id)
        query = query.order_by(images.c.id).limit(BATCH_IMAGES)
        last = 0
        while batch := _batch(conn, query.where(images.c.id > last), specs):
            yield batch
            last = batch[-1].record.id


def _batch(conn: Connection, query: Select[Any], specs: Mapping[FeatureSpec, int]) -> list[WholeImage]:
    rows = conn.execute(query).all()
    found = [(to_record(row[:-2]), row[-2], row[-1]) for row in rows]
    ids = [record.id for record, _, _ in found]
    features: dict[FeatureSpec, dict[int, bytes | None]] = {}
    for spec, spec_id in specs.items():
        table = features_table(spec_id)
        stored = rows_in(conn, select(table.c.image_id, table.c.vector), table.c.image_id, ids)
        features[spec] = {row.image_id: row.vector for row in stored}
    thumbnails_of, records_of = (
        {row.image_id: row.data for row in rows_in(conn, select(of.c.image_id, of.c.data), of.c.image_id, ids)}
        for of in (thumbnails, verification_records)
    )
    return [
        WholeImage(
            record,
            mtime_ns,
            etag,
            {spec: rows[record.id] for spec, rows in features.items() if record.id in rows},
            thumbnails_of.get(record.id),
            records_of.get(record.id),
        )
        for record, mtime_ns, etag in found
    ]
