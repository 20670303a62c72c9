"""Searching by image, and comparing two."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import AccessDenied, NotFound, UnsupportedQuery
from lookalike.gallery.thumbnails import MAX_SIDE, MIN_SIDE
from lookalike.results import DEFAULT_TENANT, MAX_RESULTS, SearchOptions
from lookalike.server.app_state import AppState, State
from lookalike.server.auth import Caller, require_scope
from lookalike.server.hits import HitModel, SearchAnswer
from lookalike.server.pagination import decode_search_cursor, encode_search_cursor, query_fingerprint
from lookalike.server.requests.body import read_object
from lookalike.server.requests.images import Image, ParsedRequest, RequestReader, validated
from lookalike.server.schemas import FILTER_EXAMPLE, Json, QuerySource, RequestModel, answer, problems
from lookalike.types import Answer, Hit

router = APIRouter(prefix="/v1", tags=["search"])
Reads = Annotated[Caller, Depends(require_scope("read"))]
K = Annotated[int, Field(ge=1, le=MAX_RESULTS, description="Hits a page.")]
PIPELINES = "Ask these pipelines alone; all of the gallery's otherwise."


class _Common(BaseModel):
    """The options that are written alike everywhere."""

    k: K = 10
    page: int = Field(1, ge=1, le=MAX_RESULTS, description=f"Page x k is at most {MAX_RESULTS:,}.")
    cursor: str | None = Field(None, description="`next` of the page before, with the same image and options.")
    threshold: float | None = Field(None, ge=0, le=1, description="Leave out what is farther away than this.")
    orientations: bool = Field(default=True, description="Find turned and mirrored copies by their hash, too.")
    min_sequence: int | None = Field(
        None, ge=0, le=2**62, description="The answer sees at least this change: read your own writes."
    )
    tenants: Literal["all"] | None = Field(None, description="Search the images of every tenant (admin only).")
    preview: int | None = Field(
        None,
        ge=MIN_SIDE,
        le=MAX_SIDE,
        description="Give the query image back, small: a JPEG whose longer side has so many pixels at most.",
    )


class SearchQuery(_Common):
    """Options in the query string, or as a form's fields; objects are JSON texts there."""

    model_config = ConfigDict(extra="forbid")

    pipelines: list[str] | None = Field(None, max_length=32, description=PIPELINES + " Repeat it for several.")
    filter: str | None = Field(None, description="A filter on attributes, as JSON.", examples=['{"album": "Alps"}'])
    engine_filter: str | None = Field(None, description="A filter in an engine's own words, as JSON.")


class SearchRequest(RequestModel, _Common):
    """A search: where the image is, and how to search."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"image": {"key": "alps/IMG_1.jpg"}, "k": 20, "filter": FILTER_EXAMPLE},
                {"image": {"url": "https://images.example/copy.jpg"}, "threshold": 0.25},
            ]
        }
    )

    image: QuerySource | None = None
    pipelines: list[str] | None = Field(None, max_length=32, description=PIPELINES)
    filter: Json | None = Field(
        None, description="What must hold of attributes: values, or operators (eq ne lt lte gt gte in exists)."
    )
    engine_filter: Json | None = Field(None, description="A further filter in an engine's own words, by its name.")


@dataclass(frozen=True, slots=True)
class SearchArguments:
    """One search as it was asked for: the options, and the ids of hits that were given before."""

    options: SearchRequest
    tenant: str | None
    binding: bytes
    given: frozenset[int] = frozenset()

    @property
    def depth(self) -> int:
        """How many of the best there must be known to give this page."""
        return len(self.given) + self.options.k * self.options.page


BODY: Mapping[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The image: its bytes with options in the query string, a form, or JSON.",
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "k": {"type": "integer", "minimum": 1, "maximum": MAX_RESULTS},
                        "threshold": {"type": "number", "minimum": 0, "maximum": 1},
                        "filter": {"type": "string", "description": "JSON"},
                    },
                }
            },
            "application/json": {"schema": {"$ref": "#/components/schemas/SearchRequest"}},
        },
    }
}


@router.post(
    "/search",
    operation_id="search",
    summary="Find the original of an image, and everything that looks like it",
    response_model=SearchAnswer,
    responses=problems(),
    openapi_extra=dict(BODY),
)
async def search(request: Request, here: State, caller: Reads, query: Annotated[SearchQuery, Query()]) -> Response:
    """Hits are ordered by what they prove: the same bytes or pixels, then copies, then what merely looks alike.

    Options stand in the query string, in the form's fields or in the JSON; those of the body count where both are
    given.
    """
    here.work.admit()
    async with here.memory.account() as account:
        reader = RequestReader(request, here, caller, account, source=QuerySource)
        given = await reader.read()
        options = options_of(query, given)
        image = await reader.image(given.sources["image"])
        wanted = arguments_of(options, caller, image)
        found = await here.work.run(lambda: look_up(here, wanted, image))
    here.metrics.stages(found.took_ms)
    return answer(found, headers=server_timing(found.took_ms))


def options_of(query: SearchQuery, given: ParsedRequest) -> SearchRequest:
    """The options of query string and body together; raises BadInput for those that make no sense."""
    own: dict[str, Any] = query.model_dump(exclude_unset=True)
    rest = dict(given.rest)
    if given.typed:
        validated(SearchRequest, rest)
    elif "pipelines" in rest:
        rest["pipelines"] = [name.strip() for name in rest["pipelines"].split(",")]
    own.update(rest)
    for name in ("filter", "engine_filter"):
        if isinstance(own.get(name), str):
            own[name] = read_object(own[name])
    return validated(SearchRequest, own, strict=False)


def arguments_of(options: SearchRequest, caller: Caller, image: Image) -> SearchArguments:
    """The search, checked; raises UnsupportedQuery for a page out of reach, AccessDenied for others' images."""
    if options.tenants == "all" and not (caller.any_tenant and caller.may("admin")):
        raise AccessDenied("only an admin's key that is bound to no tenant may search all tenants", authenticated=True)
    tenant = None if options.tenants == "all" else caller.tenant
    named = hashlib.sha256(image).hexdigest() if isinstance(image, bytes) else f"key {image.key}"
    kept = options.model_dump(include={"threshold", "pipelines", "filter", "engine_filter", "orientations"})
    wanted = SearchArguments(options, tenant, query_fingerprint({"tenant": [tenant], "image": named, **kept}))
    if options.cursor is not None:
        if options.page != 1:
            raise UnsupportedQuery("a search goes on by cursor or by page, not by both")
        wanted = replace(wanted, given=frozenset(decode_search_cursor(options.cursor, wanted.binding)))
    if wanted.depth > MAX_RESULTS:
        raise UnsupportedQuery(
            f"this reaches result {wanted.depth}; no more than {MAX_RESULTS} can be paged through: narrow the search "
            "by a filter or a threshold"
        )
    return wanted


