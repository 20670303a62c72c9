"""Features: their stored form, reading and adding them, and releasing them to the engine.

Hashes are stored as they are, unit vectors at half precision, in half the bytes: it keeps 11 bits of each number, which
moves the cosine of two unit vectors by less than 0.001 (0.0002 at most, measured on random rows of 512 dimensions).
Vectors of an encoder with `storage = "int8"` take a byte a number: a row is divided by its largest magnitude,
multiplied by 127 and rounded, so that zero stays zero. No scale is kept, for a row is of unit length when it is read.

At a billion images the features are a terabyte, which an engine holds anyway. A catalog created with `features=engine`
therefore keeps a feature only until every index of its spec has flushed it. The price: such an image cannot lend its
features to one with the same bytes, and a lost index is restored from the engine's backups or replicas, or by encoding
the images again, but no longer from the catalog.
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, ScalarSelect, delete, func, insert, select, update

from lookalike.catalog.database import Database, Repository
from lookalike.catalog.postgresql import without_timeouts
from lookalike.catalog.records import StoredFeatures, check_limit
from lookalike.catalog.schema import (
    RELEASED,
    FeatureKeeper,
    archives,
    backfill_failures,
    create_features_table,
    feature_keeper,
    features_table,
    fingerprints,
    images,
    meta,
    state,
)
from lookalike.catalog.statements import (
    RECORD,
    batches,
    id_array,
    insert_values,
    lock_images,
    lock_state,
    next_sequence_numbers,
    rows_in,
    spec_ids,
    to_record,
    update_images,
)
from lookalike.distances import are_unit
from lookalike.errors import BadInput, Damaged
from lookalike.types import Features, FeatureSpec, Record, Storage

DTYPES: Mapping[Storage, np.dtype[Any]] = {"float16": np.dtype("<f2"), "int8": np.dtype(np.int8)}
MAX_INT8 = 127
"""The largest magnitude of a number in 8 bits; -128 is unused, so that a vector and its opposite round alike."""
RELEASE_BATCH = 4096
"""Images whose features one transaction releases; their rows are locked for its duration."""
CLEAR_BATCH = 16_384
"""Rows that one transaction deletes where all features of a spec are deleted."""
READ_BATCH = 16_384
"""Rows read at a time where all features of a tenant are read."""

FeatureRow = NDArray[Any] | None
"""The features of one image, `(width,)`; None where it has no meaningful feature."""


def at_storage_precision(spec: FeatureSpec, rows: Features) -> Features:
    """The rows, `(n, width)`, as the catalog returns them: cosine rows rounded and of unit length again.

    An index must be given these, so that it answers the same after it was rebuilt from the catalog. The catalog itself
    takes the encoder's rows: rounding twice can differ in the last bit where few numbers carry the vector. Raises
    BadInput for another shape or dtype, and for cosine rows that are not finite and of unit length.
    """
    _check_rows(spec, rows)
    if spec.metric == "hamming":
        return rows
    return _widen(_narrow(spec, rows))


def row_bytes(spec: FeatureSpec) -> int:
    """The stored size of one row, in bytes."""
    return spec.width if spec.metric == "hamming" else spec.width * DTYPES[spec.storage].itemsize


def pack(spec: FeatureSpec, rows: Sequence[Features]) -> list[bytes]:
    """The stored bytes of rows, each `(width,)`; raises BadInput for vectors that are not of unit length."""
    if not rows:
        return []
    stacked = np.stack(rows)
    _check_rows(spec, stacked)
    data = stacked.tobytes() if spec.metric == "hamming" else _narrow(spec, stacked).tobytes()
    size = row_bytes(spec)
    return [data[start : start + size] for start in range(0, len(data), size)]


def unpack(spec: FeatureSpec, blobs: Sequence[bytes]) -> Features:
    """The rows, `(n, width)`, of stored bytes; raises Damaged for a wrong size."""
    size = row_bytes(spec)
    data = b"".join(blobs)
    # Both sums are compared: a short row beside a long one must not pass.
    if len(data) != size * len(blobs) or any(len(blob) != size for blob in blobs):
        raise Damaged(f"the catalog holds {spec.name} features of a wrong size; restore the catalog from a backup")
    if spec.metric == "hamming":
        return np.frombuffer(data, dtype=np.uint8).reshape(-1, spec.width).copy()
    return _widen(np.frombuffer(data, dtype=DTYPES[spec.storage]).reshape(-1, spec.width))


def _widen(stored: NDArray[Any]) -> Features:
    """Rows of unit length, float32, of the numbers `(n, width)` in which they are stored."""
    rows = stored.astype(np.float32)
    rows /= np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
    return rows


def _narrow(spec: FeatureSpec, rows: Features) -> NDArray[Any]:
    """The numbers in which unit rows `(n, width)` are stored."""
    if spec.storage == "int8":
        rows = np.rint(rows * (MAX_INT8 / np.abs(rows).max(axis=1, keepdims=True)))
    return rows.astype(DTYPES[spec.storage])


def _check_rows(spec: FeatureSpec, rows: Features) -> None:
    if rows.ndim != 2 or rows.shape[1] != spec.width or rows.dtype != spec.dtype:
        raise BadInput(f"{spec.name} rows are {rows.shape} {rows.dtype}; (n, {spec.width}) {spec.dtype} expected")
    if spec.metric == "cosine" and not are_unit(rows).all():
        raise BadInput(f"{spec.name} rows must be finite and of unit length")


class FeatureRepository(Repository):
    """The features of all images, by spec (the name, metric, width and fingerprint of an encoder)."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._registered: frozenset[FeatureSpec] = frozenset()

    def specs(self) -> list[FeatureSpec]:
        """The specs that features were ever stored for, oldest first."""
        with self._database.read() as conn:
            return list(spec_ids(conn))

    def count(self, spec: FeatureSpec) -> int:
        """The number of images with a meaningful feature of this spec, of all tenants."""
        with self._database.read() as conn:
            spec_id = spec_ids(conn).get(spec)
            if spec_id is None:
                return 0
            return int(conn.execute(select(func.count(features_table(spec_id).c.vector))).scalar_one())

    def sample(self, spec: FeatureSpec, number: int, seed: int = 0) -> StoredFeatures:
        """Up to so many stored features of random images of all tenants, the same ones for the same seed and images.

        Each is that of the first image from a random id on, so that the catalog need not be read as a whole.
        """
        rng = random.Random(seed)
        found: set[int] = set()
        with self._database.read() as conn:
            spec_id = spec_ids(conn).get(spec)
            if spec_id is not None:
                id_ = features_table(spec_id).c.image_id
                first, last = conn.execute(select(func.min(id_), func.max(id_))).one()
                points = [] if first is None else [rng.randint(first, last) for _ in range(number)]
                for point in sorted(set(points)):
                    found.add(conn.execute(select(id_).where(id_ >= point).order_by(id_).limit(1)).scalar_one())
        return self.get(spec, found)

    def register(self, specs: Collection[FeatureSpec]) -> None:
        """Create the tables of specs that have none yet; needed before features of theirs are written."""
        if self._registered.issuperset(specs):  # a registered spec is never removed
            return
        with self._database.write() as conn:
            lock_state(conn)
            registered = spec_ids(conn)
            for spec in specs:
                if spec not in registered:
                    row = insert(fingerprints).values(asdict(spec)).returning(fingerprints.c.id)
                    create_features_table(conn, int(conn.execute(row).scalar_one()))
        self._registered |= set(specs)

    def put(
        self,
        spec: FeatureSpec,
        ids: Sequence[int],
        sha256s: Sequence[bytes],
        rows: Sequence[FeatureRow],
        *,
        pipelines: int | None = None,
    ) -> list[int]:
        """Add or replace the features of one spec for stored images; returns the ids written.

        `sha256s` are of the bytes that were encoded: an image that is gone, or whose digest is another one, is skipped.
        Raises BadInput for sequences of different lengths, and for rows that do not fit the spec, and PipelinesChanged
        where `pipelines` is not the version of the gallery's set of pipelines (None: any).
        """
        if not len(ids) == len(sha256s) == len(rows):
            raise BadInput(f"{len(ids)} ids, {len(sha256s)} digests and {len(rows)} rows must be of the same number")
        self.register([spec])

        def work(conn: Connection) -> list[int]:
            locked = lock_images(conn, ids)
            current = {
                id_: row
                for id_, sha256, row in zip(ids, sha256s, rows, strict=True)
                if id_ in locked and locked[id_].sha256 == sha256
            }
            if current:
                spec_id = spec_ids(conn)[spec]
                delete_features(conn, [spec_id], list(current))
                insert_features(conn, spec, spec_id, list(current.items()))
                numbers = next_sequence_numbers(conn, len(current), pipelines=pipelines)
                update_images(conn, [{"the_id": id_, "seq": seq} for id_, seq in zip(current, numbers, strict=True)])
            return list(current)

        return self._database.write_with_retry(work)

    def get(self, spec: FeatureSpec, ids: Iterable[int]) -> StoredFeatures:
        """The stored features of images, as `at_storage_precision` gives them; images without a row are left out."""
        stored: list[Any] = []
        with self._database.read() as conn:
            spec_id = spec_ids(conn).get(spec)
            if spec_id is not None:
                table = features_table(spec_id)
                query = select(table.c.image_id, table.c.vector).order_by(table.c.image_id)
                stored.extend(rows_in(conn, query, table.c.image_id, sorted({int(id_) for id_ in ids})))
        full = [(id_, vector) for id_, vector in stored if vector]
        return StoredFeatures(
            ids=id_array(id_ for id_, _ in full),
            features=unpack(spec, [vector for _, vector in full]),
            empty=id_array(id_ for id_, vector in stored if vector is None),
            released=id_array(id_ for id_, vector in stored if vector == RELEASED),
        )

    def of_tenant(self, spec: FeatureSpec, tenant_id: int) -> StoredFeatures:
        """The stored features of all images of a tenant, by id, as `get`; 20 bytes an image beside the features."""
        ids: list[NDArray[np.int64]] = []
        rows: list[Features] = []
        empty: list[int] = []
        released: list[int] = []
        with self._database.read() as conn:
            spec_id = spec_ids(conn).get(spec)
            if spec_id is None:
                return StoredFeatures(id_array(()), unpack(spec, []), id_array(()), id_array(()))
            table = features_table(spec_id)
            query = select(table.c.image_id, table.c.vector).join_from(table, images, table.c.image_id == images.c.id)
            query = query.where(images.c.tenant_id == tenant_id).order_by(table.c.image_id)
            with conn.execute(query.execution_options(stream_results=True)) as result:
                for part in result.partitions(READ_BATCH):
                    full = [(id_, vector) for id_, vector in part if vector]
                    ids.append(id_array(id_ for id_, _ in full))
                    rows.append(unpack(spec, [vector for _, vector in full]))
                    empty += [id_ for id_, vector in part if vector is None]
                    released += [id_ for id_, vector in part if vector == RELEASED]
        return StoredFeatures(
            ids=np.concatenate(ids) if ids else id_array(()),
            features=np.concatenate(rows) if rows else unpack(spec, []),
            empty=id_array(empty),
            released=id_array(released),
        )

    def missing(
        self,
        spec: FeatureSpec,
        *,
        after_id: int = 0,
        through_id: int | None = None,
        limit: int = 1000,
        not_failed: str | None = None,
    ) -> list[Record]:
        """Images after this id, and up to `through_id`, with no row of a spec, not even an empty one, by id.

        `not_failed` names a pipeline: without the images that its backfill could not encode.
        """
        check_limit(limit)
        query = RECORD.where(images.c.id > after_id)
        if through_id is not None:
            query = query.where(images.c.id <= through_id)
        if not_failed is not None:
            query = query.where(failure_of(not_failed).is_(None))
        with self._database.read() as conn:
            query = query.where(*is_missing(spec_ids(conn).get(spec)))
            return [to_record(row) for row in conn.execute(query.order_by(images.c.id).limit(limit))]

    def clear(self, spec: FeatureSpec) -> None:
        """Delete all features of a spec, of a pipeline that no process uses any more; its table stays, empty.

        Archives whose members were encoded for it are read again when they are added again.
        """
        with self._database.read() as conn:
            spec_id = spec_ids(conn).get(spec)
        if spec_id is None:
            return
        table = features_table(spec_id)
        some = select(table.c.image_id).limit(CLEAR_BATCH).scalar_subquery()
        while not self._database.is_postgresql:  # in short transactions, between which others write
            with self._database.write() as conn:
                if conn.execute(delete(table).where(table.c.image_id.in_(some))).rowcount == 0:
                    break
        with self._database.write() as conn, without_timeouts(conn):
            if self._database.is_postgresql:
                conn.exec_driver_sql(f"TRUNCATE {table.name}")  # gives the space back at once
            conn.execute(delete(meta).where(meta.c.key == _meta_key(spec_id)))
            encoded = f"{spec.name} {spec.fingerprint}"
            for row in conn.execute(select(archives.c.tenant_id, archives.c.url, archives.c.encoded)).all():
                if encoded in row.encoded:
                    rest = [name for name in row.encoded if name != encoded]
                    own = (archives.c.tenant_id == row.tenant_id, archives.c.url == row.url)
                    conn.execute(update(archives).where(*own).values(encoded=rest))

    def keeper(self) -> FeatureKeeper:
        """What keeps the features: the catalog, or the engine."""
        with self._database.read() as conn:
            return feature_keeper(conn)

    def release(self, spec: FeatureSpec, through: int) -> int:
        """Delete features that every index of the spec has flushed, and return their number.

        An image that was changed after the sequence number `through` keeps its features. Raises BadInput in a catalog
        that keeps its features, and for a sequence number that was not given out yet.
        """
        with self._database.read() as conn:
            if feature_keeper(conn) != "engine":
                raise BadInput(
                    "this catalog keeps its features; create it with features=engine to leave them to the engine"
                )
            last = int(conn.execute(select(state.c.sequence)).scalar_one())
        if through > last:
            raise BadInput(f"features can be released up to sequence {last}, not {through}")
        number, reached = 0, -1
        while reached < through:
            released, reached = self._database.write_with_retry(lambda conn: _release_batch(conn, spec, through))
            number += released
        return number

    def released_through(self, spec: FeatureSpec) -> int:
        """Where features were released to, or 0; an index behind it lacks those that `only_in_engine` names."""
        with self._database.read() as conn:
            spec_id = spec_ids(conn).get(spec)
            return 0 if spec_id is None else _released_through(conn, spec_id)

    def only_in_engine(self, spec: FeatureSpec, after: int, limit: int) -> list[str]:
        """Keys of images changed after a sequence number whose features only the engine has, in this order."""
        check_limit(limit)
        with self._database.read() as conn:
            spec_id = spec_ids(conn).get(spec)
            if spec_id is None:
                return []
            table = features_table(spec_id)
            query = select(images.c.key).join_from(images, table, table.c.image_id == images.c.id)
            query = query.where(images.c.seq > after, table.c.vector == RELEASED).order_by(images.c.seq)
            return [str(key) for key in conn.execute(query.limit(limit)).scalars()]


