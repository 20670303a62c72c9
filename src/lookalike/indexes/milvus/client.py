"""One Milvus, on a server or in a file: every request bounded in time, every failure one of ours.

The only module that speaks pymilvus (a second of import), and knows its types.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient  # type: ignore[import-untyped]
from pymilvus.exceptions import MilvusException  # type: ignore[import-untyped]

from lookalike.errors import BadSetting, LookalikeError, Unavailable, UnsupportedQuery
from lookalike.indexes.circuit_breaker import CircuitBreaker
from lookalike.indexes.milvus.config import Connection
from lookalike.types import Features, FeatureSpec, Ids

ConsistencyLevel = str
STRONG: ConsistencyLevel = "Strong"
"""A search waits until everything written before it is seen: up to the server's time tick, 200 ms."""
BOUNDED: ConsistencyLevel = "Bounded"
"""A search waits for nothing, and may miss what was written in the last seconds (the server's gracefulTime, 5 s)."""

PREFIX = "lookalike."
"""Properties of a collection that are ours; set when it is made, for 2.3 forgets later changes when it restarts."""
PARTITION_KEY_UPSERT = (2, 3, 10)
"""Servers before it put upserted rows into the bucket of another key (milvus-io/milvus pull request 30773)."""
FAILURES: tuple[type[Exception], ...] = (MilvusException, grpc.RpcError, grpc.FutureTimeoutError)
"""All that the client raises where a request fails."""
_NOT_FOUND_PHRASES = ("not found", "not exist", "can't find")
_DENIED_PHRASES = ("auth check failure", "unauthenticated", "permission deny", "permission denied", "invalid token")
_INVALID_FILTER_PHRASES = ("cannot parse expression", "failed to create query plan", "invalid expression", "at column ")
_POLL_SECONDS = 0.05
_LITE_LOCK = threading.RLock()  # Milvus Lite starts, and changes its aliases, in one thread at a time only

logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs every error, with a traceback, before raising it
Answer = TypeVar("Answer")


class IndexNotFound(LookalikeError):
    """A collection, partition or alias that is not there; never leaves the adapter."""


@dataclass(frozen=True, slots=True)
class Hits:
    """The answer to one query: ids and similarities, best first; `vectors` (n, width) where they were asked for.

    `full` says that there may be more.
    """

    ids: Ids
    scores: NDArray[np.float32]
    vectors: Features | None
    full: bool


