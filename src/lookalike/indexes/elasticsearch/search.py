"""One search in Elasticsearch: segment queries or a scan, paged retrieval of hits, and exact ranking."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import Distances, merge, nearest, top_k
from lookalike.errors import Unavailable, UnsupportedQuery
from lookalike.indexes.elasticsearch.client import RETRY_AFTER, IndexNotFound, error_reason
from lookalike.indexes.elasticsearch.config import Settings
from lookalike.indexes.elasticsearch.filters import JSON, filters_of
from lookalike.indexes.elasticsearch.segments import CANDIDATE_COST, Codes, SegmentPlan, best_plan, expected_candidates
from lookalike.indexes.elasticsearch.storage import HashStorage, HitSource
from lookalike.types import FULLY_EXACT, Ids, Matches, ResolvedFilter

ENGINE = "elasticsearch"
"""Name of the engine in `ResolvedFilter.engine_filter`."""
MAX_PUSHED_IDS = 4096
"""Ids of a filter that are sent with a search; longer lists are applied to the hits."""
FIRST_PAGE_ROWS = 1000
"""Page size of the first request; most searches have far fewer hits."""
SEARCHES_PER_REQUEST = 32
"""Searches sent in one request."""
_ALIAS_SWITCH_SECONDS = 0.2  # seconds to wait before a retry while an alias is being switched

Pairs = NDArray[np.int64]
"""`(n, 2)`: ids, ascending, and codes as signed integers."""
_RESPONSE_FIELDS = "hits.hits.sort,timed_out,_shards.failed,error,status"


def scope_filters(storage: HashStorage, tenant: int | None) -> list[JSON]:
    """Filters for our documents, of one tenant if given."""
    of_tenant = [] if tenant is None else [{"term": {storage.fields["tenant"]: str(tenant)}}]
    return [*storage.filters(), *of_tenant]


@dataclass
class Search:
    """A batch of queries with one scope. `row_count` returns the number of rows, to choose between search and scan."""

    storage: HashStorage
    settings: Settings
    codes: Codes
    k: int
    tenant: int | None
    filter: ResolvedFilter | None
    row_count: Callable[[], int]

    def __post_init__(self) -> None:
        self._routing = self.storage.routing(self.tenant)
        self._filters, self._ids = scope_filters(self.storage, self.tenant), None
        if self.filter is not None:
            filters, self._ids = _translate_filter(self.storage, self.filter)
            self._filters += filters

    def run(self, radius: int) -> Matches:
        """The matches within `radius` bits that the mode finds."""
        mode, plan = self.settings.mode, self.settings.plan
        exact_within = FULLY_EXACT if mode == "exact" else float(plan.radius)
        if not len(self.codes) or radius < 0 or (self._ids is not None and not len(self._ids)):
            return Matches(*_empty_matches(len(self.codes), self.k), exact_within)
        if mode == "exact":
            return Matches(*self._exact(radius), exact_within)
        if mode == "guaranteed":
            radius = min(radius, plan.radius)
            plan = self._plan(radius)
        return Matches(*self._search_segments(self.codes, plan, radius), exact_within)

    def _exact(self, radius: int) -> tuple[Ids, Distances]:
        """Search within the settings' radius; scan where that is cheaper, and for queries with fewer than k matches."""
        within = min(radius, self.settings.plan.radius)
        plan = self._plan(within)
        rows = self.row_count()
        if len(self.codes) * plan.cost(rows) >= CANDIDATE_COST * rows:
            return self._scan(self.codes, radius)
        ids, distances = self._search_segments(self.codes, plan, within)
        if radius > within:
            unproven = np.flatnonzero(~(distances[:, -1] <= within))
            if len(unproven):
                ids[unproven], distances[unproven] = self._scan(self.codes[unproven], radius)
        return ids, distances

    def _plan(self, radius: int) -> SegmentPlan:
        """The cheapest plan for a radius with the stored segmentation."""
        return best_plan(radius, self.settings.rows, self.storage.segmentation) or self.settings.plan

    def _search_segments(self, codes: Codes, plan: SegmentPlan, radius: int) -> tuple[Ids, Distances]:
        """The rows that match enough segments, ranked by Hamming distance."""
        searches = [[*self._filters, self._segment_query(code, plan)] for code in codes.tolist()]
        first = max(FIRST_PAGE_ROWS, math.ceil(1.5 * expected_candidates(plan, self.settings.rows)))
        found = [self._filter_rows(pairs) for pairs in fetch_all(self.storage.source, searches, self._routing, first)]
        query = np.repeat(np.arange(len(codes)), [len(pairs) for pairs in found])
        ids, stored = _columns(found)
        bits = np.bitwise_count(stored ^ codes[query])
        near = bits <= radius
        return top_k(query[near], ids[near], bits[near].astype(np.float32), len(codes), self.k)

    def _segment_query(self, code: int, plan: SegmentPlan) -> JSON:
        """A plan as a query: `should` terms with `minimum_should_match`, as published."""
        field = self.storage.fields["segments"]
        terms = self.storage.segmentation.terms(code, plan)
        if plan.min_matches == 1:
            return {"terms": {field: [term for segment in terms for term in segment]}}
        should = [
            {"term": {field: segment[0]}} if len(segment) == 1 else {"terms": {field: segment}} for segment in terms
        ]
        return {"bool": {"should": should, "minimum_should_match": plan.min_matches}}

    def _scan(self, codes: Codes, radius: int) -> tuple[Ids, Distances]:
        """Compare all rows in scope with all queries, page by page."""
        queries = _bytes(codes)
        best = Matches(*_empty_matches(len(codes), self.k), FULLY_EXACT)
        for page in fetch_pages(self.storage.source, self._filters, self._routing):
            ids, stored = _columns([self._filter_rows(page)])
            near = nearest("hamming", queries, _bytes(stored), ids, self.k, max_distance=float(radius))
            best = merge(best, near, self.k)
        return best.ids, best.distances

    def _filter_rows(self, pairs: Pairs) -> Pairs:
        """Drop the second copy of a row that is moving between shards, and rows that a long list of ids excludes."""
        if len(pairs) < 2 and self._ids is None:
            return pairs
        ids = pairs[:, 0]
        keep = np.ones(len(pairs), np.bool_)
        keep[1:] = ids[1:] != ids[:-1]
        if self._ids is not None and len(pairs):
            position = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
            keep &= self._ids[position] == ids
        return pairs if keep.all() else pairs[keep]


