"""One search in Elasticsearch: which rows are asked for, how they are ranked, and when all must be read."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.distances import Distances, merge, nearest, top_k
from lookalike.errors import Unavailable, UnsupportedQuery
from lookalike.indexes.elasticsearch.client import RETRY_AFTER, IndexNotFound, error_reason
from lookalike.indexes.elasticsearch.config import Settings
from lookalike.indexes.elasticsearch.filters import filters_of
from lookalike.indexes.elasticsearch.segments import CANDIDATE_COST, Codes, SegmentPlan, best_plan, expected_candidates
from lookalike.indexes.elasticsearch.storage import HashStorage, HitSource
from lookalike.types import FULLY_EXACT, Ids, Matches, ResolvedFilter

ENGINE = "elasticsearch"
"""The name of the engine in `Where.native`."""
MAX_PUSHED_IDS = 4096
"""Ids of a filter that travel with a search; more are looked up in what comes out."""

FIRST_PAGE_ROWS = 1000
"""Rows of the first page of a search; most have far fewer."""
SEARCHES_PER_REQUEST = 32
"""Searches sent in one request."""
_ALIAS_SWITCH_SECONDS = 0.2  # seconds for an alias to be switched, for a search that met the old index going

JSON = dict[str, Any]
Pairs = NDArray[np.int64]
"""`(n, 2)`, ids ascending, and codes as signed numbers."""
_RESPONSE_FIELDS = "hits.hits.sort,timed_out,_shards.failed,error,status"


def scope_filters(storage: HashStorage, tenant: int | None) -> list[JSON]:
    """What a row must be to count: ours, and the tenant's."""
    mine = [] if tenant is None else [{"term": {storage.fields["tenant"]: str(tenant)}}]
    return [*storage.filters(), *mine]


