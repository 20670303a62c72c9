"""Client of one Milvus, on a server or in a file: timeouts, circuit breaker, and translation of failures.

The only module that uses pymilvus (which takes a second to import).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient  # type: ignore[import-untyped]
from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]

from lookalike.errors import BadSetting, LookalikeError, Unavailable, UnsupportedQuery
from lookalike.indexes.circuit_breaker import CircuitBreaker
from lookalike.indexes.milvus.config import Connection, Settings
from lookalike.types import Features, FeatureSpec, Ids

ConsistencyLevel = str
STRONG: ConsistencyLevel = "Strong"
"""A search waits until all earlier writes are visible: up to the server's time tick, 200 ms."""
BOUNDED: ConsistencyLevel = "Bounded"
"""A search does not wait, and may miss the writes of the last seconds (the server's gracefulTime, 5 s)."""

MAX_LIMIT = 16_384
"""Rows that any version of Milvus returns for one query."""
PREFIX = "lookalike."
"""Prefix of our collection properties, set at creation: 2.3 loses later changes of properties when it restarts."""
_NOT_FOUND_PHRASES = ("not found", "not exist", "can't find")
_DENIED_PHRASES = ("auth check failure", "unauthenticated", "permission deny", "permission denied", "invalid token")
_INVALID_FILTER_PHRASES = ("cannot parse expression", "failed to create query plan", "invalid expression", "at column ")
_POLL_SECONDS = 0.05
_LITE_LOCK = threading.RLock()  # starting Milvus Lite and changing its aliases is not thread-safe

logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs every error, with a traceback, before raising it


class IndexNotFound(LookalikeError):
    """A collection, partition or alias does not exist; never leaves this package."""


@dataclass(frozen=True, slots=True)
class Hits:
    """The hits of one query, best first: ids, similarities, and `vectors` (n, width) if requested.

    `full` means that the limit was reached, so there may be more.
    """

    ids: Ids
    scores: NDArray[np.float32]
    vectors: Features | None
    full: bool


