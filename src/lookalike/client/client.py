"""The client of a service's gallery: the methods of `GalleryAPI` over HTTP."""

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import quote

from lookalike.client.folders import FolderPrefixes
from lookalike.client.requests import (
    QueryBatch,
    bytes_of,
    compare_body,
    cursor_after,
    exif_params,
    image_path,
    job_path,
    pipeline_path,
    query_batches,
    query_body,
    search_batch_body,
    search_body,
    why_not_body,
)
from lookalike.client.responses import (
    Job,
    answer_of,
    batch_answer_of,
    change_of,
    cluster_of,
    comparison_of,
    diagnosis_of,
    explanation_of,
    index_move_of,
    job_of,
    outcome_of,
    pipeline_of,
    pipelines_of,
    record_of,
    repair_report_of,
    status_of,
)
from lookalike.client.transport import Params, Request, RetryPolicy, Transport
from lookalike.client.uploads import Uploads
from lookalike.errors import BadInput, BadSetting, NotFound, Unavailable, UnsupportedQuery
from lookalike.image_files import files_of, with_keys
from lookalike.imaging import Limits
from lookalike.interfaces import GalleryAPI
from lookalike.pipeline_change import PipelineChange
from lookalike.results import (
    CHANGES_PAGE,
    DEFAULT_TENANT,
    THUMBNAIL_SIZE,
    ChangePage,
    Cluster,
    ClusterPage,
    Comparison,
    DeleteResult,
    Diagnosis,
    Explanation,
    Failure,
    Filter,
    GalleryPipeline,
    ImageFeatures,
    IndexMove,
    Precondition,
    Query,
    RepairReport,
    SearchOptions,
    Status,
    check_search_options,
)
from lookalike.text import storable
from lookalike.types import Addable, Answer, Attributes, Item, Outcome, PixelSource, Record
from lookalike.unknown_names import methods_suggest_keywords
from lookalike.wire.comparison import Comparison as ComparisonObject
from lookalike.wire.duplicates import ClusterList
from lookalike.wire.explanation import Diagnosis as DiagnosisObject
from lookalike.wire.explanation import Explanation as ExplanationObject
from lookalike.wire.folders import Folder
from lookalike.wire.images import ChangeList, Image, ImageList
from lookalike.wire.images import DeleteResult as DeleteResultObject
from lookalike.wire.images import Outcome as OutcomeObject
from lookalike.wire.jobs import Job as JobObject
from lookalike.wire.objects import parse
from lookalike.wire.pipelines import DroppedIndex, PipelineList
from lookalike.wire.pipelines import Pipeline as PipelineObject
from lookalike.wire.search import BatchAnswer, SearchAnswer, SearchBatchAnswer
from lookalike.wire.status import Status as StatusObject

T = TypeVar("T")
PAGE_SIZE = 1000
"""Records, and keys to remove, of one request."""
PARALLEL_SEARCHES = 4
"""Requests of `search_many` that are sent at the same time."""
MAX_HEADER_BYTES = 4096
"""Attributes longer than this are sent in the body instead of a header."""
MIN_POLL_SECONDS, MAX_POLL_SECONDS = 0.1, 2.0
"""Seconds between two requests for a job's state: at first, and at last."""
POLL_GROWTH = 1.5