def is_missing(spec_id: int | None) -> tuple[ColumnElement[bool], ...]:
    """The condition that an image has no row of a spec; none where no image has one."""
    if spec_id is None:
        return ()
    table = features_table(spec_id)
    # Looked up for one image after the other: a join might read every feature for a page.
    return (select(table.c.image_id).where(table.c.image_id == images.c.id).scalar_subquery().is_(None),)


def failure_of(pipeline: str) -> ScalarSelect[int]:
    """The failure of an image in the backfill of a pipeline, None where there is none."""
    f = backfill_failures.c
    return select(f.image_id).where(f.image_id == images.c.id, f.pipeline == pipeline).scalar_subquery()


def delete_features(conn: Connection, spec_ids: Iterable[int], ids: Sequence[int]) -> None:
    """Delete the features of images."""
    for spec_id in spec_ids:
        table = features_table(spec_id)
        for batch in batches(ids):
            conn.execute(delete(table).where(table.c.image_id.in_(batch)))


def insert_features(conn: Connection, spec: FeatureSpec, spec_id: int, rows: Sequence[tuple[int, FeatureRow]]) -> None:
    """Insert features (image id, row) of one spec."""
    blobs = iter(pack(spec, [row for _, row in rows if row is not None]))
    values = [[id_, None if row is None else next(blobs)] for id_, row in rows]
    insert_values(conn, features_table(spec_id), ("image_id", "vector"), values)


