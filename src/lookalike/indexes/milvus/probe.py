"""Reachability check of a Milvus, for `lookalike doctor`."""

import time
from collections.abc import Mapping

from lookalike.indexes.milvus.client import MilvusGateway
from lookalike.indexes.milvus.config import Settings


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
