"""The room of the catalog for leaving features to the engine.

At a billion images the features are a terabyte, which the engine holds anyway. A catalog made with `features=engine`
keeps a feature only until every index that wants it has it for good. What is given up with it is said where it shows:
such an image cannot lend its features to a twin, and an index that is lost can be repaired from the engine's own
copies (its backups, its replicas) or from the images, but no longer from the catalog.
"""

from sqlalchemy import Connection, delete, insert, select, update

from lookalike.catalog.database import Database, check_limit
from lookalike.catalog.options import FeatureKeeper, keeper
from lookalike.catalog.reading import batches, specs
from lookalike.catalog.schema import RELEASED, features_table, images, meta, state
from lookalike.catalog.writing import lock, lock_rows
from lookalike.errors import BadInput
from lookalike.types import FeatureSpec

PORTION = 4096
"""Images a transaction; their rows are locked for so long."""


class Releasing(Database):
    """Giving features up that the engine keeps, and telling that they were."""

    def keeper(self) -> FeatureKeeper:
        """Who keeps the features: the catalog, or the engine."""
        with self._read() as conn:
            return keeper(conn)

    def release_features(self, spec: FeatureSpec, through: int) -> int:
        """Forget the features of this spec up to a change that every index of it has flushed; gives their number.

        An image changed since then keeps its features. Raises BadInput in a catalog that keeps its features, and for
        changes that are yet to come.
        """
        with self._read() as conn:
            if keeper(conn) != "engine":
                raise BadInput(
                    "this catalog keeps its features; features=engine, when it is made, leaves them to the engine"
                )
            now = int(conn.execute(select(state.c.sequence)).scalar_one())
        if through > now:
            raise BadInput(f"features can be left to the engine up to change {now}, not {through}")
        number, reached = 0, -1
        while reached < through:
            released, reached = self._change(lambda conn: _portion(conn, spec, through))
            number += released
        return number

    def released(self, spec: FeatureSpec) -> int:
        """The change up to which features of this spec were left to the engine; 0 where none were.

        An index of this spec that has not reached it, or is emptied, lacks what `only_in_engine` names.
        """
        with self._read() as conn:
            fingerprint_id = specs(conn).get(spec)
            return 0 if fingerprint_id is None else _released(conn, fingerprint_id)

    def only_in_engine(self, spec: FeatureSpec, since: int, limit: int) -> list[str]:
        """Up to `limit` keys of images changed after `since` whose features of this spec the engine alone keeps.

        Where `since` is before `released`, an index that has reached it may lack them, and cannot have them from here.
        """
        check_limit(limit)
        with self._read() as conn:
            fingerprint_id = specs(conn).get(spec)
            if fingerprint_id is None:
                return []
            table = features_table(fingerprint_id)
            query = select(images.c.key).join_from(images, table, table.c.image_id == images.c.id)
            query = query.where(images.c.seq > since, table.c.vector == RELEASED).order_by(images.c.seq)
            return [str(key) for key in conn.execute(query.limit(limit)).scalars()]


def _released(conn: Connection, fingerprint_id: int) -> int:
    found = conn.execute(select(meta.c.value).where(meta.c.key == _key(fingerprint_id))).scalar_one_or_none()
    return int(found or 0)


def _key(fingerprint_id: int) -> str:
    return f"released:{fingerprint_id}"


def _portion(conn: Connection, spec: FeatureSpec, through: int) -> tuple[int, int]:
    """Release the next images in the order of their changes; their number, and the change reached."""
    fingerprint_id = specs(conn).get(spec)
    if fingerprint_id is None:
        return 0, through
    start = _released(conn, fingerprint_id)
    query = select(images.c.seq, images.c.id).where(images.c.seq > start, images.c.seq <= through)
    found = conn.execute(query.order_by(images.c.seq).limit(PORTION)).all()
    end = int(found[-1].seq) if len(found) == PORTION else max(through, start)
    # Who holds an image's row may write its features; what was changed until now is no longer the engine's.
    still = [row.id for row in lock_rows(conn, [row.id for row in found]).values() if row.seq <= end]
    table = features_table(fingerprint_id)
    number = 0
    for some in batches(still):
        there = (table.c.image_id.in_(some), table.c.vector.is_not(None), table.c.vector != RELEASED)
        number += conn.execute(update(table).where(*there).values(vector=RELEASED)).rowcount
    lock(conn)
    end = max(end, _released(conn, fingerprint_id))
    conn.execute(delete(meta).where(meta.c.key == _key(fingerprint_id)))
    conn.execute(insert(meta).values(key=_key(fingerprint_id), value=end))
    return number, end
