"""A real Elasticsearch for the suites: one node a test run, started when first asked for, gone at the end.

LOOKALIKE_ELASTICSEARCH_URL (elasticsearch://HOST:PORT) names another server to use, on which the suites make indexes
whose names begin with `test-`.
"""

import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from elasticsearch import Elasticsearch
from scripts.elasticsearch import Missing, Node, running

from tests.support import supervisor
from tests.support.engines import shared
from tests.support.requirements import skip_or_fail


def _running(count: int = 1, **how: Any) -> AbstractContextManager[list[Node]]:
    """Servers for tests, which end with the run."""
    return running(count, quick=True, parent=supervisor.run_folder(), environment=supervisor.environment(), **how)


@contextmanager
def _own() -> Iterator[str]:
    try:
        with _running() as started:
            yield url_of(started[0])
    except Missing as problem:
        raise shared.Missing(problem) from problem


def server() -> str:
    """The URL of this run's server; skips the test where there is none, or fails it where all are required."""
    return shared.url_of("Elasticsearch", "LOOKALIKE_ELASTICSEARCH_URL", _own)


def url_of(node: Node) -> str:
    """As settings name it."""
    return f"elasticsearch://127.0.0.1:{node.port}"


@contextmanager
def nodes(count: int = 1, **how: Any) -> Iterator[list[Node]]:
    """Servers of a suite's own, to be killed and frozen."""
    own = _running(count, **how)
    try:
        started = own.__enter__()
    except Missing as problem:
        skip_or_fail(f"no Elasticsearch: {problem}")
        raise
    try:
        yield started
    finally:
        own.__exit__(None, None, None)


def raw(url: str) -> Elasticsearch:
    """The official client, as others would use it."""
    return Elasticsearch(f"http://{urlsplit(url).netloc}", request_timeout=60)


@pytest.fixture
def name() -> Iterator[str]:
    """A name of one's own, and nothing left under it afterwards."""
    own = f"test-{uuid.uuid4().hex[:12]}"
    yield own
    sweep(own)


def sweep(first: str) -> None:
    """Delete the indexes whose names begin so."""
    with raw(server()) as client:
        found = list(client.indices.get_alias(index=f"{first}*", expand_wildcards="all"))
        if found:
            client.indices.delete(index=",".join(found))
