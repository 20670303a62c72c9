"""The OpenAPI 3.1 document, with the models of request bodies that the routes parse themselves."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from lookalike.server.routes.bulk_upload import BatchItem
from lookalike.server.routes.cleanup import ApplyRequest, PlanRequest, UndoRequest
from lookalike.server.routes.compare import CompareRequest, ExplainRequest, WhyNotRequest
from lookalike.server.routes.duplicates import NotAMatch
from lookalike.server.routes.folders import FolderRequest
from lookalike.server.routes.images import DeleteJson, PatchJson, PutJson
from lookalike.server.routes.jobs import JobRequest
from lookalike.server.routes.keys import CreateKey
from lookalike.server.routes.pipelines import AddPipeline, DropIndex, PromotePipeline
from lookalike.server.routes.search import SearchRequest
from lookalike.server.routes.search_batch import SearchBatchRequest
from lookalike.wire.objects import Problem

MODELS = (
    AddPipeline,
    ApplyRequest,
    BatchItem,
    CompareRequest,
    CreateKey,
    DeleteJson,
    DropIndex,
    ExplainRequest,
    FolderRequest,
    JobRequest,
    NotAMatch,
    PatchJson,
    PlanRequest,
    Problem,
    PromotePipeline,
    PutJson,
    SearchBatchRequest,
    SearchRequest,
    UndoRequest,
    WhyNotRequest,
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
"""Paths with a documented HEAD operation, by operation id: existence checks and load-balancer probes."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application, cached."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
        _, definitions = TypeAdapter.json_schemas(
            [(model, "validation", TypeAdapter(model)) for model in MODELS],
            ref_template="#/components/schemas/{model}",
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas.update(definitions["$defs"])
        for responses in (op["responses"] for path in document["paths"].values() for op in path.values()):
            if "application/json" in responses.get("422", {}).get("content", {}):  # FastAPI's own; here they are 400
                del responses["422"]
        for path, name in HEADS.items():
            document["paths"][path]["head"] = _head(document["paths"][path]["get"], name)
        app.openapi_schema = document
    return app.openapi_schema


def _head(get: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The HEAD operation of a GET operation: the same without response bodies."""
    responses = {
        status: {member: value for member, value in response.items() if member != "content"}
        for status, response in get["responses"].items()
    }
    description = "The status and headers of GET, without a body."
    return {**get, "operationId": name, "description": description, "responses": responses}
