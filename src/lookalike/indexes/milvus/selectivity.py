"""How large a share of the rows a filter passes: what decides how widely a filtered search has to look."""

import time

from lookalike.indexes.milvus.client import Level, MilvusGateway

REMEMBERED = 30.0
"""Seconds for which a count is good enough: it steers an effort, and nothing is left out because of it."""
MAX_ENTRIES = 1000
"""Counts remembered at a time."""
MAX_EXPRESSION_LENGTH = 500
"""Letters of an expression worth remembering; long ones name ids, and hardly come twice."""
EVERY_ROW = "id > 0"


class SelectivityCache:
    """Counts of one server's rows, remembered for a while; safe to use from several threads."""

    def __init__(self, server: MilvusGateway) -> None:
        self._server = server
        self._counts: dict[tuple[str, str, tuple[str, ...]], tuple[float, int]] = {}

    def of(self, name: str, expression: str, partitions: list[str] | None, level: Level) -> float:
        """The share of a collection's rows (or of those in some partitions) that pass, 0 to 1."""
        every = self._count(name, EVERY_ROW, partitions, level)
        return min(1.0, self._count(name, expression, partitions, level) / every) if every else 0.0

    def _count(self, name: str, expression: str, partitions: list[str] | None, level: Level) -> int:
        key = (name, expression, tuple(partitions or ()))
        asked, count = self._counts.get(key, (-REMEMBERED, 0))
        if time.monotonic() - asked < REMEMBERED:
            return count
        rows = self._server.query(name, expression, ["count(*)"], level=level, partitions=partitions)
        count = int(rows[0]["count(*)"])
        if len(expression) <= MAX_EXPRESSION_LENGTH:
            if len(self._counts) >= MAX_ENTRIES:
                self._counts = {}
            self._counts[key] = (time.monotonic(), count)
        return count
