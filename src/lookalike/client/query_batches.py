"""Queries of `search_many` in batches, one request each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lookalike.client.requests import source_of
from lookalike.errors import ImageRejected, NotFound
from lookalike.imaging import Limits
from lookalike.results import Failure, Query

MAX_QUERIES = 16
"""Queries of a request, at most; the server takes 64."""
MAX_CHARACTERS = 32 * 1024 * 1024
"""Characters of base64 after which a request takes no further query."""


@dataclass(slots=True)
class QueryBatch:
    """Queries in their order, with the failure of those that cannot be read here; the sources are of the others."""

    queries: list[tuple[Query, Failure | None]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    characters: int = 0

    def add(self, query: Query, limits: Limits) -> None:
        """Read a query."""
        try:
            source = source_of(query, limits)
        except (ImageRejected, NotFound) as failure:
            self.queries.append((query, failure))
            return
        self.queries.append((query, None))
        self.sources.append(source)
        self.characters += sum(map(len, source.values()))


def query_batches(queries: Iterable[Query], limits: Limits) -> Iterator[QueryBatch]:
    """Yield queries in batches."""
    batch = QueryBatch()
    for query in queries:
        batch.add(query, limits)
        if len(batch.queries) >= MAX_QUERIES or batch.characters >= MAX_CHARACTERS:
            yield batch
            batch = QueryBatch()
    if batch.queries:
        yield batch
