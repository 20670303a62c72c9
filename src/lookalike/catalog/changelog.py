"""The change log: every change of the catalog in order, as an index of one spec must apply it."""

from typing import Any

from sqlalchemy import Connection, delete, func, null, select, update

from lookalike.catalog.built_in_attributes import filterable
from lookalike.catalog.database import Repository
from lookalike.catalog.features import unpack
from lookalike.catalog.records import ChangeFeed, Changes, LoggedChange, check_limit
from lookalike.catalog.schema import RELEASED, deletions, features_table, images, state, tenants
from lookalike.catalog.statements import RECORD, id_array, in_tenant, spec_ids, to_record
from lookalike.types import FeatureSpec, Rows


class ChangeLog(Repository):
    """Changes by sequence number: an image's is that of its last change; a deletion has its own."""

    def last_sequence(self) -> int:
        """The sequence number of the last change; 0 for a new catalog."""
        with self._database.read() as conn:
            return int(conn.execute(select(state.c.sequence)).scalar_one())

    def pruned_through(self) -> int:
        """Where deletions were pruned to; an index whose own number is between 0 and this must be replayed from 0."""
        with self._database.read() as conn:
            return int(conn.execute(select(state.c.pruned)).scalar_one())

    def since(self, spec: FeatureSpec, sequence: int, limit: int, *, attributes: bool = False) -> Changes:
        """The changes after `sequence`, at most `limit`, in order, as an index of this spec must apply them.

        Features come as `at_storage_precision` gives them. An image with no meaningful feature, or none yet, is among
        the deletes. `attributes` is for engines that filter by themselves. Raises Damaged for features of a wrong size.
        """
        check_limit(limit)
        with self._database.read() as conn:  # one snapshot for all three queries
            last, pruned = conn.execute(select(state.c.sequence, state.c.pruned)).one()
            changed = _changed_images(conn, spec, sequence, limit + 1, attributes=attributes)
            query = select(deletions.c.seq, deletions.c.image_id).where(deletions.c.seq > sequence)
            deleted = conn.execute(query.order_by(deletions.c.seq).limit(limit + 1)).all()
        more = len(changed) + len(deleted) > limit
        if more:
            # Both lists are in order and each reaches far enough, so the limit-th smallest of their numbers is the end.
            last = sorted([row[0] for row in changed] + [row[0] for row in deleted])[limit - 1]
            changed = [row for row in changed if row[0] <= last]
            deleted = [row for row in deleted if row[0] <= last]
        full = [row for row in changed if row[3]]
        empty = [row[1] for row in changed if row[3] is None]
        released = [row for row in changed if row[3] == RELEASED]
        return Changes(
            int(last),
            upserts=Rows(
                ids=id_array(row[1] for row in full),
                features=unpack(spec, [row[3] for row in full]),
                tenants=id_array(row[2] for row in full),
                attributes=tuple(filterable(row[4], row[5]) for row in full) if attributes else None,
            ),
            deletes=id_array(sorted({row[1] for row in deleted}.union(empty))),
            more=more,
            pruned_through=int(pruned),
            released=id_array(row[1] for row in released),
            released_tenants=id_array(row[2] for row in released),
            released_attributes=[filterable(row[4], row[5]) for row in released] if attributes else None,
        )

    def feed(self, tenant_id: int | None, sequence: int, limit: int) -> ChangeFeed:
        """The changes of a tenant, or of all, after `sequence`, at most `limit`, in order: an image's last one each.

        All is one snapshot, and sequence numbers become visible in their order (`catalog.statements`), so that nothing
        at or below the feed's own number can appear later.
        """
        check_limit(limit)
        with self._database.read() as conn:
            last, pruned = conn.execute(select(state.c.sequence, state.c.pruned)).one()
            put = in_tenant(RECORD.where(images.c.seq > sequence), tenant_id).order_by(images.c.seq).limit(limit + 1)
            records = [to_record(row) for row in conn.execute(put)]
            d = deletions.c
            gone = select(d.seq, tenants.c.name, d.key).join(tenants, tenants.c.id == d.tenant_id)
            gone = gone.where(d.seq > sequence).order_by(d.seq).limit(limit + 1)
            deleted = conn.execute(gone if tenant_id is None else gone.where(d.tenant_id == tenant_id)).all()
            lost = max(int(pruned), _nameless_through(conn, sequence))
        changes = [LoggedChange(record.sequence, record.tenant, record.key, record) for record in records]
        changes += [LoggedChange(seq, tenant, key, None) for seq, tenant, key in deleted]
        changes.sort(key=lambda change: change.sequence)
        more = len(changes) > limit  # each list reaches far enough, so that the first ones of both are complete
        changes = changes[:limit]
        return ChangeFeed(changes, changes[-1].sequence if more else int(last), int(last), lost, more)

    def prune(self, through: int) -> None:
        """Delete the log of deletions up to a sequence number that every index has flushed."""
        with self._database.write() as conn:
            conn.execute(delete(deletions).where(deletions.c.seq <= through))
            conn.execute(update(state).where(state.c.pruned < through).values(pruned=through))


def _changed_images(conn: Connection, spec: FeatureSpec, sequence: int, limit: int, *, attributes: bool) -> list[Any]:
    """Rows (seq, id, tenant, vector or None[, attributes, exif]) of the images changed after this sequence number."""
    spec_id = spec_ids(conn).get(spec)
    columns: list[Any] = [images.c.seq, images.c.id, images.c.tenant_id]
    if spec_id is None:
        query = select(*columns, null())
    else:
        table = features_table(spec_id)
        query = select(*columns, table.c.vector).outerjoin_from(images, table, table.c.image_id == images.c.id)
    if attributes:
        query = query.add_columns(images.c.attributes, images.c.exif)
    return list(conn.execute(query.where(images.c.seq > sequence).order_by(images.c.seq).limit(limit)).all())


def _nameless_through(conn: Connection, sequence: int) -> int:
    """The last deletion after this sequence number that was logged without its key, by schema 2; 0 for none."""
    d = deletions.c
    first = conn.execute(select(d.key).where(d.seq > sequence).order_by(d.seq).limit(1)).one_or_none()
    if first is None or first.key is not None:
        return 0  # they are all older than those with keys
    return int(conn.execute(select(func.max(d.seq)).where(d.key.is_(None))).scalar_one())