@methods_suggest_keywords
class Client(GalleryAPI):
    """The gallery of a service. Safe to use from several threads.

    Methods, results and errors are those of `GalleryAPI`, with these differences: paths and ids of the service's images
    are not known; a `tenant` of "default" is that of the API key; and every method may raise Unavailable where the
    service does not respond, and AccessDenied where the API key is missing or not allowed to do this. Idempotent
    requests are retried up to three times.
    """

    def __init__(self, url: str, key: str | None = None, tenant: str | None = None, *, timeout: float = 60.0) -> None:
        """Connect at the first request.

        Args:
            url: the service, as `https://images.example`.
            key: an API key, where the service requires one.
            tenant: whose images, for an API key that is bound to no tenant.
            timeout: seconds, for each part of a request or response.

        Raises:
            BadSetting: the URL or the timeout is invalid.
        """
        self._transport = Transport(url, key, timeout)
        self._tenant = tenant or DEFAULT_TENANT
        self._limits = Limits()

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def url(self) -> str:
        """The service's URL."""
        return self._transport.url

    @property
    def pipelines(self) -> tuple[str, ...]:
        """The names of the gallery's pipelines, in order of precedence."""
        return tuple(pipeline.name for pipeline in self.status().pipelines)

    # -- search

    def search(self, query: Query, **options: Unpack[SearchOptions]) -> Answer:
        body = search_body(query, options, self._limits)
        headers = self._headers(options.get("tenant") or DEFAULT_TENANT)
        response = self._transport.json(Request("POST", "/v1/search", headers=headers, body=body))
        return answer_of(parse(SearchAnswer, response))

    def search_many(
        self, queries: Iterable[Query], **options: Unpack[SearchOptions]
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        check_search_options(options)
        return self._search_runs(queries, options)

    def _search_runs(
        self, queries: Iterable[Query], options: SearchOptions
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        """Answer runs of images in batches, and runs of features one by one."""
        for is_features, run in groupby(queries, lambda query: isinstance(query, ImageFeatures)):
            search = self._search_features if is_features else self._search_each
            yield from search(run, options)

    def _search_features(
        self, queries: Iterable[Query], options: SearchOptions
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        for query in queries:
            try:
                yield query, self.search(query, **options)
            except UnsupportedQuery as error:
                yield query, error

    def _search_each(
        self, queries: Iterable[Query], options: SearchOptions
    ) -> Iterator[tuple[Query, Answer | Failure]]:
        pending: deque[Future[list[tuple[Query, Answer | Failure]]]] = deque()
        batches = query_batches(queries, self._limits)
        with ThreadPoolExecutor(PARALLEL_SEARCHES, thread_name_prefix="lookalike-client") as threads:
            try:
                while True:
                    free = PARALLEL_SEARCHES - len(pending)
                    pending.extend(
                        threads.submit(self._search_batch, batch, options) for batch in islice(batches, free)
                    )
                    if not pending:
                        return
                    yield from pending.popleft().result()
            finally:
                for answers in pending:
                    answers.cancel()

    def _search_batch(self, batch: QueryBatch, options: SearchOptions) -> list[tuple[Query, Answer | Failure]]:
        """Answer the queries of one request; an error that is not of one image is raised."""
        answers: Iterator[BatchAnswer] = iter(())
        if batch.sources:
            headers, body = (
                self._headers(options.get("tenant") or DEFAULT_TENANT),
                search_batch_body(batch.sources, options),
            )
            response = self._transport.json(Request("POST", "/v1/search:batch", headers=headers, body=body))
            answers = iter(parse(SearchBatchAnswer, response).answers)
        return [
            (query, batch_answer_of(next(answers)) if failure is None else failure) for query, failure in batch.queries
        ]

    def compare(self, a: Query, b: Query, *, tenant: str = DEFAULT_TENANT) -> Comparison:
        headers, body = self._headers(tenant), compare_body(a, b, self._limits)
        response = self._transport.json(Request("POST", "/v1/compare", headers=headers, body=body))
        return comparison_of(parse(ComparisonObject, response))

    def explain(self, query: Query, key: str, *, tenant: str = DEFAULT_TENANT) -> Explanation:
        headers, body = self._headers(tenant), query_body(query, {"key": key}, self._limits)
        response = self._transport.json(Request("POST", "/v1/explain", headers=headers, body=body))
        return explanation_of(parse(ExplanationObject, response))

    def why_not(self, query: Query, key: str, **options: Unpack[SearchOptions]) -> Diagnosis:
        headers = self._headers(options.get("tenant", DEFAULT_TENANT) or DEFAULT_TENANT)
        body = why_not_body(query, key, options, self._limits)
        response = self._transport.json(Request("POST", "/v1/why-not", headers=headers, body=body))
        return diagnosis_of(parse(DiagnosisObject, response))

    # -- images

    def get(self, key: str, *, tenant: str = DEFAULT_TENANT) -> Record:
        return self._record_of(self._call(Image, "GET", image_path(key), tenant), tenant)

    def get_thumbnail(self, key: str, *, tenant: str = DEFAULT_TENANT, size: int = THUMBNAIL_SIZE) -> bytes:
        path = f"{image_path(key)}/thumbnail"
        return self._transport.send(Request("GET", path, headers=self._headers(tenant), params={"size": size})).content

    def ls(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        after: str | None = None,
        limit: int = 100,
        filter: Filter | None = None,
        prefix: str = "",
        contains: str = "",
        sort: str = "key",
    ) -> list[Record]:
        if limit < 1:
            raise BadInput(f"limit must be at least 1, not {limit}")
        if not (storable(prefix) and storable(contains)):
            return []  # no key contains it, and neither can a request
        records: list[Record] = []
        cursor = None if after is None else cursor_after(after)
        while len(records) < limit:
            params: dict[str, str | int] = {"limit": min(limit - len(records), PAGE_SIZE)}
            params |= {"cursor": cursor} if cursor else {}
            params |= {"filter": json.dumps(filter)} if filter else {}
            params |= {"prefix": prefix} if prefix else {}
            params |= {"contains": contains} if contains else {}
            params |= {"sort": sort} if sort != "key" else {}
            page = self._call(ImageList, "GET", "/v1/images", tenant, params=params)
            records += [self._record_of(image, tenant) for image in page.images]
            cursor = page.next
            if cursor is None:
                break
        return records

    def add_iter(
        self,
        what: Addable,
        *,
        key: str | None = None,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
        exif: bool = True,
        exclude: Sequence[str] = (),
        again: bool = False,
    ) -> Iterator[Outcome]:
        """Add files, folders or items of this machine, and yield each outcome; see `GalleryAPI.add_iter`.

        Files are read while they are sent, up to 64 a request. A batch whose connection was lost is sent again.
        """
        headers = self._headers(tenant)
        put = partial(self._put, tenant=tenant, exif=exif)
        uploads = Uploads(self._transport, headers, self._limits, put, exif=exif)
        prefixes = FolderPrefixes(partial(self._folder_prefix, tenant))
        return uploads.run(with_keys(files_of(what, key, attributes, exclude), prefixes))

    def _folder_prefix(self, tenant: str, folder: str, machine: str, *, alone: bool, remember: bool) -> str:
        body = {"folder": folder, "machine": machine, "alone": alone, "remember": remember}
        return self._call(Folder, "POST", "/v1/folders", tenant, json=body).prefix

    def put(
        self,
        key: str,
        data: bytes | Path | PixelSource,
        *,
        attributes: Attributes | None = None,
        tenant: str = DEFAULT_TENANT,
        expected: Precondition = None,
        exif: bool = True,
    ) -> Outcome:
        return self._put(Item(key, data, attributes), tenant, expected, exif=exif)

    def set_attributes(
        self,
        key: str,
        attributes: Attributes,
        *,
        merge: bool = True,
        tenant: str = DEFAULT_TENANT,
        expected: int | None = None,
    ) -> Record:
        body = {"attributes": dict(attributes), "merge": merge}
        retry: RetryPolicy = "always" if expected is None else "refused"
        headers = _if_match(expected)
        image = self._call(Image, "PATCH", image_path(key), tenant, json=body, headers=headers, retry=retry)
        return self._record_of(image, tenant)

    def remove(
        self, keys: str | Iterable[str], *, tenant: str = DEFAULT_TENANT, expected: int | None = None
    ) -> list[str]:
        """Remove images; see `GalleryAPI.remove`. Not retried once sent: the second response would lack the keys.

        Raises:
            BadSetting: `expected` with more than one key.
        """
        unique = [keys] if isinstance(keys, str) else list(dict.fromkeys(keys))
        if expected is not None:
            if len(unique) != 1:
                raise BadSetting("a service removes only a single image with a precondition; give one key")
            return self._remove_expected(unique[0], tenant, expected)
        removed: list[str] = []
        for start in range(0, len(unique), PAGE_SIZE):
            removed += self._delete({"keys": unique[start : start + PAGE_SIZE]}, tenant).keys
        return removed

    def remove_by_filter(self, filter: Filter, *, tenant: str = DEFAULT_TENANT) -> DeleteResult:
        result = self._delete({"filter": dict(filter)}, tenant)
        return DeleteResult(result.keys, result.sequence, result.deleted)

    def changes(
        self,
        *,
        after: int | str = 0,
        tenant: str | None = DEFAULT_TENANT,
        limit: int = CHANGES_PAGE,
        wait: float = 0.0,
    ) -> ChangePage:
        """The changes after a sequence number; see `GalleryAPI.changes`. It waits at most half of the timeout."""
        params: dict[str, str | int] = {"after": str(after), "limit": limit}
        if wait:
            params["wait"] = f"{min(wait, self._transport.timeout / 2):g}"
        if tenant is None:
            params["tenants"] = "all"
        owner = tenant or DEFAULT_TENANT
        page = self._call(ChangeList, "GET", "/v1/changes", owner, params=params)
        changes = tuple(change_of(change, self._tenant_name(owner)) for change in page.changes)
        return ChangePage(changes, page.next, page.sequence, page.more)

    # -- duplicates

    def duplicates(self, *, tenant: str = DEFAULT_TENANT, pipelines: Sequence[str] | None = None) -> Iterator[Cluster]:
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
        """The next clusters, `after` being the cursor of the page before; see `GalleryAPI.duplicates_page`."""
        params: list[tuple[str, str | int]] = [("limit", limit), *(("pipelines", name) for name in pipelines or ())]
        params += [("cursor", after)] if after is not None else []
        page = self._call(ClusterList, "GET", "/v1/duplicates", tenant, params=params)
        name = self._tenant_name(tenant)
        return ClusterPage(tuple(cluster_of(cluster, name) for cluster in page.clusters), page.next)

    def not_a_match(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        self._send_feedback("POST", keys, tenant)

    def not_a_match_undo(self, keys: Sequence[str], *, tenant: str = DEFAULT_TENANT) -> None:
        self._send_feedback("DELETE", keys, tenant)

    # -- the gallery

    def status(self) -> Status:
        return status_of(self._call(StatusObject, "GET", "/v1/status", DEFAULT_TENANT))

    def repair(self, *, verification_records: bool = False) -> RepairReport:
        """Check the catalog and rebuild every index in a job, and wait for it; see `GalleryAPI.repair`.

        The API key needs the scope admin.
        """
        request = {"kind": "repair", "verification_records": verification_records}
        return repair_report_of(self.wait_for(self.start_job(request).id))

    # -- pipelines

    def pipeline_states(self) -> list[GalleryPipeline]:
        return pipelines_of(self._call(PipelineList, "GET", "/v1/pipelines", DEFAULT_TENANT))

    def add_pipeline(self, name: str, *, index: str | None = None) -> GalleryPipeline:
        """Add a shadow pipeline; see `GalleryAPI.add_pipeline`. `index` is one in the server's process, no URL.

        The API key needs the scope admin, as for all changes of pipelines.
        """
        body = {"name": name} if index is None else {"name": name, "index": index}
        return pipeline_of(self._call(PipelineObject, "POST", "/v1/pipelines", DEFAULT_TENANT, json=body))

    def backfill(self, name: str, *, retry: bool = False) -> GalleryPipeline:
        """Encode in a job of the server, and wait for it; see `GalleryAPI.backfill`."""
        self.wait_for(self.start_job({"kind": "backfill", "pipeline": name, "retry": retry}).id)
        return next(pipeline for pipeline in self.pipeline_states() if pipeline.name == name)

    def promote_pipeline(self, name: str, *, replace: bool = False, incomplete: bool = False) -> list[GalleryPipeline]:
        body = {"replace": replace, "incomplete": incomplete}
        path = pipeline_path(name, "promote")
        return pipelines_of(self._call(PipelineList, "POST", path, DEFAULT_TENANT, json=body))

    def drop_pipeline(self, name: str) -> None:
        self._call(PipelineList, "POST", pipeline_path(name, "drop"), DEFAULT_TENANT, json={})

    def move_index(self, pipeline: str, to: str, *, force: bool = False) -> IndexMove:
        """Move in a job of the server, and wait for it; see `GalleryAPI.move_index`.

        The server connects only to engines that its own settings name; the API key needs the scope admin.
        """
        request = {"kind": "move_index", "pipeline": pipeline, "to": to, "force": force}
        return index_move_of(self.wait_for(self.start_job(request).id))

    def drop_index(self, pipeline: str, *, forget: bool = False) -> str:
        path = pipeline_path(pipeline, "drop-index")
        return self._call(DroppedIndex, "POST", path, DEFAULT_TENANT, json={"forget": forget}).dropped

    def compare_pipelines(
        self,
        new: str,
        *,
        old: str | None = None,
        sample: int = 200,
        edits: Sequence[str] = (),
        live: bool = False,
        seed: int = 0,
        tenant: str = DEFAULT_TENANT,
    ) -> PipelineChange:
        """Search for a sample of the gallery's images by two of its pipelines in a job of the server, and compare.

        Args:
            new: name of a pipeline, which may be shadow.
            old: name of the other one; by default the one that ranks.
            sample: images to search for, at most 1,000.
            edits: names of edits; copies of the images are searched for as well.
            live: also search by the features of users' queries that the server that runs the job has kept.
            seed: of the choice of images and of the edits.
            tenant: owner of the images.

        Raises:
            BadInput: one of these is invalid.
            UnsupportedQuery: there is no such pipeline.
            Unavailable: the engine of a pipeline does not answer.
        """
        request: dict[str, Any] = {
            "kind": "compare_pipelines", "pipeline": new, "sample": sample, "edits": list(edits), "live": live,
            "seed": seed,
        }  # fmt: skip
        request |= {} if old is None else {"old": old}
        job = self.wait_for(self.start_job(request, tenant=tenant).id, tenant=tenant)
        return PipelineChange.of_json(job.result["comparison"])

    # -- jobs

    def start_job(self, request: Mapping[str, Any], *, tenant: str = DEFAULT_TENANT) -> Job:
        """Queue a job. Not retried once it was sent, as it might be queued twice.

        Args:
            request: as the HTTP API takes it: `{"kind": "import", "urls": [...]}`, repair, duplicates, delete,
                backfill, move_index or compare_pipelines.
            tenant: whose images.

        Raises:
            BadInput: the request is invalid.
            Unavailable: too many jobs are queued.
        """
        return job_of(self._call(JobObject, "POST", "/v1/jobs", tenant, json=dict(request), retry="unsent"))

    def job(self, id: str, *, tenant: str = DEFAULT_TENANT) -> Job:  # noqa: A002 - the API's own word
        """The state of a job; raises NotFound."""
        return job_of(self._call(JobObject, "GET", job_path(id), tenant))

    def cancel_job(self, id: str, *, tenant: str = DEFAULT_TENANT) -> Job:  # noqa: A002
        """Cancel a job; what it has done stays done. Raises NotFound."""
        return job_of(self._call(JobObject, "POST", f"{job_path(id)}:cancel", tenant, json={}))

    def wait_for(self, id: str, *, tenant: str = DEFAULT_TENANT, seconds: float | None = None) -> Job:  # noqa: A002
        """Poll a job until it is done.

        Args:
            id: the job's id.
            tenant: whose job.
            seconds: the timeout; None waits without limit.

        Raises:
            LookalikeError: the error with which the job failed.
            Unavailable: it was cancelled, or is not done after `seconds`.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        delay = MIN_POLL_SECONDS
        while not (job := self.job(id, tenant=tenant)).ended:
            if deadline is not None and time.monotonic() >= deadline:
                raise Unavailable(f"job {job.id} ({job.kind}) is {job.state} and not done after {seconds:g} seconds")
            time.sleep(delay)
            delay = min(delay * POLL_GROWTH, MAX_POLL_SECONDS)
        if job.error is not None:
            raise job.error
        if job.state != "done":
            raise Unavailable(f"job {job.id} ({job.kind}) was {job.state}")
        return job

    # -- requests

    def _call(
        self,
        kind: type[T],
        method: str,
        path: str,
        tenant: str,
        *,
        json: Any = None,
        params: Params = (),
        headers: Mapping[str, str] | None = None,
        retry: RetryPolicy = "always",
    ) -> T:
        """Send a request, with or without a JSON body, and parse its response."""
        body = {} if json is None else {"json": json}
        sent = self._headers(tenant) | dict(headers or {})
        return parse(kind, self._transport.json(Request(method, path, retry, sent, params, lambda: body)))

    def _put(self, item: Item, tenant: str, expected: Precondition = None, *, exif: bool = True) -> Outcome:
        data = bytes_of(item.source, self._limits)
        headers = self._headers(tenant)
        headers |= {"If-None-Match": "*"} if expected == "absent" else _if_match(expected)
        attributes = None if item.attributes is None else json.dumps(dict(item.attributes))
        if attributes is not None and len(attributes) > MAX_HEADER_BYTES:
            body: dict[str, Any] = {"files": {"file": ("image", data)}, "data": {"attributes": attributes}}
        else:
            headers |= {"Content-Type": "application/octet-stream"}
            headers |= {} if attributes is None else {"X-Attributes": attributes}
            body = {"content": data}
        retry: RetryPolicy = "always" if expected is None else "refused"
        request = Request("PUT", image_path(item.key), retry, headers, exif_params(exif), body=lambda: body)
        response = self._transport.json(request)
        return outcome_of(parse(OutcomeObject, response), item.path)

    def _delete(self, body: dict[str, Any], tenant: str) -> DeleteResultObject:
        return self._call(DeleteResultObject, "POST", "/v1/images:delete", tenant, json=body, retry="unsent")

    def _remove_expected(self, key: str, tenant: str, expected: int) -> list[str]:
        headers = self._headers(tenant) | _if_match(expected)
        try:
            self._transport.send(Request("DELETE", image_path(key), "unsent", headers))
        except NotFound:
            return []
        return [key]

    def _send_feedback(self, method: str, keys: Sequence[str], tenant: str) -> None:
        body = {"json": {"keys": list(keys)}}
        request = Request(method, "/v1/duplicates:not-a-match", headers=self._headers(tenant), body=lambda: body)
        self._transport.send(request)

    def _record_of(self, image: Image, tenant: str) -> Record:
        return record_of(image, self._tenant_name(tenant))

    def _tenant_name(self, tenant: str) -> str:
        return self._tenant if tenant == DEFAULT_TENANT else tenant

    def _headers(self, tenant: str) -> dict[str, str]:
        """The tenant's header; without one the service uses the API key's tenant, or the default."""
        name = self._tenant_name(tenant)
        return {} if name == DEFAULT_TENANT else {"X-Tenant": quote(name, safe="")}


def _if_match(expected: int | str | None) -> dict[str, str]:
    """The precondition's header."""
    return {} if expected is None else {"If-Match": f'"{expected}"'}