class Search:
    """A batch of queries with one scope. `size` gives the number of rows, to choose between two ways that both do."""

    def __init__(
        self,
        storage: HashStorage,
        settings: Settings,
        codes: Codes,
        k: int,
        tenant: int | None,
        filter: ResolvedFilter | None,
        row_count: Callable[[], int],
    ) -> None:
        self._storage = storage
        self._settings = settings
        self._codes = codes
        self._k = k
        self._row_count = row_count
        self._routing = storage.routing(tenant)
        self._filters, self._ids = scope_filters(storage, tenant), None
        if filter is not None:
            more, self._ids = _translate_filter(storage, filter)
            self._filters += more

    def run(self, radius: int) -> Matches:
        """The answer within `radius` bits, as far as the mode goes."""
        mode, plan = self._settings.mode, self._settings.plan
        promised = FULLY_EXACT if mode == "exact" else float(plan.radius)
        if not len(self._codes) or radius < 0 or (self._ids is not None and not len(self._ids)):
            return Matches(*_empty_matches(len(self._codes), self._k), promised)
        if mode == "published":
            return Matches(*self._search_segments(self._codes, plan, radius), promised)
        if mode == "guaranteed":
            return Matches(
                *self._search_segments(self._codes, self._plan(min(radius, plan.radius)), min(radius, plan.radius)),
                promised,
            )
        return Matches(*self._exact(radius), promised)

    def _exact(self, radius: int) -> tuple[Ids, Distances]:
        """Ask within a radius; read all rows for the queries that it proves nothing about, or where that costs less."""
        within = radius if radius <= self._settings.plan.radius else self._settings.plan.radius
        plan = self._plan(within)
        rows = self._row_count()
        if len(self._codes) * plan.cost(rows) >= CANDIDATE_COST * rows:
            return self._scan(self._codes, radius)
        ids, distances = self._search_segments(self._codes, plan, within)
        if radius > within:
            left = np.flatnonzero(~(distances[:, -1] <= within))
            if len(left):
                ids[left], distances[left] = self._scan(self._codes[left], radius)
        return ids, distances

    def _plan(self, radius: int) -> SegmentPlan:
        """The cheapest plan for a radius in the segments that there are."""
        plan = best_plan(radius, self._settings.rows, self._storage.segmentation)
        return plan or self._settings.plan

    def _search_segments(self, codes: Codes, plan: SegmentPlan, radius: int) -> tuple[Ids, Distances]:
        """What the segments bring, compared bit by bit."""
        searches = [[*self._filters, self._segment_query(code, plan)] for code in codes.tolist()]
        first = max(FIRST_PAGE_ROWS, math.ceil(1.5 * expected_candidates(plan, self._settings.rows)))
        found = [self._filter_rows(pairs) for pairs in fetch_all(self._storage.source, searches, self._routing, first)]
        query = np.repeat(np.arange(len(codes)), [len(pairs) for pairs in found])
        ids, stored = _columns(found)
        bits = np.bitwise_count(stored ^ codes[query])
        near = bits <= radius
        return top_k(query[near], ids[near], bits[near].astype(np.float32), len(codes), self._k)

    def _segment_query(self, code: int, plan: SegmentPlan) -> JSON:
        """The rule of a plan as a query: the article's `should` terms with `minimum_should_match`."""
        field = self._storage.fields["segments"]
        terms = self._storage.segmentation.terms(code, plan)
        if plan.min_matches == 1:
            return {"terms": {field: [term for segment in terms for term in segment]}}
        should = [
            {"term": {field: segment[0]}} if len(segment) == 1 else {"terms": {field: segment}} for segment in terms
        ]
        return {"bool": {"should": should, "minimum_should_match": plan.min_matches}}

    def _scan(self, codes: Codes, radius: int) -> tuple[Ids, Distances]:
        """All rows in scope, page by page, compared with all queries at once."""
        queries = _bytes(codes)
        best = Matches(*_empty_matches(len(codes), self._k), FULLY_EXACT)
        for page in fetch_pages(self._storage.source, self._filters, self._routing):
            ids, stored = _columns([self._filter_rows(page)])
            near = nearest("hamming", queries, _bytes(stored), ids, self._k, max_distance=float(radius))
            best = merge(best, near, self._k)
        return best.ids, best.distances

    def _filter_rows(self, pairs: Pairs) -> Pairs:
        """Without a row that is in two places while it moves, and without what a long list of ids leaves out."""
        if len(pairs) < 2 and self._ids is None:
            return pairs
        ids = pairs[:, 0]
        keep = np.ones(len(pairs), np.bool_)
        keep[1:] = ids[1:] != ids[:-1]
        if self._ids is not None and len(pairs):
            place = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
            keep &= self._ids[place] == ids
        return pairs if keep.all() else pairs[keep]


def _translate_filter(storage: HashStorage, filter: ResolvedFilter) -> tuple[list[JSON], Ids | None]:
    """A filter in Elasticsearch's words; and the ids that pass, where only the catalog can tell."""
    if unknown := [engine for engine in filter.engine_filter if engine != ENGINE]:
        raise UnsupportedQuery(f"this index is in Elasticsearch: it cannot filter in the words of {', '.join(unknown)}")
    native = filter.engine_filter.get(ENGINE)
    if native is not None and not (isinstance(native, dict) and native):
        raise UnsupportedQuery('a filter for Elasticsearch is a query in its own JSON, such as {"match": {...}}')
    asked = [] if native is None else [native]
    filters = filters_of(filter.conditions, storage.fields["attributes"]) if filter.conditions or asked else None
    if filters is not None:
        return filters + asked, None
    ids = np.unique(np.asarray(filter.ids(), np.int64))
    if len(ids) <= MAX_PUSHED_IDS:
        asked.append({"terms": {storage.fields["id"]: ids.tolist()}})
    return asked, ids


def _columns(found: Sequence[Pairs]) -> tuple[Ids, Codes]:
    pairs = found[0] if len(found) == 1 else np.concatenate(found)
    return pairs[:, 0].copy(), pairs[:, 1].copy().view(np.uint64)


def _bytes(codes: Codes) -> NDArray[np.uint8]:
    return np.ascontiguousarray(codes.astype("<u8")).view(np.uint8).reshape(-1, 8)


def _empty_matches(queries: int, k: int) -> tuple[Ids, Distances]:
    return np.full((queries, k), -1, np.int64), np.full((queries, k), np.inf, np.float32)


