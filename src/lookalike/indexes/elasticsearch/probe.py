"""Reachability check of an Elasticsearch cluster, for `lookalike doctor`."""

import time
from collections.abc import Mapping

from lookalike.errors import BadSetting
from lookalike.indexes.elasticsearch.client import ElasticClient
from lookalike.indexes.elasticsearch.config import read_settings

MIN_VERSION = (8, 0)
"""The oldest version that the client supports."""


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
