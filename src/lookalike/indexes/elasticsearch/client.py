"""Client of one Elasticsearch server or cluster: circuit breaker, and translation of its failures into our errors."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from elastic_transport import ConnectionError as NoConnection
from elastic_transport import ConnectionTimeout, TlsError, TransportError
from elasticsearch import ApiError, Elasticsearch, NotFoundError, SerializationError, UnsupportedProductError

from lookalike.errors import BadInput, BadSetting, Damaged, LookalikeError, Unavailable
from lookalike.indexes.circuit_breaker import CircuitBreaker
from lookalike.indexes.elasticsearch.config import Connection, read_settings

T = TypeVar("T")

CONNECTIONS_PER_NODE = 32
"""Pooled connections per node, and so concurrent searches."""
RETRY_AFTER = 1.0
"""Seconds after which a request to an overloaded server may be retried."""
OVERLOADED = frozenset({429, 502, 503, 504})
_NOT_FOUND_TYPES = frozenset({"index_not_found_exception", "alias_not_found_exception", "no_such_index_exception"})
MIN_VERSION = (8, 0)
"""The oldest version that the client supports."""


class IndexNotFound(Damaged):
    """The index does not exist; while an alias is switched, a search may raise it once."""


class ElasticClient:
    """The official client behind a circuit breaker. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self.name = connection.name
        self._connection = connection
        self._circuit = CircuitBreaker(connection.name)
        self._client = _connect(connection)
        self._bulk = self._client.options(request_timeout=connection.bulk_timeout)

    def call(self, request: Callable[[Elasticsearch], T], *, bulk: bool = False) -> T:
        """Send one request within the timeout; raises Unavailable, BadSetting, BadInput, Damaged or IndexNotFound."""
        with self._circuit:
            try:
                return request(self._bulk if bulk else self._client)
            except (ApiError, TransportError) as error:
                raise self._translate_error(error, bulk=bulk) from None
            except SerializationError as error:
                raise Damaged(f"{self.name} sent an invalid response: {error}") from None

    def find(self, request: Callable[[Elasticsearch], T]) -> T | None:
        """`call`, with None for an object that does not exist."""

        def find_or_none(client: Elasticsearch) -> T | None:
            try:
                return request(client)
            except NotFoundError:
                return None

        return self.call(find_or_none)

    def refresh(self, index: str, *, bulk: bool = True) -> None:
        """Make writes visible to searches in every replica; `bulk` applies the timeout of writes."""
        answer = self.call(lambda client: client.indices.refresh(index=index), bulk=bulk)
        if failed := answer["_shards"]["failed"]:
            raise self.error_for(503, "refresh", f"{failed} shard copies of {index} failed")

    def _translate_error(self, error: ApiError | TransportError, *, bulk: bool) -> LookalikeError:
        if isinstance(error, UnsupportedProductError):
            return BadSetting(f"{self.name} is not Elasticsearch: the official client refuses it")
        if isinstance(error, ApiError):
            return self.error_for(error.status_code, *error_reason(error.body))
        if isinstance(error, TlsError):
            return BadSetting(
                f"{self.name}: TLS certificate not trusted ({error.message}); see the options ca and fingerprint"
            )
        if isinstance(error, ConnectionTimeout):
            seconds = self._connection.bulk_timeout if bulk else self._connection.timeout
            return Unavailable(f"{self.name} did not answer in {seconds} s", retry_after=RETRY_AFTER)
        if isinstance(error, NoConnection):
            return Unavailable(f"{self.name} cannot be reached: {error.message}", retry_after=RETRY_AFTER)
        return Unavailable(f"{self.name}: {error.message}", retry_after=RETRY_AFTER)

    def error_for(self, status: int, kind: str, reason: str) -> LookalikeError:
        """The error for a response, or a part of one, with an error status."""
        if status == 401:
            return BadSetting(
                f"{self.name} does not accept {self._credentials()}; "
                "write elasticsearch://USER:PASSWORD@HOST:PORT or api_key=KEY, in the environment rather than in a file"
            )
        if status == 403 and kind != "cluster_block_exception":
            return BadSetting(f"{self.name} denies this to {self._credentials()}: {reason}; it needs more privileges")
        if kind in _NOT_FOUND_TYPES:
            return IndexNotFound(
                f"{self.name} has no such index ({reason}); `lookalike repair` fills it again from the catalog"
            )
        if status in OVERLOADED or status >= 500 or kind == "cluster_block_exception":
            why = f"{kind} {reason}".strip() or "no reason given"
            return Unavailable(f"{self.name} is unavailable ({status}): {why}", retry_after=RETRY_AFTER)
        return BadInput(f"{self.name} rejected the request ({status}): {kind} {reason}")

    def close(self) -> None:
        self._client.close()

    def _credentials(self) -> str:
        if self._connection.api_key:
            return "the API key"
        user = self._connection.user
        return f"the user {user!r} and its password" if user else "a client without a password"


def error_reason(body: Any) -> tuple[str, str]:
    """Type and reason of an error response, those of its root cause if it has one."""
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return "", str(error)[:300]
    causes = error.get("root_cause") or [error]
    cause = causes[0] if isinstance(causes[0], Mapping) else {}
    kind, reason = (cause.get(name) or error.get(name, "") for name in ("type", "reason"))
    return str(kind), str(reason)[:500]


def _connect(connection: Connection) -> Elasticsearch:
    """The official client, which retries on another node if there are several."""
    scheme = "https" if connection.tls else "http"
    several = len(connection.nodes) > 1
    options: dict[str, Any] = {"api_key": connection.api_key}
    if connection.ca and not Path(connection.ca).is_file():
        raise BadSetting(f"{connection.name}: there is no certificate {connection.ca}; ca=FILE names a PEM file")
    if connection.tls:
        options |= {"ca_certs": connection.ca, "ssl_assert_fingerprint": connection.fingerprint}
    if connection.user is not None and connection.password is not None:
        options["basic_auth"] = (connection.user, connection.password)
    try:
        return Elasticsearch(
            [{"scheme": scheme, "host": host, "port": port} for host, port in connection.nodes],
            request_timeout=connection.timeout,
            connections_per_node=CONNECTIONS_PER_NODE,
            max_retries=len(connection.nodes) if several else 0,
            retry_on_timeout=several,
            retry_on_status=(502, 503, 504) if several else (),
            **{name: value for name, value in options.items() if value},
        )
    except (ValueError, OSError) as error:
        raise BadSetting(f"{connection.name}: {error}") from None


def probe(url: str) -> Mapping[str, str | int | float]:
    """Version, health, nodes and response time of the cluster at a URL.

    Raises BadSetting for an invalid URL, rejected credentials or too old a version, Unavailable for no response.
    """
    server = ElasticClient(read_settings(url).connection)
    try:
        started = time.perf_counter()
        health = server.call(lambda client: client.cluster.health())
        elapsed_ms = (time.perf_counter() - started) * 1e3
        nodes = server.call(lambda client: client.nodes.info(metric="process", filter_path="nodes.*.version"))
    finally:
        server.close()
    versions = sorted({node["version"] for node in nodes["nodes"].values()}, key=_numbers)
    if _numbers(versions[0]) < MIN_VERSION:
        raise BadSetting(
            f"{server.name} runs {versions[0]}; version {'.'.join(map(str, MIN_VERSION))} or later is required"
        )
    return {
        "engine": "Elasticsearch",
        "version": ", ".join(versions),
        "cluster": str(health["cluster_name"]),
        "health": str(health["status"]),
        "nodes": int(health["number_of_nodes"]),
        "answered_ms": round(elapsed_ms, 1),
    }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
