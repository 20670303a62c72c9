"""Writing rows in batches that Milvus takes, and keeping an id in one place."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from lookalike.errors import BadSetting
from lookalike.indexes.milvus.client import STRONG, MilvusGateway
from lookalike.indexes.milvus.collections import MAX_PARTITIONS, Collection
from lookalike.types import Features, FeatureSpec, Ids

MAX_ROWS = 2048
"""Rows in one request: 4 MB of 512 floats."""
MAX_BYTES = 16 << 20
"""Bytes in one request; a message of Milvus holds 64 MB."""
MAX_DELETED_IDS = 10_000
"""Ids in one request to delete."""

Row = Mapping[str, Any]


class Writer:
    """Writes to whichever collection it is given, and knows the partitions of the last one."""

    def __init__(self, server: MilvusGateway, spec: FeatureSpec) -> None:
        self._server = server
        self._spec = spec
        self._seconds = server.connection.bulk_timeout
        self._partitions: tuple[str, frozenset[str]] = ("", frozenset())

    def upsert(
        self,
        collection: Collection,
        ids: Ids,
        features: Features,
        tenants: Ids,
        attributes: Sequence[Mapping[str, str]],
    ) -> None:
        """Insert or replace checked rows."""
        rows: list[Row] = [
            {"id": id_, "tenant": tenant, "vector": vector, "attributes": kept}
            for id_, tenant, vector, kept in zip(ids.tolist(), tenants.tolist(), features, attributes, strict=True)
        ]
        for batch in _batches(rows, features.shape[1] * 4 if features.ndim == 2 else 0):
            if collection.tenants == "key":
                self._server.upsert(collection.name, batch, "", seconds=self._seconds)
            else:
                self._upsert_by_partition(collection, batch)

    def update_attributes(self, collection: Collection, attributes: Mapping[int, Mapping[str, str]]) -> None:
        """Give these ids, as far as there are rows of them, other attributes; vectors stay as they are."""
        wanted = list(attributes)
        size = max(1, min(MAX_ROWS, MAX_BYTES // (4 * self._spec.width)))
        for start in range(0, len(wanted), size):
            found = self._server.query(
                collection.name,
                f"id in {wanted[start : start + size]}",
                ["id", "tenant", "vector"],
                level=STRONG,
                seconds=self._seconds,
            )
            if found:
                ids, tenants = (np.array([row[name] for row in found], np.int64) for name in ("id", "tenant"))
                vectors = np.array([row["vector"] for row in found], np.float32)
                self.upsert(collection, ids, vectors, tenants, [attributes[row["id"]] for row in found])

    def delete(self, collection: Collection, ids: list[int]) -> None:
        """Forget ids, in all partitions."""
        for start in range(0, len(ids), MAX_DELETED_IDS):
            self._server.delete(collection.name, ids[start : start + MAX_DELETED_IDS], seconds=self._seconds)

    def count(self, collection: Collection, tenant: int | None) -> int:
        """Rows that searches see from now on."""
        if self.partitions_of(collection, tenant) == []:
            return 0
        filter = "id > 0" if tenant is None else f"tenant == {tenant}"
        found = self._server.query(collection.name, filter, ["count(*)"], level=STRONG, seconds=self._seconds)
        return int(found[0]["count(*)"])

    def partitions_of(self, collection: Collection, tenant: int | None) -> list[str] | None:
        """The partition of a tenant, none where it has no rows; None where partitions do not matter."""
        if collection.tenants == "key" or tenant is None:
            return None
        name = _partition_name(tenant)
        return [name] if name in self._partition_names(collection, name) else []

    def _upsert_by_partition(self, collection: Collection, batch: list[Row]) -> None:
        """Into each tenant's partition, after the ids were taken out of any other: there they would live on."""
        home = {row["id"]: row["tenant"] for row in batch}
        there = self._server.query(
            collection.name, f"id in {list(home)}", ["id", "tenant"], level=STRONG, seconds=self._seconds
        )
        self.delete(collection, [row["id"] for row in there if row["tenant"] != home[row["id"]]])
        for tenant in sorted(set(home.values())):
            partition = _partition_name(tenant)
            known = self._partition_names(collection, partition)
            if partition not in known:
                if len(known) > MAX_PARTITIONS:
                    raise BadSetting(
                        f"{self._server.connection.name}: more than {MAX_PARTITIONS} tenants do not fit into partitions of "
                        f"their own; give tenants=key in the address, and rebuild"
                    )
                self._server.create_partition(collection.name, partition)
                self._partitions = (collection.name, known | {partition})
            rows = [row for row in batch if row["tenant"] == tenant]
            self._server.upsert(collection.name, rows, partition, seconds=self._seconds)

    def _partition_names(self, collection: Collection, wanted: str) -> frozenset[str]:
        """The partitions there are, asked again where one is missing: another process may have made it."""
        name, known = self._partitions
        if name != collection.name or wanted not in known:
            known = frozenset(self._server.partitions(collection.name))
            self._partitions = (collection.name, known)
        return known


def _partition_name(tenant: int) -> str:
    return f"t{tenant}".replace("-", "_")


def _batches(rows: Sequence[Row], width: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        weight = width + 64 + sum(len(name) + len(value) + 6 for name, value in row["attributes"].items())
        if batch and (len(batch) == MAX_ROWS or size + weight > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch
