"""The OpenAPI 3.1 description of the API, with the models of bodies that the routes parse themselves."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from lookalike.server.routes.bulk_upload import BatchItem
from lookalike.server.routes.compare import CompareRequest
from lookalike.server.routes.duplicates import NotAMatch
from lookalike.server.routes.images import PatchJson, PutJson
from lookalike.server.routes.jobs import JobRequest
from lookalike.server.routes.listing import DeleteJson
from lookalike.server.routes.search import SearchRequest
from lookalike.wire import Problem

EXTRA_MODELS: tuple[type, ...] = (
    BatchItem,
    CompareRequest,
    DeleteJson,
    JobRequest,
    NotAMatch,
    PatchJson,
    Problem,
    PutJson,
    SearchRequest,
)
ABOUT = (
    "Search by image: send an image, get its original and everything that looks like it.\n\n"
    "Errors are problems (RFC 9457). Every response has an `X-Request-Id`. Keys in paths are percent-encoded, a slash "
    "as %2F. Callers whose key is bound to no tenant may name one in `X-Tenant`. Whatever answers GET answers HEAD: "
    "with the same status and headers, and no body."
)
HEADS: Mapping[str, str] = {
    "/v1/images/{key}": "headImage",
    "/v1/images/{key}/thumbnail": "headThumbnail",
    "/healthz": "headHealth",
    "/readyz": "headReady",
}
"""Where HEAD is described, too: whether an image is there, and has changed, and how a balancer looks after servers."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The description of an application, computed once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
        _, found = TypeAdapter.json_schemas(
            [(model, "validation", TypeAdapter(model)) for model in EXTRA_MODELS],
            ref_template="#/components/schemas/{model}",
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas.update(found["$defs"])
        for path in made["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None) if _is_framework(operation) else None
        for place, name in HEADS.items():
            made["paths"][place]["head"] = _head(made["paths"][place]["get"], name)
        app.openapi_schema = made
    return app.openapi_schema


def _head(get: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The HEAD of a GET: the same without bodies."""
    answers = {
        status: {part: value for part, value in response.items() if part != "content"}
        for status, response in get["responses"].items()
    }
    about = "The status and headers that GET would bring, and no body."
    return {**get, "operationId": name, "description": about, "responses": answers}


def _is_framework(operation: dict[str, Any]) -> bool:
    """Whether the 422 of an operation is the one that the framework adds: ours tells faults as 400."""
    content = operation["responses"].get("422", {}).get("content", {})
    return "application/json" in content
