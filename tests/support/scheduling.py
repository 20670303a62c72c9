"""Which tests of a parallel run (pytest-xdist) go to one process together, and in which order."""

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/faults/test_elasticsearch.py": "the killable Elasticsearch",
    "tests/faults/test_engine_unavailable.py": "the killable Elasticsearch",
    "tests/faults/test_readiness.py": "the killable Elasticsearch",
}
"""Files whose tests share a server that is not shared with other processes."""
APART = ("tests/faults/test_cleanup_kill.py", "tests/faults/test_interrupted_run.py")
"""Long files whose tests share nothing: any process takes a test of them."""
FIRST = (
    *("tests/faults/test_elasticsearch.py", "tests/faults/test_engine_unavailable", "tests/faults/test_readiness"),
    *("tests/golden/test_engines", "tests/faults", "tests/integration/milvus", "tests/server/test_se"),
    *("tests/browser", "tests/golden", "tests/integration", "tests/server", "tests/interfaces", "tests/docs"),
    *("tests/unit/cli", "tests/unit/test_", "tests/unit/evaluation", "tests/index_contract"),
)
"""Where the long suites are, which have to begin first for the processes of a run to end together."""


def position(nodeid: str) -> int:
    """Where a test comes in the order."""
    return next((n for n, first in enumerate(FIRST) if nodeid.startswith(first)), len(FIRST))


class BySuite(LoadScopeScheduling):
    """A file at a time, in the order of `FIRST`, but for the files named above."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)  # type: ignore[arg-type]
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in APART else TOGETHER.get(file, file)
