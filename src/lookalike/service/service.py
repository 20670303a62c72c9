"""The search service: one gallery, its catalog and its pipelines, behind one set of methods."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from lookalike.catalog import Catalog
from lookalike.errors import ImageRejected, LookalikeError, NotFound, UnsupportedQuery
from lookalike.imaging import Limits, Source, prepare, read_bytes
from lookalike.pipeline import Pipeline
from lookalike.service.compare import Comparison, compare_prepared
from lookalike.service.duplicates import Cluster, clusters
from lookalike.service.filters import Filter, conditions_of, where_of
from lookalike.service.ingest import Ingest
from lookalike.service.lock import WriterLock
from lookalike.service.opened import Opened, Pipelines, catch_up, keep_pace
from lookalike.service.search import Queried, Request, Searcher, Stages
from lookalike.service.sources import items_of
from lookalike.service.status import RepairReport, Status, rebuild, status_of
from lookalike.types import Answer, Attributes, Item, Outcome, Prepared, Record

Query = str | Path | bytes
"""A query: the path of a picture, or its bytes."""
DEFAULT_TENANT = "default"
NOBODY = -1
"""The id of a tenant that has nothing."""
QUERY_BATCH = 64
"""Queries prepared, encoded and searched together."""
FOLLOW_EVERY = 4096
"""Added pictures after which the indexes catch up, so that the end of a long run is not one long wait."""


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
    where: Filter | None
    threshold: float | None
    pipelines: Sequence[str] | None
    orientations: bool
    min_sequence: int | None
    engine_filter: Mapping[str, Any] | None


class SearchService:
    """One gallery. Methods are safe to call from several threads; one process writes, any number read.

    With a catalog on a server any number of processes write, and see one another's pictures.

    `names` are the gallery's pipelines in order of precedence; `build` opens one by name when it is first needed.
    """

    def __init__(
        self,
        catalog: Catalog,
        names: Sequence[str],
        build: Callable[[str], Pipeline],
        lock: WriterLock,
        *,
        limits: Limits | None = None,
        workers: int | None = None,
    ) -> None:
        self._catalog = catalog
        self._lock = lock
        self._limits = limits or Limits()
        self._pipelines = Pipelines(names, build, catalog, lock, self._limits, workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of the gallery's pipelines, in order of precedence."""
        return self._pipelines.names

    @property
    def catalog(self) -> Catalog:
        """The truth beneath; for jobs and access keys, which are no business of searches."""
        return self._catalog

    @property
    def limits(self) -> Limits:
        """What a picture may take."""
        return self._limits

    def close(self) -> None:
        """Save what is worth saving, and release files and the right to write."""
        self._pipelines.close()
        self._catalog.close()
        self._lock.close()

    # -- writing ------------------------------------------------------------------------------------------------

    def add(
        self,
        what: str | Path | Iterable[str | Path | Item],
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> list[Outcome]:
        """Add files, folders or items, and give each one's outcome, in a list; see `add_iter` for large folders."""
        return list(self.add_iter(what, key=key, attributes=attributes, tenant=tenant))

    def add_iter(
        self,
        what: str | Path | Iterable[str | Path | Item | Outcome],
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> Iterator[Outcome]:
        """Add files, folders or items, and give each one's outcome as soon as it is durable.

        Adding the same again changes nothing: a picture is known by tenant and key, an unchanged one is recognised
        by its file's size and time or its digest, without decoding. A picture that cannot be read is rejected with
        the reason and stops nothing. Raises GalleryBusy while another process writes.
        """
        items = items_of(what, key, attributes)
        with self._lock:
            tenant_id = self._catalog.tenant_id(tenant, create=True)
            opened = self._pipelines.open()
            run = Ingest(self._catalog, [o.pipeline for o in opened], self._pipelines.decoder(opened), tenant_id)
            for count, outcome in enumerate(run.run(items), 1):
                if count % FOLLOW_EVERY == 0:
                    catch_up(opened)
                yield outcome
            catch_up(opened, save=True)

    def remove(self, keys: str | Iterable[str], *, tenant: str = DEFAULT_TENANT) -> list[str]:
        """Forget pictures; gives the keys that were there. Durable when it returns; files are never touched."""
        wanted = [keys] if isinstance(keys, str) else list(keys)
        with self._lock:
            tenant_id = self._catalog.tenant_id(tenant)
            if tenant_id is None:
                return []
            return [gone.key for gone in self._catalog.delete(tenant_id, wanted)]

    def set_attributes(
        self, key: str, attributes: Attributes, *, merge: bool = True, tenant: str = DEFAULT_TENANT
    ) -> Record:
        """Change what is kept with a picture: merged into the old attributes, or instead of them."""
        with self._lock:
            self._catalog.set_attributes(self._tenant(tenant, key), key, attributes, merge=merge)
        return self.get(key, tenant=tenant)

    # -- reading ------------------------------------------------------------------------------------------------

    def search(self, query: Query, **options: Unpack[SearchOptions]) -> Answer:
        """The pictures most like the query, best first: the same bytes or pixels, then copies, then similar ones.

        For the options see `SearchOptions`. Raises ImageRejected for what is no picture, UnsupportedQuery for what
        cannot be answered as asked.
        """
        [(_, answer)] = self.search_many([query], **options)
        if isinstance(answer, LookalikeError):
            raise answer
        return answer

    def search_many(
        self, queries: Iterable[Query], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | ImageRejected]]:
        """Like `search`, for many queries in batches: each with its answer, or with what is wrong with it."""
        opened = self._pipelines.open(options.get("pipelines"))
        request = self._request(options)
        request.check()
        at_least = options.get("min_sequence")
        if at_least is not None and at_least > (now := self._catalog.sequence()):
            raise UnsupportedQuery(f"min_sequence {at_least} is in the future: the last change is {now}")
        return self._answers(iter(queries), opened, request, at_least)

    def _answers(
        self, queries: Iterator[Query], opened: Sequence[Opened], request: Request, at_least: int | None
    ) -> Iterator[tuple[Query, Answer | ImageRejected]]:
        asked: deque[Query] = deque()

        def sources() -> Iterator[Source]:
            for query in queries:
                asked.append(query)
                yield Source(data=query) if isinstance(query, bytes) else Source(path=Path(query))

        searcher = Searcher(self._catalog, [o.pipeline for o in opened])
        stages = Stages()
        prepared = self._pipelines.decoder(opened).map(sources())
        while batch := list(islice(prepared, QUERY_BATCH)):
            stages.mark("decode")
            sequence = keep_pace(opened, at_least)
            stages.mark("follow")
            pairs = [(asked.popleft(), picture) for picture in batch]
            good = [Queried(p, q if isinstance(q, bytes) else Path(q)) for q, p in pairs if isinstance(p, Prepared)]
            answers = iter(searcher.answer(good, request, sequence, stages) if good else [])
            for query, picture in pairs:
                if isinstance(picture, Prepared):
                    yield query, next(answers)
                elif isinstance(picture, ImageRejected):
                    yield query, picture
            stages = Stages()

    def _request(self, options: SearchOptions) -> Request:
        tenant = options.get("tenant", DEFAULT_TENANT)
        tenant_id = None if tenant is None else self._catalog.tenant_id(tenant)
        if tenant is not None and tenant_id is None:
            tenant_id = NOBODY
        return Request(
            k=options.get("k", 10),
            page=options.get("page", 1),
            tenant=tenant_id,
            where=where_of(self._catalog, tenant_id, options.get("where"), options.get("engine_filter")),
            threshold=options.get("threshold"),
            orientations=options.get("orientations", True),
            fresh=options.get("min_sequence") is not None,
        )

    def compare(self, a: Query, b: Query) -> Comparison:
        """What each pipeline says of two pictures, neither of which need be in the gallery."""
        opened = self._pipelines.open()
        inputs = [o.pipeline.input for o in opened]
        first, second = (
            prepare(_bytes(q, self._limits), inputs, limits=self._limits, want_pixels=True) for q in (a, b)
        )
        return compare_prepared(first, second, [o.pipeline for o in opened])

    def duplicates(self, *, tenant: str = DEFAULT_TENANT, pipelines: Sequence[str] | None = None) -> Iterator[Cluster]:
        """Clusters of pictures that are copies of one another, as they are found; never all pairs."""
        tenant_id = self._catalog.tenant_id(tenant)
        if tenant_id is None:
            return iter(())
        opened = self._pipelines.open(pipelines)
        keep_pace(opened)
        return clusters(self._catalog, [o.pipeline for o in opened], tenant_id)

    def get(self, key: str, *, tenant: str = DEFAULT_TENANT) -> Record:
        """The record of a picture; raises NotFound."""
        return self._catalog.get(self._tenant(tenant, key), key)

    def ls(
        self, *, tenant: str = DEFAULT_TENANT, after: str | None = None, limit: int = 100, where: Filter | None = None
    ) -> list[Record]:
        """Records in the order of their keys, `limit` at a time, those after the key `after`."""
        tenant_id = self._catalog.tenant_id(tenant)
        if tenant_id is None:
            return []
        return self._catalog.browse(tenant_id, after=after, limit=limit, conditions=conditions_of(where or {}))

    def status(self) -> Status:
        """How many pictures there are, and how each pipeline stands to the catalog."""
        return status_of(self._catalog, {name: self._pipelines.try_open(name) for name in self.pipelines})

    def repair(self) -> RepairReport:
        """Check the catalog, and build every index anew from it; raises Damaged where the catalog itself is."""
        with self._lock:
            return rebuild(self._catalog, {o.pipeline.name: o.follower for o in self._pipelines.open()})

    def keep_up(self) -> int:
        """Bring every index that is open up to the catalog and save what is worth it; gives the change all reached.

        A service calls it every now and then, so that no search has to.
        """
        opened = self._pipelines.now_open()
        catch_up(opened, save=self._lock.held)
        return min((o.follower.applied for o in opened), default=0)

    # -- inside -------------------------------------------------------------------------------------------------

    def _tenant(self, tenant: str, key: str) -> int:
        tenant_id = self._catalog.tenant_id(tenant)
        if tenant_id is None:
            raise NotFound(f"no picture {key!r} in tenant {tenant!r}")
        return tenant_id


def _bytes(query: Query, limits: Limits) -> bytes:
    return query if isinstance(query, bytes) else read_bytes(Path(query), limits)