def _translate_filter(storage: HashStorage, filter: ResolvedFilter) -> tuple[list[JSON], Ids | None]:
    """A filter as Elasticsearch clauses; and the ids that pass, if only the catalog can evaluate it."""
    if unknown := [engine for engine in filter.engine_filter if engine != ENGINE]:
        raise UnsupportedQuery(f"this index is in Elasticsearch and takes no engine_filter for {', '.join(unknown)}")
    query = filter.engine_filter.get(ENGINE)
    if query is not None and not (isinstance(query, dict) and query):
        raise UnsupportedQuery('an engine_filter for Elasticsearch is a query in JSON, such as {"match": {...}}')
    clauses = [] if query is None else [query]
    filters = filters_of(filter.conditions, storage.fields["attributes"]) if filter.conditions or clauses else None
    if filters is not None:
        return filters + clauses, None
    ids = np.unique(np.asarray(filter.ids(), np.int64))
    if len(ids) <= MAX_PUSHED_IDS:
        clauses.append({"terms": {storage.fields["id"]: ids.tolist()}})
    return clauses, ids


def _columns(found: Sequence[Pairs]) -> tuple[Ids, Codes]:
    pairs = found[0] if len(found) == 1 else np.concatenate(found)
    return pairs[:, 0].copy(), pairs[:, 1].copy().view(np.uint64)


def _bytes(codes: Codes) -> NDArray[np.uint8]:
    return np.ascontiguousarray(codes.astype("<u8")).view(np.uint8).reshape(-1, 8)


def _empty_matches(queries: int, k: int) -> tuple[Ids, Distances]:
    return np.full((queries, k), -1, np.int64), np.full((queries, k), np.inf, np.float32)


