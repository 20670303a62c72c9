"""The room of the service where images are searched for and compared."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

from lookalike.errors import ImageRejected, LookalikeError, NotFound, UnsupportedQuery
from lookalike.gallery.compare import Comparison, compare_queried
from lookalike.gallery.filters import Filter, resolve_filter
from lookalike.gallery.pipeline_pool import OpenPipeline, ensure_fresh
from lookalike.gallery.queries import DEFAULT_TENANT, PreparedQuery, Query, StoredImage, resolve_stored
from lookalike.gallery.room_ import Room
from lookalike.gallery.search import Searcher, SearchRequest, StageTimer
from lookalike.gallery.thumbnails import check_side
from lookalike.imaging import Source, read_bytes
from lookalike.imaging.thumbnails import SIDE
from lookalike.types import Answer, Prepared

NOBODY = -1
"""The id of a tenant that has nothing."""
QUERY_BATCH = 64
"""Queries prepared, encoded and searched together."""

Failure = ImageRejected | NotFound | UnsupportedQuery
"""What can be wrong with one query of many."""


class SearchOptions(TypedDict, total=False):
    """How to search; every option may be left out.

    `k` hits a page (10), `page` from 1; `tenant` ("default"), None for all tenants; `where` a filter on attributes;
    `threshold` drops hits farther than this (0..1); `pipelines` names the generations to ask (all of the gallery's);
    `orientations` (True) finds turned and mirrored copies by their hash. `min_sequence` has the answer see at least
    that change (as `Answer.sequence` and writes give it): read your own writes. `engine_filter` is a further filter
    in an engine's own words, by its name: `{"elasticsearch": {"match": {"title": "Alps"}}}`.
    """

    k: int
    page: int
    tenant: str | None
    filter: Filter | None
    threshold: float | None
    pipelines: Sequence[str] | None
    orientations: bool
    min_sequence: int | None
    engine_filter: Mapping[str, Any] | None


class Asking(Room):
    """Searching sees every change that is durable, also those of other processes."""

    def search(self, query: Query, **options: Unpack[SearchOptions]) -> Answer:
        """The images most like the query, best first: the same bytes or pixels, then copies, then similar ones.

        For the options see `SearchOptions`. Raises ImageRejected for what is no image, NotFound for an unknown key,
        UnsupportedQuery for what cannot be answered as asked.
        """
        [(_, answer)] = self.search_many([query], **options)
        if isinstance(answer, LookalikeError):
            raise answer
        return answer

    def search_many(
        self, queries: Iterable[Query], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """Like `search`, for many queries in batches: each with its answer, or with what is wrong with it."""
        opened = self._pipelines.open(options.get("pipelines"))
        request = self._request(options)
        request.check()
        at_least = options.get("min_sequence")
        if at_least is not None and at_least > (now := self._catalog.changes.last_sequence()):
            raise UnsupportedQuery(f"min_sequence {at_least} is in the future: the last change is {now}")
        return self._answers(queries, opened, request, options)

    def compare(self, a: Query, b: Query, *, tenant: str = DEFAULT_TENANT) -> Comparison:
        """What each pipeline says of two images; stored ones are named by `StoredImage`, others need not be known."""
        opened = self._pipelines.open()
        sides = [self._side(query, opened, tenant) for query in (a, b)]
        return compare_queried(sides[0], sides[1], [o.pipeline for o in opened])

    def preview(self, query: Query, *, tenant: str = DEFAULT_TENANT, size: int = SIDE) -> bytes:
        """A small JPEG of a query, upright, its longer side `size` pixels; no larger than the image.

        It is decoded where queries are, a stored image's is its thumbnail. Raises what a search by it raises, and
        BadInput for a size out of bounds.
        """
        check_side(size)
        if isinstance(query, StoredImage):
            return self._thumbnails.get(self._tenant(query.tenant or tenant, query.key), query.key, size)
        source = query if isinstance(query, bytes) else read_bytes(_path(query), self._limits)
        [prepared] = self._pipelines.decoder(self._pipelines.open()).map([Source(data=source, thumbnail_side=size)])
        if isinstance(prepared, ImageRejected):
            raise prepared
        assert isinstance(prepared, Prepared)
        assert prepared.thumbnail is not None
        return prepared.thumbnail

    def _answers(
        self, queries: Iterable[Query], opened: Sequence[OpenPipeline], request: SearchRequest, options: SearchOptions
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        searcher = Searcher(self._catalog, [o.pipeline for o in opened])
        for by_key, run in groupby(queries, lambda query: isinstance(query, StoredImage)):
            ask = self._stored if by_key else self._images
            pairs = ask(run, opened, options)
            stages = StageTimer()
            while batch := list(islice(pairs, QUERY_BATCH)):
                stages.mark("look_up" if by_key else "decode")
                sequence = ensure_fresh(opened, options.get("min_sequence"))
                stages.mark("follow")
                good = [queried for _, queried in batch if isinstance(queried, PreparedQuery)]
                answers = iter(searcher.answer(good, request, sequence, stages) if good else [])
                for query, queried in batch:
                    yield query, next(answers) if isinstance(queried, PreparedQuery) else queried
                stages = StageTimer()

    def _images(
        self, queries: Iterable[Query], opened: Sequence[OpenPipeline], _: SearchOptions
    ) -> Iterator[tuple[Query, PreparedQuery | Failure]]:
        asked: deque[Query] = deque()

        def sources() -> Iterator[Source]:
            for query in queries:
                asked.append(query)
                yield Source(data=query) if isinstance(query, bytes) else Source(path=_path(query))

        for image in self._pipelines.decoder(opened).map(sources()):
            query = asked.popleft()
            if isinstance(image, Prepared):
                yield query, PreparedQuery(image, query if isinstance(query, bytes) else _path(query))
            elif isinstance(image, ImageRejected):
                yield query, image

    def _stored(
        self, queries: Iterable[Query], opened: Sequence[OpenPipeline], options: SearchOptions
    ) -> Iterator[tuple[Query, PreparedQuery | Failure]]:
        tenant = options.get("tenant", DEFAULT_TENANT)
        pipelines = [o.pipeline for o in opened]
        rest = (query for query in queries if isinstance(query, StoredImage))
        while batch := list(islice(rest, QUERY_BATCH)):
            yield from zip(batch, resolve_stored(self._catalog, pipelines, tenant, batch), strict=True)

    def _request(self, options: SearchOptions) -> SearchRequest:
        tenant = options.get("tenant", DEFAULT_TENANT)
        tenant_id = None if tenant is None else self._catalog.tenants.find(tenant)
        if tenant is not None and tenant_id is None:
            tenant_id = NOBODY
        return SearchRequest(
            k=options.get("k", 10),
            page=options.get("page", 1),
            tenant=tenant_id,
            filter=resolve_filter(self._catalog, tenant_id, options.get("filter"), options.get("engine_filter")),
            threshold=options.get("threshold"),
            orientations=options.get("orientations", True),
            fresh=options.get("min_sequence") is not None,
        )

    def _side(self, query: Query, opened: Sequence[OpenPipeline], tenant: str) -> PreparedQuery:
        if isinstance(query, StoredImage):
            [found] = resolve_stored(self._catalog, [o.pipeline for o in opened], tenant, [query])
            if isinstance(found, LookalikeError):
                raise found
            return found
        source = query if isinstance(query, bytes) else _path(query)
        data = source if isinstance(source, bytes) else read_bytes(source, self._limits)
        [prepared] = self._pipelines.decoder(opened).map([Source(data=data, want_pixels=True)])
        if isinstance(prepared, ImageRejected):
            raise prepared
        assert isinstance(prepared, Prepared)  # bytes that are not known before are never unchanged
        return PreparedQuery(prepared, source)


def _path(query: str | Path | StoredImage) -> Path:
    assert not isinstance(query, StoredImage)
    return Path(query)