class MilvusGateway:
    """A connection to Milvus, opened on first use. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._circuit = CircuitBreaker(connection.name)
        self._client_lock = _LITE_LOCK if connection.lite else nullcontext()
        self._lock = threading.Lock()
        self._client: Any = None

    def version(self) -> str:
        """The server's version, such as `v2.3.5`."""
        return str(self._call("version", "get_server_version"))

    def check_database(self) -> None:
        """Raise BadSetting if the database does not exist: old servers silently use another."""
        database = self.connection.database
        if database and database not in self._call("databases", "list_databases"):
            raise BadSetting(f"{self.connection.name}: there is no database {database!r}; create it, or name another")

    def collections(self) -> list[str]:
        return list(self._call("list", "list_collections"))

    def alias_target(self, alias: str) -> str | None:
        """The collection that an alias points to; None if there is no such alias."""
        try:
            return str(self._call("alias", "describe_alias", alias)["collection_name"])
        except IndexNotFound:
            return None

    def describe(self, name: str) -> Mapping[str, Any]:
        """A collection's schema and properties; raises IndexNotFound."""
        found: Mapping[str, Any] = self._call("describe", "describe_collection", name)
        return found

    def describe_index(self, name: str) -> Mapping[str, Any]:
        """Type, metric and build progress of the vector index."""
        found: Mapping[str, Any] | None = self._call("index", "describe_index", name, "vector")
        return found or {}

    def await_index(self, name: str, rows: int, seconds: float) -> None:
        """Wait until `rows` rows are indexed, however long it takes: segments are merged and indexed again.

        Raises Unavailable if there is no progress for `seconds`. The state alone is not enough: a server reports
        "Finished" with 0 rows before it sees the sealed segments.
        """

        def progress() -> tuple[int, int] | None:
            state = self.describe_index(name)
            done, pending = int(state.get("indexed_rows") or 0), int(state.get("pending_index_rows") or 0)
            finished = state.get("state") == "Finished" and done >= rows and not pending
            return None if finished else (done, pending)

        self._wait_until_done(progress, f"indexing {name}", seconds)

    def create(
        self, name: str, spec: FeatureSpec, *, buckets: int | None, shards: int, properties: Mapping[str, str]
    ) -> None:
        """Create an empty collection, with the tenant as partition key in `buckets`, or as a plain field for None."""
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("tenant", DataType.INT64, is_partition_key=buckets is not None)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=spec.width)
        schema.add_field("attributes", DataType.JSON)
        options: dict[str, Any] = {} if buckets is None else {"num_partitions": buckets}
        options |= {"num_shards": shards, "properties": {PREFIX + name: value for name, value in properties.items()}}
        self._call("create", "create_collection", name, schema=schema, consistency_level=BOUNDED, **options)

    def create_index(self, name: str, index_type: str, parameters: Mapping[str, int]) -> None:
        """Define the vector index of an empty collection."""
        index = MilvusClient.prepare_index_params()
        index.add_index("vector", index_type=index_type, metric_type="IP", params=dict(parameters))
        self._call("index", "create_index", name, index, sync=False)

    def load(self, name: str, *, replicas: int, seconds: float) -> None:
        """Load a collection into the query nodes' memory, and wait for it."""
        options = {} if self.connection.lite else {"_async": True}
        self._call("load", "load_collection", name, replica_number=replicas, **options)
        self._wait_until_done(lambda: None if self.is_loaded(name) else (), f"loading {name}", seconds)

    def is_loaded(self, name: str) -> bool:
        return str(self._call("load state", "get_load_state", name)["state"].name) == "Loaded"

    def release(self, name: str) -> None:
        self._call("release", "release_collection", name)

    def seal(self, name: str, *, seconds: float) -> None:
        """Seal the growing segments (Milvus' flush), so that they are indexed. Takes seconds: for large batches."""
        self._call("flush", "flush", name, seconds=seconds)

    def drop(self, name: str) -> None:
        """Drop a collection, to which no alias may point."""
        self._call("drop", "drop_collection", name)

    def set_alias(self, alias: str, name: str, *, new: bool) -> None:
        """Point an alias, `new` or existing, to a collection."""
        self._call("alias", "create_alias" if new else "alter_alias", name, alias)

    def drop_alias(self, alias: str) -> None:
        self._call("alias", "drop_alias", alias)

    def partitions(self, name: str) -> set[str]:
        return set(self._call("partitions", "list_partitions", name))

    def create_partition(self, name: str, partition: str) -> None:
        """Create a partition, which is loaded with its collection."""
        self._call("partition", "create_partition", name, partition)

    def upsert(self, name: str, rows: Sequence[Mapping[str, Any]], partition: str, *, seconds: float) -> None:
        """Insert rows, or replace those with the same ids in a partition ("": determined by the partition key)."""
        self._call("upsert", "upsert", name, rows, partition_name=partition, seconds=seconds)

    def delete(self, name: str, ids: list[int], *, seconds: float) -> None:
        self._call("delete", "delete", name, ids=ids, seconds=seconds)

    def query(
        self,
        name: str,
        filter: str,
        fields: list[str],
        *,
        level: ConsistencyLevel,
        partitions: list[str] | None = None,
        seconds: float = 0.0,
    ) -> list[dict[str, Any]]:
        """The rows that pass an expression, in all or some partitions, unordered; at most `MAX_LIMIT`."""
        options: dict[str, Any] = {} if "count(*)" in fields else {"limit": MAX_LIMIT}
        options |= {"consistency_level": level, "partition_names": partitions, "seconds": seconds}
        return list(self._call("query", "query", name, filter=filter, output_fields=fields, **options))

    def search(
        self,
        name: str,
        queries: Features,
        limit: int,
        filter: str,
        parameters: Mapping[str, int],
        *,
        level: ConsistencyLevel,
        partitions: list[str] | None,
        vectors: bool,
    ) -> list[Hits]:
        """The rows with the largest inner products for each query."""
        answers = self._call(
            *("search", "search", name),
            data=queries,
            anns_field="vector",
            limit=limit,
            filter=filter,
            output_fields=["vector"] if vectors else ["id"],  # with no field, Lite returns all of them
            search_params={"metric_type": "IP", "params": dict(parameters)},
            partition_names=partitions,
            consistency_level=level,
        )
        return [_parse_hits(hits, limit, queries.shape[1], vectors) for hits in answers]

    def _wait_until_done(self, progress: Callable[[], tuple[int, ...] | None], what: str, seconds: float) -> None:
        """Poll `progress` until it is None; raises Unavailable if it does not change for `seconds`."""
        last = progress()
        deadline = time.monotonic() + seconds
        while last is not None:
            time.sleep(_POLL_SECONDS)
            current = progress()
            if current != last:
                last, deadline = current, time.monotonic() + seconds
            elif time.monotonic() > deadline:
                raise Unavailable(f"{what} made no progress for {seconds:g} s on {self.connection.name}")

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            with self._client_lock:
                client.close()

    def _call(self, what: str, method: str, *arguments: Any, seconds: float = 0.0, **options: Any) -> Any:
        """Call a method of the client with a timeout; `what` names the request in errors."""
        with self._circuit, self._client_lock:
            try:
                request = getattr(self._connect(), method)
                return request(*arguments, timeout=seconds or self.connection.timeout, **options)
            except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError) as error:
                raise _translate_error(self.connection, what, error) from error

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                to = self.connection
                credentials = {"user": to.user, "password": to.password, "token": to.token}
                with self._client_lock:
                    self._client = MilvusClient(uri=to.uri, timeout=to.timeout, db_name=to.database, **credentials)
            return self._client


