"""The bytes of queries by URL, read ahead of the decoder."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from lookalike.errors import ImageRejected
from lookalike.gallery.originals import READ_THREADS, Originals
from lookalike.imaging import encode_pixels
from lookalike.results import ImageFeatures, Query, StoredImage
from lookalike.sources.read_url import read_query
from lookalike.sources.urls import is_url

QuerySource = Path | bytes | ImageRejected
"""Where the bytes of a query are, or why it cannot be read."""


def source_of(query: Query, originals: Originals) -> Path | bytes:
    """The path or the bytes of a query that is an image; those of an object are read.

    Raises ImageRejected for pixels that are no image, and for an object that cannot be read.
    """
    assert not isinstance(query, StoredImage | ImageFeatures)
    if isinstance(query, bytes):
        return query
    if not isinstance(query, str | Path):
        return encode_pixels(query)
    return read_query(str(query), originals.read) if is_url(query) else Path(query)


def query_sources(queries: Iterable[Query], originals: Originals) -> Iterator[tuple[Query, QuerySource]]:
    """Yield each query with its source, in order; up to `READ_THREADS` objects are read at once."""
    ahead: deque[tuple[Query, Future[QuerySource]]] = deque()
    threads: ThreadPoolExecutor | None = None
    try:
        for query in queries:
            if is_url(query):
                threads = threads or ThreadPoolExecutor(READ_THREADS, thread_name_prefix="lookalike-query")
                ahead.append((query, threads.submit(_source_or_reason, query, originals)))
                if len(ahead) < READ_THREADS:
                    continue
            while ahead and (not is_url(query) or len(ahead) >= READ_THREADS):
                first, future = ahead.popleft()
                yield first, future.result()
            if not is_url(query):
                yield query, _source_or_reason(query, originals)
        for first, future in ahead:
            yield first, future.result()
    finally:
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


def _source_or_reason(query: Query, originals: Originals) -> QuerySource:
    try:
        return source_of(query, originals)
    except ImageRejected as error:
        return error
