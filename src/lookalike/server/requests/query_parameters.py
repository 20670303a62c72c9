"""Unknown query parameters, and bodies that are not read, are errors: an ignored option would change what is meant."""

import inspect
from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from lookalike.errors import BadInput
from lookalike.unknown_names import did_you_mean

API_PREFIX = "/v1/"
EMPTY_OBJECT = len("{}")
"""Bytes of a body without options, which some clients send with every request."""


def check_query_parameters(request: Request) -> None:
    """A FastAPI dependency that raises BadInput for an unknown query parameter of the API, naming a similar one."""
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute) or not route.path.startswith(API_PREFIX):
        return
    known = set(_declared(route.dependant))
    for name in request.query_params:
        if name not in known:
            raise BadInput(unknown_name(f"unknown query parameter {name!r}", name, known))


def check_body_is_read(request: Request) -> None:
    """A FastAPI dependency that raises BadInput for a body that a path of the API does not read."""
    route = request.scope.get("route")
    if request.method == "GET" or not isinstance(route, APIRoute) or not route.path.startswith(API_PREFIX):
        return
    takes_body = "requestBody" in (route.openapi_extra or {}) or route.body_field is not None
    if takes_body or int(request.headers.get("content-length", 0)) <= EMPTY_OBJECT:
        return
    known = ", ".join(sorted(set(_declared(route.dependant))))
    raise BadInput(f"this path takes no body; {f'give {known} in the query string' if known else 'leave it out'}")


def unknown_name(message: str, name: str, known: set[str]) -> str:
    """The message for an unknown name, with a similar one that is known, or else all of them."""
    if hint := did_you_mean(name, known):
        return f"{message}{hint}"
    return f"{message}; there are {', '.join(sorted(known))}" if known else f"{message}; this path takes none"


def _declared(dependant: Dependant) -> Iterator[str]:
    """The names of the query parameters of a route or a dependency, one by one or as the fields of a model."""
    for field in dependant.query_params:
        annotation = field.field_info.annotation
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            yield from annotation.model_fields
        else:
            yield field.alias
    for dependency in dependant.dependencies:
        yield from _declared(dependency)
