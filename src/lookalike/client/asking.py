"""The room of the client where images are searched for, compared and looked up."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Unpack

from lookalike.client.requests import compare_body, search_body
from lookalike.client.responses import answer_of, cluster_of, comparison_of, parse, record_of, status_of
from lookalike.client.room import PAGE, Room, cursor_of, path_of
from lookalike.client.transport import Request
from lookalike.errors import BadInput, ImageRejected, NotFound
from lookalike.results import (
    DEFAULT_TENANT,
    Cluster,
    ClusterPage,
    Comparison,
    Failure,
    Filter,
    Query,
    SearchOptions,
    Status,
)
from lookalike.text import storable
from lookalike.types import Answer, Record

AT_ONCE = 4
"""Queries of `search_many` that are under way at the same time."""


class Asking(Room):
    """Nothing here changes anything, so every request may be repeated."""

    def search(self, query: Query, **options: Unpack[SearchOptions]) -> Answer:
        """The images most like the query, best first; a path is that of a file of this machine."""
        body = search_body(query, options, self._limits)
        call = Request("POST", "/v1/search", headers=self._headers(options.get("tenant")), body=body)
        return parse(answer_of, self._transport.json(call))

    def search_many(
        self, queries: Iterable[Query], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """Like `search`, for many queries, a few at a time: each with its answer, or with what is wrong with it."""

        def ask(query: Query) -> Answer | Failure:
            try:
                return self.search(query, **options)
            except (ImageRejected, NotFound) as error:
                return error

        underway: deque[tuple[Query, Future[Answer | Failure]]] = deque()
        rest = iter(queries)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="lookalike-client") as threads:
            try:
                while True:
                    underway.extend((q, threads.submit(ask, q)) for q in islice(rest, AT_ONCE - len(underway)))
                    if not underway:
                        return
                    query, answer = underway.popleft()
                    yield query, answer.result()
            finally:
                for _, answer in underway:
                    answer.cancel()

    def compare(self, a: Query, b: Query, *, tenant: str = DEFAULT_TENANT) -> Comparison:
        """What each pipeline says of two images; stored ones are named by `StoredImage`, others need not be known."""
        call = Request("POST", "/v1/compare", headers=self._headers(tenant), body=compare_body(a, b, self._limits))
        return parse(comparison_of, self._transport.json(call))

    def get(self, key: str, *, tenant: str = DEFAULT_TENANT) -> Record:
        """The record of an image; raises NotFound."""
        return self._record(self._json("GET", path_of(key), tenant), tenant)

    def get_thumbnail(self, key: str, *, tenant: str = DEFAULT_TENANT, size: int = 384) -> bytes:
        """A small JPEG of an image, upright, its longer side `size` pixels; no larger than the image."""
        call = Request("GET", f"{path_of(key)}/thumbnail", headers=self._headers(tenant), params={"size": size})
        return self._transport.send(call).content

    def ls(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        after: str | None = None,
        limit: int = 100,
        filter: Filter | None = None,
        prefix: str = "",
    ) -> list[Record]:
        """Records in the order of their keys, `limit` at a time, those after the key `after`.

        Only those whose keys begin with `prefix`, as it is written: case counts, and no character is a wildcard.
        """
        if limit < 1:
            raise BadInput(f"a limit of {limit} makes no sense; 1 is the least")
        if not storable(prefix):
            return []  # no key begins so, and no request can say it
        records: list[Record] = []
        cursor = None if after is None else cursor_of(after)
        while len(records) < limit:
            params: dict[str, str | int] = {"limit": min(limit - len(records), PAGE)}
            params |= {"cursor": cursor} if cursor else {}
            params |= {"filter": json.dumps(filter)} if filter else {}
            params |= {"prefix": prefix} if prefix else {}
            told = self._transport.json(Request("GET", "/v1/images", headers=self._headers(tenant), params=params))
            records += parse(lambda told: [record_of(one, self._named(tenant)) for one in told["images"]], told)
            cursor = told.get("next")
            if cursor is None:
                break
        return records

    def duplicates(self, *, tenant: str = DEFAULT_TENANT, pipelines: Sequence[str] | None = None) -> Iterator[Cluster]:
        """Clusters of images that are copies of one another, page by page."""
        after: str | None = None
        while True:
            page = self.duplicates_page(tenant=tenant, pipelines=pipelines, after=after)
            yield from page.clusters
            after = page.after
            if after is None:
                return

    def duplicates_page(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        pipelines: Sequence[str] | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ClusterPage:
        """The next clusters, `after` being what the page before gave; one may be empty and yet say where to go on."""
        params: list[tuple[str, str | int]] = [("limit", limit), *(("pipelines", name) for name in pipelines or ())]
        params += [("cursor", after)] if after is not None else []
        told = self._transport.json(Request("GET", "/v1/duplicates", headers=self._headers(tenant), params=params))
        return parse(
            lambda told: ClusterPage(
                tuple(cluster_of(one, self._named(tenant)) for one in told["clusters"]), told["next"]
            ),
            told,
        )

    def status(self) -> Status:
        """How many images there are, as far as the key may see them, and how each pipeline stands."""
        return parse(status_of, self._json("GET", "/v1/status", DEFAULT_TENANT))
