"""Options of searches: as requests give them, and as the library takes them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from lookalike.errors import AccessDenied
from lookalike.results import MAX_RESULTS, SearchOptions
from lookalike.server.auth import Caller
from lookalike.server.requests.body import parse_object
from lookalike.server.schemas import Json, RequestModel

MAX_VERIFY_MS = 60_000
PIPELINES = "Search these pipelines only; by default all of the gallery's."


class QueryOptions(BaseModel):
    """Options of one search or of many, of the same type in the query string, in forms and in JSON."""

    k: int = Field(10, ge=1, le=MAX_RESULTS, description="Hits a page.")
    page: int = Field(1, ge=1, le=MAX_RESULTS, description=f"Page x k is at most {MAX_RESULTS:,}.")
    threshold: float | None = Field(None, ge=0, le=1, description="The largest distance of a hit.")
    max_false: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Drop hits that are not sure enough: at most this share of queries without an original gets any. "
        "Needs a calibrated gallery.",
    )
    orientations: bool = Field(default=True, description="Also find rotated and mirrored copies, by their hash.")
    min_sequence: int | None = Field(
        None, ge=0, le=2**62, description="The answer sees at least this change, for read-your-writes consistency."
    )
    verify: bool = Field(
        default=True,
        description="Compare the pixels of the best candidates with the query's, so that copies are proven.",
    )
    verify_ms: float | None = Field(
        None,
        ge=0,
        le=MAX_VERIFY_MS,
        description="Milliseconds for verification; 5,000 by default.",
    )
    deep: bool | Literal["auto"] = Field(
        default=False,
        description="Compare the ten nearest similar images even where a copy was found, as a search by a key does; "
        "where no copy was found, search with windows of the image as well, for originals pasted into it; "
        "`auto`: the latter if that takes about a second at most.",
    )
    tenants: Literal["all"] | None = Field(None, description="Search the images of every tenant (admin only).")


class JsonOptions(RequestModel):
    """Options that are lists and objects in JSON."""

    pipelines: list[str] | None = Field(None, max_length=32, description=PIPELINES)
    filter: Json | None = Field(
        None, description="A filter on attributes: values, or operators (eq ne lt lte gt gte in exists)."
    )
    engine_filter: Json | None = Field(None, description="A further filter in an engine's query language, by engine.")


def parse_option_texts(options: Mapping[str, Any]) -> dict[str, Any]:
    """Search options of a query string or a form: objects as JSON texts, pipelines separated by commas."""
    parsed = dict(options)
    for name in ("filter", "engine_filter"):
        if isinstance(parsed.get(name), str):
            parsed[name] = parse_object(parsed[name])
    if isinstance(parsed.get("pipelines"), str):
        parsed["pipelines"] = [name.strip() for name in parsed["pipelines"].split(",")]
    return parsed


def searched_tenant(options: QueryOptions, caller: Caller) -> str | None:
    """The tenant to search, None for all of them; raises AccessDenied."""
    if options.tenants != "all":
        return caller.tenant
    if not caller.is_global_admin:
        raise AccessDenied(
            "searching all tenants needs an admin API key that is bound to no tenant", authenticated=True
        )
    return None


def search_options_of(common: QueryOptions, other: JsonOptions, tenant: str | None, *, k: int) -> SearchOptions:
    """The library's options of a request's."""
    options = SearchOptions(
        k=k,
        tenant=tenant,
        filter=other.filter,
        threshold=common.threshold,
        max_false=common.max_false,
        pipelines=other.pipelines,
        orientations=common.orientations,
        min_sequence=common.min_sequence,
        engine_filter=other.engine_filter,
        verify=common.verify,
        deep=common.deep,
    )
    if common.verify_ms is not None:
        options["verify_ms"] = common.verify_ms
    return options
