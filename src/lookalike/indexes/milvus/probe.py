"""Whether a Milvus can be used, for `lookalike doctor`."""

import time
from dataclasses import dataclass

from lookalike.indexes.milvus.client import MilvusGateway
from lookalike.indexes.milvus.config import Settings


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """A Milvus that answers: its address (without password), version, and the time of one question."""

    server: str
    version: str
    milliseconds: float


def probe(url: str) -> ProbeResult:
    """Ask a Milvus for its version; raises BadSetting for a wrong address or password, Unavailable if it is down."""
    server = MilvusGateway(Settings.read(url).connection)
    try:
        server.check_database()
        server.collections()  # shows that user and password are right
        start = time.perf_counter()
        version = server.version()
        return ProbeResult(server.connection.name, version, (time.perf_counter() - start) * 1000)
    finally:
        server.close()
