"""Putting pictures in: every function works inside one transaction that its caller has opened for writing."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from lookalike.catalog.dialect import insert_rows
from lookalike.catalog.reading import batches, specs
from lookalike.catalog.schema import features_table, fingerprints, images, state, tenants
from lookalike.catalog.thumbnails import replace
from lookalike.catalog.values import Entry, Put, check_expected, check_text
from lookalike.catalog.vectors import pack
from lookalike.errors import NotFound
from lookalike.types import FeatureSpec

Vector = NDArray[Any] | None


@dataclass(slots=True)
class Counters:
    """The sequence number and the id given out last; locked until the transaction ends."""

    sequence: int
    last_id: int

    def next_seq(self) -> int:
        """A new sequence number."""
        self.sequence += 1
        return self.sequence

    def next_id(self) -> int:
        """A new id, never given before."""
        self.last_id += 1
        return self.last_id


def lock(conn: Connection) -> Counters:
    """Take the one lock of all writers (SQLite has taken its own when the transaction began)."""
    sequence, last_id = conn.execute(select(state.c.sequence, state.c.last_id).with_for_update()).one()
    return Counters(int(sequence), int(last_id))


def save(conn: Connection, counters: Counters) -> None:
    """Write the counters back."""
    conn.execute(update(state).values(sequence=counters.sequence, last_id=counters.last_id))


def register_tenant(conn: Connection, name: str) -> int:
    """The id of a tenant, made where there is none."""
    check_text("tenant", name)
    lock(conn)
    found = conn.execute(select(tenants.c.id).where(tenants.c.name == name)).scalar_one_or_none()
    if found is None:
        found = conn.execute(insert(tenants).values(name=name).returning(tenants.c.id)).scalar_one()
    return int(found)


def register_specs(conn: Connection, wanted: Iterable[FeatureSpec]) -> dict[FeatureSpec, int]:
    """The ids of all specs, those made that are not there yet, with their tables."""
    there = specs(conn)
    for spec in wanted:
        if spec not in there:
            row = insert(fingerprints).values(
                name=spec.name, metric=spec.metric, width=spec.width, fingerprint=spec.fingerprint
            )
            there[spec] = int(conn.execute(row.returning(fingerprints.c.id)).scalar_one())
            features_table(there[spec]).create(conn)
    return there


def put(conn: Connection, entries: Sequence[Entry]) -> list[Put]:
    """Insert or replace; where a tenant and key come twice, the later one replaces the earlier."""
    counters = lock(conn)
    of = register_specs(conn, {spec for entry in entries for spec in entry.features})
    done: list[Put] = []
    start = 0
    while start < len(entries):
        seen: set[tuple[int, str]] = set()
        end = start
        while end < len(entries) and (place := (entries[end].tenant_id, entries[end].key)) not in seen:
            seen.add(place)
            end += 1
        done.extend(_put_distinct(conn, entries[start:end], counters, of))
        start = end
    save(conn, counters)
    return done


def _put_distinct(
    conn: Connection, entries: Sequence[Entry], counters: Counters, of: dict[FeatureSpec, int]
) -> list[Put]:
    there = _existing(conn, entries)
    now = time.time()
    done: list[Put] = []
    new: list[dict[str, Any]] = []
    replaced: list[dict[str, Any]] = []
    stale: list[int] = []
    for entry in entries:
        old = there.get((entry.tenant_id, entry.key))
        check_expected(entry.key, entry.expected, None if old is None else old[2])
        id_ = counters.next_id() if old is None else old[0]
        values = _values(entry, counters.next_seq(), now)
        done.append(Put(id_, values["seq"], created=old is None))
        if old is None:
            new.append({**values, "id": id_, "created": now, "attributes": dict(entry.attributes or {})})
            continue
        if entry.attributes is not None:
            values["attributes"] = dict(entry.attributes)
        replaced.append({**values, "the_id": id_})
        if old[1] != entry.sha256:
            stale.append(id_)  # features of the old bytes, also of pipelines that this entry knows nothing of
    insert_rows(conn, images, new)
    update_images(conn, [row for row in replaced if "attributes" in row])
    update_images(conn, [row for row in replaced if "attributes" not in row])
    _forget_features(conn, of.values(), stale)
    replace(conn, stale, [(p.id, e.thumbnail) for e, p in zip(entries, done, strict=True) if e.thumbnail is not None])
    _write_features(conn, entries, done, of)
    return _copy_features(conn, entries, done, of.values())


def _existing(conn: Connection, entries: Sequence[Entry]) -> dict[tuple[int, str], tuple[int, bytes, int]]:
    """Id, digest and sequence number by tenant and key."""
    keys: dict[int, list[str]] = {}
    for entry in entries:
        keys.setdefault(entry.tenant_id, []).append(entry.key)
    known_tenants = set(conn.execute(select(tenants.c.id).where(tenants.c.id.in_(keys))).scalars())
    if unknown := keys.keys() - known_tenants:
        raise NotFound(f"there is no tenant {min(unknown)}; make it with tenant_id(name, create=True)")
    found: dict[tuple[int, str], tuple[int, bytes, int]] = {}
    for tenant_id, mine in keys.items():
        for some in batches(mine):
            query = select(images.c.key, images.c.id, images.c.sha256, images.c.seq)
            for key, *row in conn.execute(query.where(images.c.tenant_id == tenant_id, images.c.key.in_(some))):
                found[tenant_id, key] = (row[0], row[1], row[2])
    return found


def _values(entry: Entry, seq: int, now: float) -> dict[str, Any]:
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


def _forget_features(conn: Connection, fingerprint_ids: Iterable[int], ids: Sequence[int]) -> None:
    for fingerprint_id in fingerprint_ids:
        table = features_table(fingerprint_id)
        for some in batches(ids):
            conn.execute(delete(table).where(table.c.image_id.in_(some)))


def _write_features(
    conn: Connection, entries: Sequence[Entry], places: Sequence[Put], of: dict[FeatureSpec, int]
) -> None:
    columns: dict[FeatureSpec, list[tuple[int, Vector]]] = {}
    for entry, place in zip(entries, places, strict=True):
        for spec, row in entry.features.items():
            columns.setdefault(spec, []).append((place.id, row))
    old = {place.id for place in places if not place.created}
    for spec, rows in columns.items():
        _forget_features(conn, [of[spec]], [id_ for id_, _ in rows if id_ in old])
        _insert_features(conn, spec, of[spec], rows)


def _insert_features(
    conn: Connection, spec: FeatureSpec, fingerprint_id: int, rows: Sequence[tuple[int, Vector]]
) -> None:
    blobs = iter(pack(spec, [row for _, row in rows if row is not None]))
    values = [{"image_id": id_, "vector": None if row is None else next(blobs)} for id_, row in rows]
    insert_rows(conn, features_table(fingerprint_id), values)


def _copy_features(
    conn: Connection, entries: Sequence[Entry], places: list[Put], fingerprint_ids: Iterable[int]
) -> list[Put]:
    """Take features over from pictures with the same bytes, exactly as they are stored."""
    wanted = [(number, entry) for number, entry in enumerate(entries) if entry.copy_of is not None]
    if not wanted:
        return places
    digests: dict[int, bytes] = {}
    for some in batches({entry.copy_of for _, entry in wanted}):
        found = conn.execute(select(images.c.id, images.c.sha256).where(images.c.id.in_(some)))
        digests.update((id_, sha256) for id_, sha256 in found)
    pairs: list[dict[str, Any]] = []
    for number, entry in wanted:
        place = places[number]
        if digests.get(entry.copy_of or 0) != entry.sha256:
            places[number] = place._replace(copied=False)
        elif entry.copy_of != place.id:
            pairs.append({"to": place.id, "source": entry.copy_of})
    if pairs:
        _forget_features(conn, fingerprint_ids, [pair["to"] for pair in pairs])
        for fingerprint_id in fingerprint_ids:
            table = features_table(fingerprint_id)
            rows = select(bindparam("to"), table.c.vector).where(table.c.image_id == bindparam("source"))
            conn.execute(insert(table).from_select(["image_id", "vector"], rows), pairs)
    return places


def put_features(
    conn: Connection, spec: FeatureSpec, ids: Sequence[int], sha256s: Sequence[bytes], rows: Sequence[Vector]
) -> list[int]:
    """Add the rows of a pipeline to stored pictures; passes over those gone or changed, returns the ids written."""
    counters = lock(conn)
    fingerprint_id = register_specs(conn, [spec])[spec]
    same: set[tuple[int, bytes]] = set()
    for some in batches(ids):
        found = conn.execute(select(images.c.id, images.c.sha256).where(images.c.id.in_(some)))
        same.update((id_, sha256) for id_, sha256 in found)
    kept = {id_: row for id_, sha256, row in zip(ids, sha256s, rows, strict=True) if (id_, sha256) in same}
    if kept:
        _forget_features(conn, [fingerprint_id], list(kept))
        _insert_features(conn, spec, fingerprint_id, list(kept.items()))
        update_images(conn, [{"the_id": id_, "seq": counters.next_seq()} for id_ in kept])
        save(conn, counters)
    return list(kept)
