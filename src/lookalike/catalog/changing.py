"""The room of the catalog where images are put in, changed and deleted."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from lookalike.catalog import editing, writing
from lookalike.catalog.database import Database
from lookalike.catalog.records import Deleted, FileLocation, NewImage, PutResult
from lookalike.errors import BadInput
from lookalike.types import Attributes, Condition, FeatureSpec


class Changing(Database):
    """Putting in, changing, deleting: each method returns when its change is durable."""

    def put(self, entries: Sequence[NewImage]) -> list[PutResult]:
        """Insert images, or replace those of the same tenant and key; all of them or none.

        A replaced image keeps its id and its creation time. Its features are kept where the bytes are the same and
        the entry brings none of that spec, and forgotten where the bytes have changed. Raises NotFound for a tenant
        that does not exist, BadInput for cosine rows that are not finite and of unit length, Conflict for an entry
        whose image does not stand where it is `expected`.
        """
        if not entries:
            return []
        self._register(dict.fromkeys(spec for entry in entries for spec in entry.features))
        return self._change(lambda conn: writing.put(conn, entries))

    def put_features(
        self, spec: FeatureSpec, ids: Sequence[int], sha256s: Sequence[bytes], rows: Sequence[NDArray[Any] | None]
    ) -> list[int]:
        """Add the rows of a pipeline that came later; returns the ids written.

        An image that is gone by now, or whose digest is no longer the one encoded, is passed over.
        """
        if not len(ids) == len(sha256s) == len(rows):
            raise BadInput(f"{len(ids)} ids, {len(sha256s)} digests and {len(rows)} rows do not go together")
        self._register([spec])
        return self._change(lambda conn: writing.put_features(conn, spec, ids, sha256s, rows))

    def _register(self, wanted: Collection[FeatureSpec]) -> None:
        if not self._registered.issuperset(wanted):  # a spec that is there stays
            with self._write() as conn:
                writing.register_specs(conn, wanted)
            self._registered |= set(wanted)

    def update_file_locations(self, seen: Sequence[FileLocation]) -> None:
        """Note where unchanged files are now; this is no change to any index, and has no sequence number."""
        self._change(lambda conn: editing.update_file_locations(conn, seen))

    def set_attributes(
        self, tenant_id: int, key: str, attributes: Attributes, *, merge: bool = False, expected: int | None = None
    ) -> int:
        """Replace an image's attributes, or with `merge` only those named; returns the sequence number.

        Raises NotFound for an unknown key, BadInput for what is no JSON object, Conflict where the image does not
        stand at the `expected` sequence number.
        """
        return self._change(
            lambda conn: editing.set_attributes(conn, tenant_id, key, attributes, merge=merge, expected=expected)
        )

    def delete(self, tenant_id: int, keys: Iterable[str], *, expected: int | None = None) -> list[Deleted]:
        """Delete images for good, in the order of the keys; unknown keys are passed over.

        Raises Conflict, and deletes none, where one does not stand at the `expected` sequence number.
        """
        wanted = list(keys)
        return self._change(lambda conn: editing.delete_keys(conn, tenant_id, wanted, expected))

    def delete_by_filter(self, tenant_id: int, conditions: Sequence[Condition]) -> list[Deleted]:
        """Delete the images of a tenant that satisfy every condition; raises BadInput where none is given."""
        return self._change(lambda conn: editing.delete_by_filter(conn, tenant_id, conditions))