def fetch_all(
    source: HitSource, filters: Sequence[list[JSON]], routing: str | None, first: int = FIRST_PAGE_ROWS
) -> list[Pairs]:
    """All hits of each search, given by its filters; searches with more than one page are paged."""
    first = min(first, source.page)
    found: list[Pairs] = []
    for start in range(0, len(filters), SEARCHES_PER_REQUEST):
        found += _retry_once(
            lambda part=filters[start : start + SEARCHES_PER_REQUEST]: _first_pages(source, part, routing, first)
        )
    return [
        np.concatenate([pairs, *fetch_pages(source, each, routing, pairs[-1].tolist())])
        if len(pairs) == first
        else pairs
        for pairs, each in zip(found, filters, strict=True)
    ]


def count_rows(source: HitSource, filters: list[JSON], routing: str | None) -> int:
    answer = _retry_once(
        lambda: source.server.call(
            lambda client: client.count(index=source.index, query=_query(filters), routing=routing)
        )
    )
    if answer["_shards"]["failed"]:
        raise Unavailable(f"{source.server.name} could not count all shards of {source.index}", retry_after=RETRY_AFTER)
    return int(answer["count"])


def fetch_pages(
    source: HitSource, filters: list[JSON], routing: str | None, after: list[int] | None = None
) -> Iterator[Pairs]:
    """All hits, or those after the sort values of one, page by page."""
    while True:
        pairs = _retry_once(lambda after=after: _page(source, filters, routing, source.page, after))
        yield pairs
        if len(pairs) < source.page:
            return
        after = pairs[-1].tolist()


def _first_pages(source: HitSource, filters: Sequence[list[JSON]], routing: str | None, size: int) -> list[Pairs]:
    if len(filters) == 1:
        return [_page(source, filters[0], routing, size, None)]
    header: JSON = {"allow_partial_search_results": False, **({"routing": routing} if routing else {})}
    bodies = [{"query": _query(each), "size": size, "_source": False, **_sort_options(source)} for each in filters]
    searches = [line for body in bodies for line in (header, body)]
    fields = ",".join(f"responses.{part}" for part in _RESPONSE_FIELDS.split(","))
    answers = source.server.call(
        lambda client: client.msearch(searches=searches, index=source.index, filter_path=fields)
    )
    return [_parse_rows(source, answer) for answer in answers["responses"]]


def _page(source: HitSource, filters: list[JSON], routing: str | None, size: int, after: list[int] | None) -> Pairs:
    answer = source.server.call(
        lambda client: client.search(
            index=source.index,
            query=_query(filters),
            size=size,
            search_after=after,
            routing=routing,
            allow_partial_search_results=False,
            filter_path=_RESPONSE_FIELDS,
            source=False,
            **_sort_options(source),
        )
    )
    return _parse_rows(source, dict(answer))


def _query(filters: list[JSON]) -> JSON:
    return {"bool": {"filter": filters}} if filters else {"match_all": {}}


def _sort_options(source: HitSource) -> JSON:
    """Return id and code as sort values: no document is read, and the last row's are the next page's `search_after`."""
    sort = [{source.id_field: "asc"}, {source.code_field: "asc"}]
    return {"sort": sort, "track_total_hits": False, "stored_fields": "_none_"}


def _parse_rows(source: HitSource, answer: Mapping[str, Any]) -> Pairs:
    """The rows of a response; raises Unavailable unless every shard responded."""
    if "error" in answer:
        raise source.server.error_for(int(answer.get("status", 500)), *error_reason(answer))
    if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
        raise Unavailable(
            f"{source.server.name} could not search all shards of {source.index}", retry_after=RETRY_AFTER
        )
    hits = answer.get("hits", {}).get("hits", ())
    return np.array([hit["sort"] for hit in hits], np.int64).reshape(-1, 2)


def _retry_once(search: Any) -> Any:
    """Run a search, and retry it once if the index vanished because its alias was being switched."""
    try:
        return search()
    except IndexNotFound:
        time.sleep(_ALIAS_SWITCH_SECONDS)
        return search()
