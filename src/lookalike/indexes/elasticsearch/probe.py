"""Whether an Elasticsearch can be used, for `lookalike doctor`."""

import time
from collections.abc import Mapping

from lookalike.errors import BadSetting
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import read_settings

MIN_VERSION = (8, 0)
"""The first version that the client speaks to."""


def probe(url: str) -> Mapping[str, str | int | float]:
    """Version, health, nodes and time of an answer, of the cluster that a URL names.

    Raises BadSetting for a URL that makes no sense, for refused credentials and for a version that is too old,
    Unavailable where nobody answers.
    """
    server = ElasticClient(read_settings(url).connection)
    try:
        started = time.perf_counter()
        health = server.call(lambda client: client.cluster.health())
        took = (time.perf_counter() - started) * 1e3
        nodes = server.call(lambda client: client.nodes.info(metric="process", filter_path="nodes.*.version"))
    finally:
        server.close()
    versions = sorted({node["version"] for node in nodes["nodes"].values()}, key=_numbers)
    if _numbers(versions[0]) < MIN_VERSION:
        raise BadSetting(
            f"{server.name} runs {versions[0]}; version {'.'.join(map(str, MIN_VERSION))} or newer is needed"
        )
    return {
        "engine": "Elasticsearch",
        "version": ", ".join(versions),
        "cluster": str(health["cluster_name"]),
        "health": str(health["status"]),
        "nodes": int(health["number_of_nodes"]),
        "answered_ms": round(took, 1),
    }


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".") if part.isdigit())
