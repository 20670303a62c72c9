"""The catalog as the rest of the program sees it: one object, safe to use from several threads."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, overload

from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select

from lookalike.catalog import dialect, editing, health, migrations, reading, replay, writing
from lookalike.catalog.schema import VERSION, images, meta, state, tenants
from lookalike.catalog.values import Changes, Deleted, Entry, Known, Put, Seen, Stored, Totals, Twin, storable
from lookalike.errors import BadInput, NotFound
from lookalike.types import Attributes, Condition, FeatureSpec, Ids, Record


class Catalog:
    """The truth of a gallery: pictures, digests, attributes, features, and every change in order.

    Every method is one transaction; one that changes something returns when the change is durable. Readers see a
    moment of the past and never wait for a writer. Methods raise Damaged for a broken file, GalleryBusy while another
    process writes for longer than `busy_seconds`, Unavailable where the database does not answer. Lists may be of any
    length; they are cut into statements as the database takes them.
    """

    def __init__(self, engine: Engine, where: str, *, read_only: bool) -> None:
        self._engine = engine
        self._reads = dialect.reading(engine)
        self._writes = dialect.writing(engine)
        self._where = where
        self._read_only = read_only
        self._closed = False
        self._one_writer = threading.Lock()  # threads queue here, more fairly than the database's busy waiting

    @classmethod
    def open(
        cls, target: str | Path, *, create: bool = False, read_only: bool = False, busy_seconds: float = 10.0
    ) -> Self:
        """Open a file or URL; `create` makes the catalog where there is none, an older schema is migrated.

        Raises NotFound where there is none, BadInput for another database or a newer schema, BadSetting for a URL
        that makes no sense, Damaged for a broken file.
        """
        if create and read_only:
            raise BadInput("a catalog is created or opened read-only, not both")
        engine = dialect.connect(target, create=create, read_only=read_only, busy_seconds=busy_seconds)
        where = dialect.shown(target)
        catalog = cls(engine, where, read_only=read_only)
        try:
            catalog._set_up(create=create)
        except BaseException:
            engine.dispose()
            raise
        return catalog

    def _set_up(self, *, create: bool) -> None:
        with self._read() as conn:
            found = migrations.version_of(conn)
        if found == VERSION:
            return
        if self._read_only or (not create and found is None):
            migrations.check_version(found)
        else:
            with self._write() as conn:
                found = migrations.version_of(conn)  # another process may have been faster
                if found is None:
                    migrations.create(conn)
                else:
                    migrations.migrate(conn, found)

    def close(self) -> None:
        """Release the file; closing twice is harmless."""
        self._closed = True
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Catalog({self._where!r})"

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        self._check_open()
        with dialect.translated(self._where), self._reads.connect() as conn:
            yield conn

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._check_open()
        if self._read_only:
            raise BadInput(f"the catalog {self._where} was opened read-only")
        with self._one_writer, dialect.translated(self._where), self._writes.begin() as conn:
            yield conn

    def _check_open(self) -> None:
        if self._closed:
            raise BadInput(f"the catalog {self._where} is closed")

    # Gallery, tenants and specs

    def gallery(self) -> str:
        """The gallery's own name for indexes on servers: 12 hexadecimal digits, the same on every host."""
        with self._read() as conn:
            return str(conn.execute(select(meta.c.value).where(meta.c.key == "gallery")).scalar_one())

    @overload
    def tenant_id(self, name: str, *, create: Literal[True]) -> int: ...
    @overload
    def tenant_id(self, name: str, *, create: bool = False) -> int | None: ...
    def tenant_id(self, name: str, *, create: bool = False) -> int | None:
        """The id of a tenant; None where there is none and none is to be made."""
        with self._read() as conn:
            query = select(tenants.c.id).where(tenants.c.name == name)
            found = conn.execute(query).scalar_one_or_none() if storable(name) else None
        if found is not None or not create:
            return None if found is None else int(found)
        with self._write() as conn:
            return writing.register_tenant(conn, name)

    def tenants(self) -> dict[str, int]:
        """Every tenant's id, by name."""
        with self._read() as conn:
            return {row[0]: row[1] for row in conn.execute(select(tenants.c.name, tenants.c.id)).all()}

    def specs(self) -> list[FeatureSpec]:
        """The specs that features were ever stored for, oldest first."""
        with self._read() as conn:
            return list(reading.specs(conn))

    # Changing

    def put(self, entries: Sequence[Entry]) -> list[Put]:
        """Insert pictures, or replace those of the same tenant and key; all of them or none.

        A replaced picture keeps its id and its creation time. Its features are kept where the bytes are the same and
        the entry brings none of that spec, and forgotten where the bytes have changed. Raises NotFound for a tenant
        that does not exist, BadInput for cosine rows that are not finite and of unit length.
        """
        if not entries:
            return []
        with self._write() as conn:
            return writing.put(conn, entries)

    def put_features(
        self, spec: FeatureSpec, ids: Sequence[int], sha256s: Sequence[bytes], rows: Sequence[NDArray[Any] | None]
    ) -> list[int]:
        """Add the rows of a pipeline that came later; returns the ids written.

        A picture that is gone by now, or whose digest is no longer the one encoded, is passed over.
        """
        if not len(ids) == len(sha256s) == len(rows):
            raise BadInput(f"{len(ids)} ids, {len(sha256s)} digests and {len(rows)} rows do not go together")
        with self._write() as conn:
            return writing.put_features(conn, spec, ids, sha256s, rows)

    def touch(self, seen: Sequence[Seen]) -> None:
        """Note where unchanged files are now; this is no change to any index, and has no sequence number."""
        with self._write() as conn:
            editing.touch(conn, seen)

    def set_attributes(self, tenant_id: int, key: str, attributes: Attributes, *, merge: bool = False) -> int:
        """Replace a picture's attributes, or with `merge` only those named; returns the sequence number.

        Raises NotFound for an unknown key, BadInput for what is no JSON object.
        """
        with self._write() as conn:
            return editing.set_attributes(conn, tenant_id, key, attributes, merge=merge)

    def delete(self, tenant_id: int, keys: Iterable[str]) -> list[Deleted]:
        """Delete pictures for good, in the order of the keys; unknown keys are passed over."""
        with self._write() as conn:
            return editing.delete_keys(conn, tenant_id, keys)

    def delete_where(self, tenant_id: int, conditions: Sequence[Condition]) -> list[Deleted]:
        """Delete the pictures of a tenant that satisfy every condition; raises BadInput where none is given."""
        with self._write() as conn:
            return editing.delete_where(conn, tenant_id, conditions)

    # Looking up

    def known(self, tenant_id: int, keys: Iterable[str]) -> dict[str, Known]:
        """What tells whether files have changed, by key; unknown keys are left out."""
        with self._read() as conn:
            return reading.known(conn, tenant_id, keys)

    def twins(self, tenant_id: int, sha256s: Iterable[bytes]) -> dict[bytes, Twin]:
        """By digest, the tenant's picture of the lowest id with these bytes."""
        with self._read() as conn:
            return reading.twins(conn, tenant_id, sha256s)

    def get(self, tenant_id: int, key: str) -> Record:
        """The picture of a key; raises NotFound."""
        with self._read() as conn:
            found = reading.record(conn, tenant_id, key)
        if found is None:
            raise NotFound(f"there is no picture {key!r}")
        return found

    def records(self, ids: Iterable[int]) -> dict[int, Record]:
        """Pictures by id; ids that are gone are left out."""
        with self._read() as conn:
            return reading.records(conn, ids)

    def by_digest(
        self,
        kind: Literal["sha256", "pixels"],
        tenant_id: int | None,
        digests: Iterable[bytes],
        *,
        conditions: Sequence[Condition] = (),
        limit: int | None = None,
    ) -> dict[bytes, list[Record]]:
        """Pictures with these bytes or pixels that satisfy every condition, by digest; tenant None searches all.

        Each list is by id and no longer than `limit`: one picture may be in a catalog a million times.
        """
        with self._read() as conn:
            return reading.by_digest(conn, images.c[kind], digests, tenant_id, conditions, limit)

    def ids_where(self, tenant_id: int | None, conditions: Sequence[Condition]) -> Ids:
        """The ids, ascending, of pictures that satisfy every condition; `catalog.filters` says what they mean."""
        with self._read() as conn:
            return reading.ids_where(conn, tenant_id, conditions)

    def browse(
        self, tenant_id: int, *, after: str | None = None, limit: int = 1000, conditions: Sequence[Condition] = ()
    ) -> list[Record]:
        """Up to `limit` pictures by key (code point order); the last key is the next call's `after`."""
        _check_limit(limit)
        with self._read() as conn:
            return reading.browse(conn, tenant_id, after, limit, conditions)

    def count(self, tenant_id: int | None = None) -> int:
        """How many pictures there are."""
        with self._read() as conn:
            return reading.count(conn, tenant_id)

    def totals(self, tenant_id: int | None = None) -> Totals:
        """Pictures and bytes, in all and by format."""
        with self._read() as conn:
            return reading.totals(conn, tenant_id)

    # For indexes

    def sequence(self) -> int:
        """The number of the last change; 0 for a new catalog."""
        with self._read() as conn:
            return int(conn.execute(select(state.c.sequence)).scalar_one())

    def pruned(self) -> int:
        """Deletions up to this number are forgotten: an index between 0 and this must be cleared and replayed."""
        with self._read() as conn:
            return int(conn.execute(select(state.c.pruned)).scalar_one())

    def changes(self, spec: FeatureSpec, since: int, limit: int, *, attributes: bool = False) -> Changes:
        """Up to `limit` changes after `since`, in order, as an index of this spec must apply them.

        Features come as `at_storage_precision` gives them. A picture with no meaningful feature, or none yet, is among
        the deletes. `attributes` brings them along, for engines that filter by themselves.
        """
        _check_limit(limit)
        with self._read() as conn:
            return replay.changes(conn, spec, since, limit, attributes=attributes)

    def features_of(self, spec: FeatureSpec, ids: Iterable[int]) -> Stored:
        """The stored features of pictures, as `at_storage_precision` gives them."""
        with self._read() as conn:
            return reading.features_of(conn, spec, ids)

    def missing(self, spec: FeatureSpec, *, after_id: int = 0, limit: int = 1000) -> list[Record]:
        """Up to `limit` pictures that were never encoded for this spec, by id."""
        _check_limit(limit)
        with self._read() as conn:
            return reading.missing(conn, spec, after_id, limit)

    def prune_deletions(self, through: int) -> None:
        """Forget deletions up to a sequence number that every index has flushed."""
        with self._write() as conn:
            editing.prune_deletions(conn, through)

    # Health

    def check(self) -> None:
        """Read everything and verify it; raises Damaged with what was found. Reads the whole file: takes a while."""
        with self._read() as conn:
            health.check(conn, self._where)

    def checkpoint(self) -> None:
        """Empty the write-ahead log into the file, so that the file alone can be copied."""
        self._check_open()
        with self._one_writer, dialect.translated(self._where):
            dialect.checkpoint(self._engine)

    def vacuum(self) -> None:
        """Give the room of deleted pictures back to the disk; rewrites the file."""
        self._check_open()
        with self._one_writer, dialect.translated(self._where):
            dialect.vacuum(self._engine)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise BadInput(f"a limit of {limit} makes no sense; 1 is the least")
