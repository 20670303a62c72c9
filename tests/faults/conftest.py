"""The Elasticsearch that several suites kill and freeze: one a process, for a start takes 12 s of processor time.

A run gives these suites to one process (tests/conftest.py).
"""

from collections.abc import Iterator

import pytest
from scripts.elasticsearch import Node

from tests.support.engines.elasticsearch import nodes


@pytest.fixture(scope="session")
def killable_node() -> Iterator[Node]:
    """A server with one write thread and a queue of one, so that it is quickly overloaded."""
    settings = {"node.processors": "1", "thread_pool.write.queue_size": "1"}
    with nodes(settings=settings, heap_mb=384) as [started]:
        yield started


@pytest.fixture
def node(killable_node: Node) -> Iterator[Node]:
    """That server, running whatever the test before has done to it."""
    yield killable_node
    killable_node.thaw()
    if not killable_node.alive:
        killable_node.start()