def _released_through(conn: Connection, spec_id: int) -> int:
    found = conn.execute(select(meta.c.value).where(meta.c.key == _meta_key(spec_id))).scalar_one_or_none()
    return int(found or 0)


def _meta_key(spec_id: int) -> str:
    return f"released:{spec_id}"


def _release_batch(conn: Connection, spec: FeatureSpec, through: int) -> tuple[int, int]:
    """Release the next images in the order of their changes; their number, and the sequence number reached."""
    spec_id = spec_ids(conn).get(spec)
    if spec_id is None:
        return 0, through
    start = _released_through(conn, spec_id)
    query = select(images.c.seq, images.c.id).where(images.c.seq > start, images.c.seq <= through)
    found = conn.execute(query.order_by(images.c.seq).limit(RELEASE_BATCH)).all()
    end = int(found[-1].seq) if len(found) == RELEASE_BATCH else max(through, start)
    # The engine has no longer the features of an image that changed before its row was locked.
    unchanged = [row.id for row in lock_images(conn, [row.id for row in found]).values() if row.sequence <= end]
    table = features_table(spec_id)
    number = 0
    for batch in batches(unchanged):
        held = (table.c.image_id.in_(batch), table.c.vector.is_not(None), table.c.vector != RELEASED)
        number += conn.execute(update(table).where(*held).values(vector=RELEASED)).rowcount
    lock_state(conn)
    end = max(end, _released_through(conn, spec_id))
    conn.execute(delete(meta).where(meta.c.key == _meta_key(spec_id)))
    conn.execute(insert(meta).values(key=_meta_key(spec_id), value=end))
    return number, end