def _parse_hits(hits: Any, limit: int, width: int, vectors: bool) -> Hits:
    ids = np.array(hits.ids, np.int64)
    images = ids > 0  # id 0 is the state row (see `collections`)
    rows = np.array([hit["entity"]["vector"] for hit in hits], np.float32).reshape(-1, width) if vectors else None
    scores = np.array(hits.distances, np.float32)[images]
    return Hits(ids[images], scores, None if rows is None else rows[images], len(ids) == limit)


def _translate_error(connection: Connection, what: str, error: Exception) -> LookalikeError:
    """The error of our hierarchy for a failed request, on one line and without secrets."""
    code, reason = None, str(getattr(error, "message", "") or error)
    cause = error if isinstance(error, grpc.RpcError) else error.__cause__  # a failed connection hides the reason
    if isinstance(cause, grpc.RpcError) and hasattr(cause, "code"):
        code, reason = cause.code(), f"{cause.code().name.lower()}: {cause.details()}"
    for secret in (connection.password, connection.token):
        reason = reason.replace(secret, "***") if secret else reason
    reason, lower = reason.splitlines()[0][:300] if reason else type(error).__name__, reason.lower()

    def mentions(phrases: Sequence[str]) -> bool:
        return any(phrase in lower for phrase in phrases)

    name = connection.name
    if code == grpc.StatusCode.UNAUTHENTICATED or mentions(_DENIED_PHRASES):
        return BadSetting(f"{name} rejects user, password or token ({reason}); set them in the index's address")
    if "open local milvus failed" in lower:
        return Unavailable(
            f"{name} cannot be opened ({reason}): the folder must exist, and only one process at a time may open the "
            f"file; for several, use a Milvus server (milvus://host:19530)"
        )
    if mentions(_NOT_FOUND_PHRASES) and mentions(("collection", "alias", "partition")):
        return IndexNotFound(f"{name}: {reason}")
    if mentions(_INVALID_FILTER_PHRASES):
        return UnsupportedQuery(f"{name} cannot parse the filter: {reason}")
    return Unavailable(f"{name} did not respond ({what}): {reason}", retry_after=1.0)


def probe(url: str) -> Mapping[str, str | float]:
    """Address without password, version and response time of the Milvus at a URL.

    Raises BadSetting for a wrong address or credentials, Unavailable if it is down.
    """
    server = MilvusGateway(Settings.read(url).connection)
    try:
        server.check_database()
        server.collections()  # fails for wrong credentials
        start = time.perf_counter()
        version = server.version()
        elapsed_ms = (time.perf_counter() - start) * 1000
        return {"server": server.connection.name, "version": version, "milliseconds": elapsed_ms}
    finally:
        server.close()
