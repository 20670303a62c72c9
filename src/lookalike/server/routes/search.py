"""Search by image."""

import base64
import hashlib
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import ConfigDict, Field

from lookalike.errors import BadInput, NotFound, UnsupportedQuery
from lookalike.gallery.thumbnails import MAX_SIDE, MIN_SIDE
from lookalike.results import DEFAULT_TENANT, MAX_RESULTS, ImageFeatures
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, Reads
from lookalike.server.pagination import decode_search_cursor, encode_search_cursor, query_fingerprint
from lookalike.server.requests.images import ParsedRequest, QueryImage, RequestReader, validate
from lookalike.server.requests.search_options import (
    PIPELINES,
    JsonOptions,
    QueryOptions,
    parse_option_texts,
    search_options_of,
    searched_tenant,
)
from lookalike.server.schemas import (
    BINARY,
    FILTER_EXAMPLE,
    IMAGE_BODY,
    FeatureSource,
    QuerySource,
    documented_responses,
    example_config,
    form_schema,
    json_response,
    json_schema,
    request_body,
)
from lookalike.types import Answer
from lookalike.wire.objects import to_dict
from lookalike.wire.search import Feature, SearchAnswer
from lookalike.wire.search import ImageFeatures as FeaturesObject

router = APIRouter(prefix="/v1", tags=["search"])
BOUND_OPTIONS = ("threshold", "max_false", "pipelines", "filter", "engine_filter", "orientations", "verify", "deep")
"""Options that must be the same for all pages of a cursor."""
SearchSource = QueryImage | ImageFeatures


class CommonOptions(QueryOptions):
    """Options of one search."""

    cursor: str | None = Field(None, description="`next` of the page before, with the same image and options.")
    preview: int | None = Field(
        None,
        ge=MIN_SIDE,
        le=MAX_SIDE,
        description="Return the query image, small: a JPEG, at most so many pixels on its longer side.",
    )


class SearchQuery(CommonOptions):
    """Options in the query string, or as a form's fields; objects are JSON texts there."""

    model_config = ConfigDict(extra="forbid")

    pipelines: list[str] | None = Field(None, max_length=32, description=PIPELINES + " Repeat it for several.")
    filter: str | None = Field(None, description="A filter on attributes, as JSON.", examples=['{"album": "Alps"}'])
    engine_filter: str | None = Field(None, description="A filter in the engine's query language, as JSON.")


class SearchRequest(JsonOptions, CommonOptions):
    """A search: the image source, or features that were made elsewhere, and options."""

    model_config = example_config(
        {"image": {"key": "alps/IMG_1.jpg"}, "k": 20, "filter": FILTER_EXAMPLE},
        {"image": {"url": "https://images.example/copy.jpg"}, "threshold": 0.25},
        {"features": {"phash": "c3d1e4b29a5f0672"}, "k": 5},
    )

    image: QuerySource | None = None
    features: dict[str, str | FeatureSource | None] | None = Field(
        None,
        min_length=1,
        max_length=32,
        description="In place of an image, its features by pipeline, as `lookalike encode` prints them; a hash may "
        "also be given as its digits alone. Null is the feature of a flat image.",
    )


@dataclass(frozen=True, slots=True)
class SearchArguments:
    """A checked search: the options, and the ids of hits on previous pages."""

    options: SearchRequest
    tenant: str | None
    fingerprint: bytes
    seen_ids: frozenset[int] = frozenset()

    @property
    def depth(self) -> int:
        """Number of best hits needed for this page."""
        return len(self.seen_ids) + self.options.k * self.options.page


