"""Writes in batches that Milvus accepts, with each id in one partition only."""

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
"""Bytes in one request; Milvus accepts messages of 64 MB."""
MAX_DELETED_IDS = 10_000
"""Ids in one request to delete."""

Row = Mapping[str, Any]
StoredAttributes = Mapping[str, str]


class Writer:
    """Writes to a given collection; caches the partition names of the last one."""

    def __init__(self, server: MilvusGateway, spec: FeatureSpec) -> None:
        self._server = server
        self._spec = spec
        self._seconds = server.connection.bulk_timeout
        self._partitions: tuple[str, frozenset[str]] = ("", frozenset())

    def upsert(
        self, collection: Collection, ids: Ids, features: Features, tenants: Ids, attributes: Sequence[StoredAttributes]
    ) -> None:
        rows: list[Row] = [
            {"id": id_, "tenant": tenant, "vector": vector, "attributes": kept}
            for id_, tenant, vector, kept in zip(ids.tolist(), tenants.tolist(), features, attributes, strict=True)
        ]
        for batch in _batches(rows, 4 * self._spec.width):
            if collection.tenants == "key":
                self._server.upsert(collection.name, batch, "", seconds=self._seconds)
            else:
                self._upsert_by_partition(collection, batch)

    def update_attributes(self, collection: Collection, attributes: Mapping[int, StoredAttributes]) -> None:
        """Replace the attributes of these ids by reading rows and writing them again; unknown ids are ignored."""
        all_ids = list(attributes)
        size = max(1, min(MAX_ROWS, MAX_BYTES // (4 * self._spec.width)))
        for start in range(0, len(all_ids), size):
            found = self._read(collection, f"id in {all_ids[start : start + size]}", "id", "tenant", "vector")
            if found:
                ids, tenants = (np.array([row[name] for row in found], np.int64) for name in ("id", "tenant"))
                vectors = np.array([row["vector"] for row in found], np.float32)
                self.upsert(collection, ids, vectors, tenants, [attributes[row["id"]] for row in found])

    def delete(self, collection: Collection, ids: list[int]) -> None:
        for start in range(0, len(ids), MAX_DELETED_IDS):
            self._server.delete(collection.name, ids[start : start + MAX_DELETED_IDS], seconds=self._seconds)

    def count(self, collection: Collection, tenant: int | None) -> int:
        """Number of rows, strongly consistent."""
        if self.partitions_of(collection, tenant) == []:
            return 0
        filter = "id > 0" if tenant is None else f"tenant == {tenant}"
        return int(self._read(collection, filter, "count(*)")[0]["count(*)"])

    def partitions_of(self, collection: Collection, tenant: int | None) -> list[str] | None:
        """The partition of a tenant, an empty list if it has no rows; None to search all partitions."""
        if collection.tenants == "key" or tenant is None:
            return None
        name = _partition_name(tenant)
        return [name] if name in self._partition_names(collection, name) else []

    def _read(self, collection: Collection, filter: str, *fields: str) -> list[dict[str, Any]]:
        return self._server.query(collection.name, filter, list(fields), level=STRONG, seconds=self._seconds)

    def _upsert_by_partition(self, collection: Collection, batch: list[Row]) -> None:
        """Upsert into each tenant's partition, after deleting the ids from other partitions, where they would stay."""
        new_tenant = {row["id"]: row["tenant"] for row in batch}
        stored = self._read(collection, f"id in {list(new_tenant)}", "id", "tenant")
        self.delete(collection, [row["id"] for row in stored if row["tenant"] != new_tenant[row["id"]]])
        for tenant in sorted(set(new_tenant.values())):
            partition = _partition_name(tenant)
            known = self._partition_names(collection, partition)
            if partition not in known:
                if len(known) > MAX_PARTITIONS:
                    raise BadSetting(
                        f"{self._server.connection.name}: tenants=partitions is limited to {MAX_PARTITIONS} tenants; "
                        f"set tenants=key in the address, and rebuild the index"
                    )
                self._server.create_partition(collection.name, partition)
                self._partitions = (collection.name, known | {partition})
            rows = [row for row in batch if row["tenant"] == tenant]
            self._server.upsert(collection.name, rows, partition, seconds=self._seconds)

    def _partition_names(self, collection: Collection, required: str) -> frozenset[str]:
        """The cached partition names, reloaded if `required` is missing: another process may have created it."""
        name, known = self._partitions
        if name != collection.name or required not in known:
            known = frozenset(self._server.partitions(collection.name))
            self._partitions = (collection.name, known)
        return known


def _partition_name(tenant: int) -> str:
    return f"t{tenant}".replace("-", "_")


def _batches(rows: Sequence[Row], vector_bytes: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        row_bytes = vector_bytes + 64 + sum(len(name) + len(value) + 6 for name, value in row["attributes"].items())
        if batch and (len(batch) == MAX_ROWS or size + row_bytes > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_bytes
    if batch:
        yield batch
