"""Reachability check of a Milvus, for `lookalike doctor`."""

import time
from dataclasses import dataclass

from lookalike.indexes.milvus.client import MilvusGateway
from lookalike.indexes.milvus.config import Settings


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A reachable Milvus: its address without password, its version, and its response time."""

    server: str
    version: str
    milliseconds: float


def probe(url: str) -> ProbeResult:
    """Connect to a Milvus; raises BadSetting for a wrong address or credentials, Unavailable if it is down."""
    server = MilvusGateway(Settings.read(url).connection)
    try:
        server.check_database()
        server.collections()  # fails for wrong credentials
        start = time.perf_counter()
        version = server.version()
        return ProbeResult(server.connection.name, version, (time.perf_counter() - start) * 1000)
    finally:
        server.close()