class MilvusGateway:
    """A connection, opened when it is first needed; safe to use from several threads."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._circuit = CircuitBreaker(connection.name)
        self._client_lock = _LITE_LOCK if connection.lite else nullcontext()
        self._lock = threading.Lock()
        self._client: Any = None

    def version(self) -> str:
        """As the server says it, such as `v2.3.5`."""
        return str(self._call("version", lambda client, limit: client.get_server_version(timeout=limit)))

    def check_database(self) -> None:
        """Raise BadSetting where there is no such database: old servers use another, silently."""
        wanted = self.connection.database
        if wanted and wanted not in self._call("databases", lambda client, limit: client.list_databases(timeout=limit)):
            raise BadSetting(f"{self.connection.name}: there is no database {wanted!r}; make it, or name another")

    def collections(self) -> list[str]:
        """The names of all collections."""
        return list(self._call("list", lambda client, limit: client.list_collections(timeout=limit)))

    def alias_target(self, alias: str) -> str | None:
        """The collection that an alias stands for."""
        try:
            found = self._call("alias", lambda client, limit: client.describe_alias(alias, timeout=limit))
        except IndexNotFound:
            return None
        return str(found["collection_name"])

    def describe(self, name: str) -> Mapping[str, Any]:
        """A collection's schema and properties, as the client gives them; raises Gone."""
        found: Mapping[str, Any] = self._call(
            "describe", lambda client, limit: client.describe_collection(name, timeout=limit)
        )
        return found

    def describe_index(self, name: str) -> Mapping[str, Any]:
        """Type, metric and progress of the vector index."""
        found: Mapping[str, Any] | None = self._call(
            "index", lambda client, limit: client.describe_index(name, "vector", timeout=limit)
        )
        return found or {}

    def await_index(self, name: str, rows: int, seconds: float) -> None:
        """Wait until so many rows are indexed, however long it takes: segments are merged and indexed again.

        Raises Unavailable where nothing has changed for so many seconds. A server calls itself finished with no row
        before it sees the sealed segments.
        """

        def left() -> tuple[int, int] | None:
            state = self.describe_index(name)
            done, pending = int(state.get("indexed_rows") or 0), int(state.get("pending_index_rows") or 0)
            ended = state.get("state") == "Finished" and done >= rows and not pending
            return None if ended else (done, pending)

        self._wait_until_done(left, f"indexing {name}", seconds)

    def create(
        self, name: str, spec: FeatureSpec, *, key: bool, buckets: int, shards: int, properties: Mapping[str, str]
    ) -> None:
        """Make an empty collection, with the tenant as partition key or as a plain field."""
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("tenant", DataType.INT64, is_partition_key=key)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=spec.width)
        schema.add_field("attributes", DataType.JSON)
        how: dict[str, Any] = {"num_partitions": buckets} if key else {}
        how["properties"] = {PREFIX + key: value for key, value in properties.items()}
        self._call(
            "create",
            lambda client, limit: client.create_collection(
                name, schema=schema, num_shards=shards, consistency_level=BOUNDED, timeout=limit, **how
            ),
        )

    def create_index(self, name: str, kind: str, parameters: Mapping[str, int]) -> None:
        """Say how a collection is to be indexed, before there are rows."""
        wanted = MilvusClient.prepare_index_params()
        wanted.add_index("vector", index_type=kind, metric_type="IP", params=dict(parameters))
        self._call("index", lambda client, limit: client.create_index(name, wanted, timeout=limit, sync=False))

    def load(self, name: str, *, replicas: int, seconds: float) -> None:
        """Bring a collection into the query nodes' memory, and wait for it."""
        self._call(
            "load",
            lambda client, limit: client.load_collection(
                name, replica_number=replicas, timeout=limit, **({} if self.connection.lite else {"_async": True})
            ),
        )
        self._wait_until_done(lambda: None if self.is_loaded(name) else (), f"loading {name}", seconds)

    def is_loaded(self, name: str) -> bool:
        """Whether a collection can be searched."""
        found = self._call("load state", lambda client, limit: client.get_load_state(name, timeout=limit))
        return str(found["state"].name) == "Loaded"

    def release(self, name: str) -> None:
        """Take a collection out of the query nodes' memory."""
        self._call("release", lambda client, limit: client.release_collection(name, timeout=limit))

    def seal(self, name: str, *, seconds: float) -> None:
        """Milvus' flush: close the segments that grow, so that they are indexed. Takes seconds; for large batches."""
        self._call("flush", lambda client, limit: client.flush(name, timeout=limit), seconds=seconds)

    def drop(self, name: str) -> None:
        """Forget a collection; no alias may stand for it."""
        self._call("drop", lambda client, limit: client.drop_collection(name, timeout=limit))

    def set_alias(self, alias: str, name: str, *, new: bool) -> None:
        """Let an alias stand for a collection from now on."""
        if new:
            self._call("alias", lambda client, limit: client.create_alias(name, alias, timeout=limit))
        else:
            self._call("alias", lambda client, limit: client.alter_alias(name, alias, timeout=limit))

    def drop_alias(self, alias: str) -> None:
        """Forget an alias."""
        self._call("alias", lambda client, limit: client.drop_alias(alias, timeout=limit))

    def partitions(self, name: str) -> set[str]:
        """The names of a collection's partitions."""
        return set(self._call("partitions", lambda client, limit: client.list_partitions(name, timeout=limit)))

    def create_partition(self, name: str, partition: str) -> None:
        """Make a partition; it is loaded with its collection."""
        self._call("partition", lambda client, limit: client.create_partition(name, partition, timeout=limit))

    def upsert(self, name: str, rows: Sequence[Mapping[str, Any]], partition: str, *, seconds: float) -> None:
        """Insert rows, or replace those with the same ids in that partition (any, where it is empty)."""
        self._call(
            "upsert",
            lambda client, limit: client.upsert(name, rows, timeout=limit, partition_name=partition),
            seconds=seconds,
        )

    def delete(self, name: str, ids: list[int], *, seconds: float) -> None:
        """Forget these ids, wherever they are."""
        self._call("delete", lambda client, limit: client.delete(name, ids=ids, timeout=limit), seconds=seconds)

    def query(
        self,
        name: str,
        filter: str,
        fields: list[str],
        *,
        level: ConsistencyLevel,
        limit: int = 16_384,
        partitions: list[str] | None = None,
        seconds: float = 0.0,
    ) -> list[dict[str, Any]]:
        """The rows that pass an expression, in all partitions or in some, in no order."""
        how: dict[str, Any] = {} if "count(*)" in fields else {"limit": limit}
        return list(
            self._call(
                "query",
                lambda client, timeout: client.query(
                    name,
                    filter=filter,
                    output_fields=fields,
                    consistency_level=level,
                    partition_names=partitions,
                    timeout=timeout,
                    **how,
                ),
                seconds=seconds,
            )
        )

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
        """The best rows by inner product, for each query."""
        answers = self._call(
            "search",
            lambda client, timeout: client.search(
                name,
                data=queries,
                anns_field="vector",
                limit=limit,
                filter=filter,
                output_fields=["vector"] if vectors else ["id"],  # with none, Lite gives everything
                search_params={"metric_type": "IP", "params": dict(parameters)},
                partition_names=partitions,
                consistency_level=level,
                timeout=timeout,
            ),
        )
        return [_parse_hits(hits, limit, queries.shape[1], vectors) for hits in answers]

    def _wait_until_done(self, left: Callable[[], tuple[int, ...] | None], what: str, seconds: float) -> None:
        """Ask until nothing is left; raises Unavailable when what is left stays the same for so many seconds."""
        before = left()
        end = time.monotonic() + seconds
        while before is not None:
            time.sleep(_POLL_SECONDS)
            now = left()
            if now != before:
                before, end = now, time.monotonic() + seconds
            elif time.monotonic() > end:
                raise Unavailable(f"{what} has not got on for {seconds:g} s on {self.connection.name}")

    def close(self) -> None:
        """Let the connection go; closing twice is harmless."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            with self._client_lock:
                client.close()

    def _call(self, what: str, request: Callable[[Any, float], Answer], *, seconds: float = 0.0) -> Answer:
        with self._circuit, self._client_lock:
            try:
                return request(self._connect(), seconds or self.connection.timeout)
            except FAILURES as error:
                raise _translate_error(self.connection, what, error) from error

    def _connect(self) -> Any:
        with self._lock:
            if self._client is None:
                at = self.connection
                how = {"user": at.user, "password": at.password, "token": at.token, "db_name": at.database}
                with self._client_lock:
                    self._client = MilvusClient(uri=at.uri, timeout=at.timeout, **how)
            return self._client


def parse_version(version: str) -> tuple[int, ...]:
    """`v2.3.5-lite` as (2, 3, 5); nothing where there are no numbers."""
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()


def _parse_hits(hits: Any, limit: int, width: int, vectors: bool) -> Hits:
    ids, scores = np.array(hits.ids, np.int64), np.array(hits.distances, np.float32)
    real, full = ids > 0, len(ids) == limit  # id 0 is no image
    rows = None
    if vectors:
        rows = np.array([hit["entity"]["vector"] for hit in hits], np.float32).reshape(-1, width)[real]
    return Hits(ids[real], scores[real], rows, full)


def _translate_error(connection: Connection, what: str, error: Exception) -> LookalikeError:
    """The error of our tree that a failure amounts to, in one line, without secrets."""
    code, said = None, str(getattr(error, "message", "") or error)
    below = error if isinstance(error, grpc.RpcError) else error.__cause__  # a failed connection hides the reason
    if isinstance(below, grpc.RpcError) and hasattr(below, "code"):
        code, said = below.code(), f"{below.code().name.lower()}: {below.details()}"
    for secret in (connection.password, connection.token):
        said = said.replace(secret, "***") if secret else said
    said, lower = said.splitlines()[0][:300] if said else type(error).__name__, said.lower()
    if code == grpc.StatusCode.UNAUTHENTICATED or any(word in lower for word in _DENIED_PHRASES):
        return BadSetting(
            f"{connection.name} refuses user, password or token ({said}); give them in the index's address"
        )
    if "open local milvus failed" in lower:
        return Unavailable(
            f"{connection.name} cannot be opened ({said}): the folder must exist, and one process at a time may have the "
            f"file open; for several, use a Milvus server (milvus://host:19530)"
        )
    if any(word in lower for word in _NOT_FOUND_PHRASES) and any(
        word in lower for word in ("collection", "alias", "partition")
    ):
        return IndexNotFound(f"{connection.name}: {said}")
    if any(word in lower for word in _INVALID_FILTER_PHRASES):
        return UnsupportedQuery(f"{connection.name} cannot read the filter: {said}")
    return Unavailable(f"{connection.name} failed to answer ({what}): {said}", retry_after=1.0)
