"""Asking for rows: all that a filter lets through, however many, as ids and codes."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import Unavailable
from lookalike.indexes.elasticsearch.client import RETRY_AFTER, ElasticClient, IndexNotFound, reason_of

FIRST = 1000
"""Rows of the first page of a search; most have far fewer."""
TOGETHER = 32
"""Searches sent in one request."""
_SWITCH = 0.2  # seconds for an alias to be switched, for a search that met the old index going

JSON = dict[str, Any]
Pairs = NDArray[np.int64]
"""`(n, 2)`, ids ascending, and codes as signed numbers."""
_PARTS = "hits.hits.sort,timed_out,_shards.failed,error,status"


@dataclass(frozen=True, slots=True)
class HitSource:
    """Where rows are: an index or alias, the fields of id and code, and how many rows a page may hold."""

    server: ElasticClient
    index: str
    id_field: str
    code_field: str
    page: int = 10_000


def fetch_all(table: HitSource, filters: Sequence[list[JSON]], routing: str | None, first: int = FIRST) -> list[Pairs]:
    """For each search, given by its filters, all rows that pass; those with more than a page are asked on."""
    first = min(first, table.page)
    found: list[Pairs] = []
    for start in range(0, len(filters), TOGETHER):
        found += _retry_once(lambda part=filters[start : start + TOGETHER]: _first_pages(table, part, routing, first))
    return [
        np.concatenate([pairs, *_pages(table, of_query, routing, pairs[-1].tolist())]) if len(pairs) == first else pairs
        for pairs, of_query in zip(found, filters, strict=True)
    ]


def fetch_pages(table: HitSource, filters: list[JSON], routing: str | None) -> Iterator[Pairs]:
    """All rows that pass, page by page."""
    return _pages(table, filters, routing, None)


def count_of(table: HitSource, filters: list[JSON], routing: str | None) -> int:
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
        searches += [header, {"query": _query(of_query), "size": size, **_shape(table)}]
    answers = table.server.call(
        lambda client: client.msearch(
            searches=searches,
            index=table.index,
            filter_path=",".join(f"responses.{part}" for part in _PARTS.split(",")),
        )
    )
    return [_checked(table, answer) for answer in answers["responses"]]


def _page(table: HitSource, filters: list[JSON], routing: str | None, size: int, after: list[int] | None) -> Pairs:
    answer = table.server.call(
        lambda client: client.search(
            index=table.index,
            query=_query(filters),
            size=size,
            search_after=after,
            routing=routing,
            allow_partial_search_results=False,
            filter_path=_PARTS,
            **_shape(table, in_body=False),
        )
    )
    return _checked(table, dict(answer))


def _query(filters: list[JSON]) -> JSON:
    return {"bool": {"filter": filters}} if filters else {"match_all": {}}


def _shape(table: HitSource, *, in_body: bool = True) -> JSON:
    """Id and code come as sort values: nothing else has to be read for a row, and pages go on after the last one."""
    return {
        "sort": [{table.id_field: "asc"}, {table.code_field: "asc"}],
        "track_total_hits": False,
        "stored_fields": "_none_",
        ("_source" if in_body else "source"): False,
    }


def _checked(table: HitSource, answer: Mapping[str, Any]) -> Pairs:
    """The rows of one answer; raises unless every shard took part."""
    if "error" in answer:
        raise table.server.refused(int(answer.get("status", 500)), *reason_of(answer))
    if answer.get("timed_out") or answer.get("_shards", {}).get("failed"):
        raise Unavailable(f"{table.server.name} could not search all of {table.index}", retry_after=RETRY_AFTER)
    hits = answer.get("hits", {}).get("hits", ())
    return np.array([hit["sort"] for hit in hits], np.int64).reshape(-1, 2)


def _retry_once(search: Any) -> Any:
    """Once more where the index was switched for another at this very moment."""
    try:
        return search()
    except IndexNotFound:
        time.sleep(_SWITCH)
        return search()
