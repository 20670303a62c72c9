"""The changes of the catalog in order, as an index of one spec must apply them."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, null, select

from lookalike.catalog.reading import id_array, specs
from lookalike.catalog.records import Changes
from lookalike.catalog.schema import RELEASED, deletions, features_table, images, state
from lookalike.catalog.vectors import unpack
from lookalike.types import FeatureSpec, Rows


def changes(conn: Connection, spec: FeatureSpec, since: int, limit: int, *, attributes: bool) -> Changes:
    """At most `limit` changes after `since`; the transaction must see one moment throughout."""
    sequence, pruned = conn.execute(select(state.c.sequence, state.c.pruned)).one()
    changed = _changed(conn, spec, since, limit, attributes=attributes)
    gone = conn.execute(
        select(deletions.c.seq, deletions.c.image_id)
        .where(deletions.c.seq > since)
        .order_by(deletions.c.seq)
        .limit(limit + 1)
    ).all()
    more = len(changed) + len(gone) > limit
    if more:
        # Both lists are in order and each reaches far enough, so the limit-th smallest of their numbers is the end.
        sequence = sorted([row[0] for row in changed] + [row[0] for row in gone])[limit - 1]
        changed = [row for row in changed if row[0] <= sequence]
        gone = [row for row in gone if row[0] <= sequence]
    full = [row for row in changed if row[3]]
    _, ids, tenants, vectors, *kept = zip(*full, strict=True) if full else ((), (), (), ())
    rows = Rows(
        ids=id_array(ids),
        features=unpack(spec, vectors),
        tenants=id_array(tenants),
        attributes=(kept[0] if kept else ()) if attributes else None,
    )
    empty = [row[1] for row in changed if row[3] is None]
    deletes = np.unique(id_array([row[1] for row in gone] + empty))
    left = [row for row in changed if row[3] == RELEASED]
    return Changes(
        int(sequence),
        upserts=rows,
        deletes=deletes,
        more=more,
        pruned=int(pruned),
        kept=id_array(row[1] for row in left),
        kept_tenants=id_array(row[2] for row in left),
        kept_attributes=[row[4] for row in left] if attributes else None,
    )


def _changed(conn: Connection, spec: FeatureSpec, since: int, limit: int, *, attributes: bool) -> list[Any]:
    """Rows (seq, id, tenant, vector or None[, attributes]) of the images put in after `since`."""
    fingerprint_id = specs(conn).get(spec)
    columns: list[Any] = [images.c.seq, images.c.id, images.c.tenant_id]
    if fingerprint_id is None:
        query = select(*columns, null())
    else:
        table = features_table(fingerprint_id)
        query = select(*columns, table.c.vector).outerjoin_from(images, table, table.c.image_id == images.c.id)
    if attributes:
        query = query.add_columns(images.c.attributes)
    return list(conn.execute(query.where(images.c.seq > since).order_by(images.c.seq).limit(limit + 1)).all())