def fetch_all(
    table: HitSource, filters: Sequence[list[JSON]], routing: str | None, first: int = FIRST_PAGE_ROWS
) -> list[Pairs]:
    """For each search, given by its filters, all rows that pass; those with more than a page are asked on."""
    first = min(first, table.page)
    found: list[Pairs] = []
    for start in range(0, len(filters), SEARCHES_PER_REQUEST):
        found += _retry_once(
            lambda part=filters[start : start + SEARCHES_PER_REQUEST]: _first_pages(table, part, routing, first)
        )
    return [
        np.concatenate([pairs, *_pages(table, of_query, routing, pairs[-1].tolist())]) if len(pairs) == first else pairs
        for pairs, of_query in zip(found, filters, strict=True)
    ]


def fetch_pages(table: HitSource, filters: list[JSON], routing: str | None) -> Iterator[Pairs]:
    """All rows that pass, page by page."""
    return _pages(table, filters, routing, None)


def count_rows(table: HitSource, filters: list[JSON], routing: str | None) -> int:
    """How many rows pass."""
    answer = _retry_once(
        lambda: table.server.call(
            lambda client: client.count(index=table.index, query=_query(filters), routing=routing)
        )
    )
    if answer["_shards"]["failed"]:
        raise Unavailable(f"{table.server.name} could not count in all of {table.index}", retry_after=RETRY_AFTER)
    return int(answer["count"])


def _pages(table: HitSource, filters: list[JSON], routing: str | None, after: list[int] | None) -> Iterator[Pairs]:
    while True:
        pairs = _retry_once(lambda after=after: _page(table, filters, routing, table.page, after))
        yield pairs
        if len(pairs) < table.page:
            return
        after = pairs[-1].tolist()


def _first_pages(table: HitSource, filters: Sequence[list[JSON]], routing: str | None, size: int) -> list[Pairs]:
    if len(filters) == 1:
        return [_page(table, filters[0], routing, size, None)]
    header: JSON = {"allow_partial_search_results": False, **({"routing": routing} if routing else {})}
    searches: list[JSON] = []
    for of_query in filters:
        searches += [header, {"query": _query(of_query), "size": size, **_sort_options(table)}]
    answers = table.server.call(
        lambda client: client.msearch(
            searches=searches,
            index=table.index,
            filter_path=",".join(f"responses.{part}" for part in _RESPONSE_FIELDS.split(",")),
        )
    )
    return [_parse_rows(table, answer) for answer in answers["responses"]]


def _page(table: HitSource, filters: list[JSON], routing: str | None, size: int, after: list[int] | None) -> Pairs:
    answer = table.server.call(
        lambda client: client.search(
            index=table.index,
            query=_query(filters),
            size=size,
            search_after=after,
            routing=routing,
            allow_partial_search_results=False,
            filter_path=_RESPONSE_FIELDS,
            **_sort_options(table, in_body=False),
        )
    )
    return _parse_rows(table, dict(answer))


def _query(filters: list[JSON]) -> JSON:
    return {"bool": {"filter": filters}} if filters else {"match_all": {}}


def _sort_options(table: HitSource, *, in_body: bool = True) -> JSON:
    """Id and code come as sort values: nothing else has to be read for a row, and pages go on after the last one."""
    return {
        "sort": [{table.id_field: "asc"}, {table.code_field: "asc"}],
        "track_total_hits": False,
        "stored_fields": "_none_",
        ("_source" if in_body else "source"): False,
    }


def _parse_rows(table: HitSource, answer: Mapping[str, Any]) -> Pairs:
    """The rows of one answer; raises unless every shard took part."""
    if "error" in answer:
        raise table.server.error_for(int(answer.get("status", 500)), *error_reason(answer))
    if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
        raise Unavailable(f"{table.server.name} could not search all of {table.index}", retry_after=RETRY_AFTER)
    hits = answer.get("hits", {}).get("hits", ())
    return np.array([hit["sort"] for hit in hits], np.int64).reshape(-1, 2)


def _retry_once(search: Any) -> Any:
    """Once more where the index was switched for another at this very moment."""
    try:
        return search()
    except IndexNotFound:
        time.sleep(_ALIAS_SWITCH_SECONDS)
        return search()