def look_up(here: AppState, wanted: SearchArguments, image: Image) -> SearchAnswer:
    """The page; to be called in a thread."""
    options = wanted.options
    asked = SearchOptions(
        k=wanted.depth,
        tenant=wanted.tenant,
        filter=options.filter,
        threshold=options.threshold,
        pipelines=options.pipelines,
        orientations=options.orientations,
        min_sequence=options.min_sequence,
        engine_filter=options.engine_filter,
    )
    found = page_of(here, wanted, here.service.search(image, **asked))
    if options.preview is not None:
        found.preview = preview_of(here, wanted, image, options.preview)
    return found


def preview_of(here: AppState, wanted: SearchArguments, image: Image, size: int) -> str | None:
    """The query image, small, as the answer tells it; None for a stored one whose file is gone."""
    try:
        data = here.service.preview(image, tenant=wanted.tenant or DEFAULT_TENANT, size=size)
    except NotFound:
        return None
    return base64.b64encode(data).decode()


def page_of(here: AppState, wanted: SearchArguments, found: Answer) -> SearchAnswer:
    """The page of an answer that reaches from the best hit to its end."""
    options = wanted.options
    new = [hit for hit in found.hits if hit.id not in wanted.given]
    start, end = options.k * (options.page - 1), options.k * options.page
    page = new[start:end]
    more = found.more or len(new) > end
    given = wanted.given.union(hit.id for hit in new[:end])
    goes_on = more and page and len(given) + options.k <= MAX_RESULTS
    return SearchAnswer(
        hits=_hits(here, page, with_tenant=wanted.tenant is None),
        page=len(wanted.given) // options.k + options.page,
        page_size=options.k,
        more=more,
        next=encode_search_cursor(given, wanted.binding) if goes_on else None,
        exact_within=dict(found.exact_within),
        failed=dict(found.failed),
        sequence=found.sequence,
        took_ms=dict(found.took_ms),
        preview=None,
    )


def _hits(here: AppState, hits: Sequence[Hit], *, with_tenant: bool) -> list[HitModel]:
    if not with_tenant:
        return [HitModel.of(hit) for hit in hits]
    records = here.service.catalog.records([hit.id for hit in hits])
    return [HitModel.of(hit, records[hit.id].tenant) for hit in hits if hit.id in records]


def server_timing(took_ms: Mapping[str, float]) -> dict[str, str]:
    """The header Server-Timing (W3C) of these stages."""
    return {"Server-Timing": ", ".join(f"{stage};dur={ms:.2f}" for stage, ms in took_ms.items())}