@router.post(
    "/search",
    operation_id="search",
    summary="Search by image",
    response_model=SearchAnswer,
    responses=documented_responses(),
    openapi_extra=request_body(
        {
            "image/*": IMAGE_BODY,
            "application/octet-stream": IMAGE_BODY,
            "multipart/form-data": form_schema(
                "file",
                file=BINARY,
                k={"type": "integer", "minimum": 1, "maximum": MAX_RESULTS},
                threshold={"type": "number", "minimum": 0, "maximum": 1},
                max_false={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                filter={"type": "string", "description": "JSON"},
            ),
            "application/json": json_schema("SearchRequest"),
        },
        description="The image: bytes with options in the query string, a form, or JSON.",
    ),
)
async def search(request: Request, state: State, caller: Reads, query: Annotated[SearchQuery, Query()]) -> Response:
    """Hits are ordered by evidence: same bytes or pixels, then copies, then similar images.

    Options are in the query string, the form's fields or the JSON; those of the body take precedence.
    """
    state.executor.check_capacity()
    async with state.memory.lease() as lease:
        reader = RequestReader(request, state, caller, lease, source=QuerySource, alternative="features")
        parsed = await reader.read()
        options = merge_options(query, parsed)
        image: SearchSource
        if parsed.sources:
            image = await reader.image(parsed.sources["image"])
        else:
            image = features_of(options)
        arguments = check_arguments(options, caller, image)
        result = await state.executor.run(lambda: run_search(state, arguments, image))
    state.metrics.observe_stages(result.took_ms)
    timing = ", ".join(f"{stage};dur={ms:.2f}" for stage, ms in result.took_ms.items())
    return json_response(result, headers={"Server-Timing": timing})


def features_of(options: SearchRequest) -> ImageFeatures:
    """The query by features of a request; raises UnsupportedQuery for one that is neither hash nor vector."""
    if options.preview is not None:
        raise BadInput("preview needs an image, and the query has features only; leave it out")
    sources = {name: _feature(source) for name, source in (options.features or {}).items()}
    return FeaturesObject(sources).query()


def _feature(source: str | FeatureSource | None) -> Feature:
    if source is None or isinstance(source, str):
        return Feature(hex=source)
    return Feature(source.hex, source.base64, source.fingerprint)


def merge_options(query: SearchQuery, parsed: ParsedRequest) -> SearchRequest:
    """The options of query string and body, merged and validated; raises BadInput."""
    if parsed.is_json:
        validate(SearchRequest, dict(parsed.fields))
    options = parse_option_texts({**query.model_dump(exclude_unset=True), **parsed.fields})
    return validate(SearchRequest, options, strict=False)


def check_arguments(options: SearchRequest, caller: Caller, image: SearchSource) -> SearchArguments:
    """Check a search; raises UnsupportedQuery beyond the last page, AccessDenied for images of other tenants."""
    tenant = searched_tenant(options, caller)
    bound = options.model_dump(include=set(BOUND_OPTIONS))
    identity = {"tenant": [tenant], "image": _identity(image), **bound}
    arguments = SearchArguments(options, tenant, query_fingerprint(identity))
    if options.cursor is not None:
        if options.page != 1:
            raise UnsupportedQuery("cursor and page cannot be combined")
        arguments = replace(arguments, seen_ids=frozenset(decode_search_cursor(options.cursor, arguments.fingerprint)))
    if arguments.depth > MAX_RESULTS:
        raise UnsupportedQuery(
            f"result {arguments.depth} exceeds the limit of {MAX_RESULTS}: narrow the search by a filter or a threshold"
        )
    return arguments


def _identity(image: SearchSource) -> Any:
    """What tells the query of a cursor from others."""
    if isinstance(image, ImageFeatures):
        return to_dict(FeaturesObject.of(image))
    return hashlib.sha256(image).hexdigest() if isinstance(image, bytes) else f"key {image.key}"


def run_search(state: AppState, arguments: SearchArguments, image: SearchSource) -> SearchAnswer:
    """Run a search; blocks."""
    options = arguments.options
    search_options = search_options_of(options, options, arguments.tenant, k=arguments.depth)
    result = to_page(arguments, state.gallery.search(image, **search_options))
    state.live_queries.offer(arguments.tenant, image)
    if options.preview is None or isinstance(image, ImageFeatures):
        return result
    try:
        preview = state.gallery.preview(image, tenant=arguments.tenant or DEFAULT_TENANT, size=options.preview)
    except NotFound:  # a stored image whose file is missing
        return result
    return replace(result, preview=base64.b64encode(preview).decode())


def to_page(arguments: SearchArguments, answer: Answer) -> SearchAnswer:
    """The requested page of the `depth` best hits."""
    options = arguments.options
    unseen = [hit for hit in answer.hits if hit.id not in arguments.seen_ids]
    start, end = options.k * (options.page - 1), options.k * options.page
    page = unseen[start:end]
    more = answer.more or len(unseen) > end
    seen_ids = arguments.seen_ids.union(hit.id for hit in unseen[:end])
    has_next = more and page and len(seen_ids) + options.k <= MAX_RESULTS
    number = len(arguments.seen_ids) // options.k + options.page
    body = SearchAnswer.of(replace(answer, hits=tuple(page), page=number, page_size=options.k, more=more))
    return replace(body, next=encode_search_cursor(seen_ids, arguments.fingerprint) if has_next else None)
