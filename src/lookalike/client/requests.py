"""Queries as a service takes them: an image's bytes as a form's file, or JSON where a key is asked."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lookalike.errors import BadInput
from lookalike.imaging import Limits, read_bytes
from lookalike.results import DEFAULT_TENANT, Query, SearchOptions, StoredImage

Body = Callable[[], Mapping[str, Any]]


def search_body(query: Query, options: SearchOptions, limits: Limits) -> Body:
    """A search's body; raises ImageRejected for a file that cannot be read here."""
    told: dict[str, Any] = {
        "k": options.get("k"),
        "page": options.get("page"),
        "threshold": options.get("threshold"),
        "pipelines": list(options.get("pipelines") or ()) or None,
        "filter": _listed(options.get("filter") or {}) or None,
        "engine_filter": options.get("engine_filter"),
        "orientations": options.get("orientations"),
        "min_sequence": options.get("min_sequence"),
        "tenants": "all" if options.get("tenant", DEFAULT_TENANT) is None else None,
    }
    told = {name: value for name, value in told.items() if value is not None}
    if isinstance(query, StoredImage):
        asked = {"image": source_of(query, limits), **told}
        return lambda: {"json": asked}
    data = bytes_of(query, limits)
    fields = {name: _text(name, value) for name, value in told.items()}
    return lambda: {"files": {"file": ("query", data)}, "data": fields}


def compare_body(a: Query, b: Query, limits: Limits) -> Body:
    """A comparison's body; raises ImageRejected for a file that cannot be read here."""
    if isinstance(a, StoredImage) or isinstance(b, StoredImage):
        asked = {"a": source_of(a, limits), "b": source_of(b, limits)}
        return lambda: {"json": asked}
    first, second = bytes_of(a, limits), bytes_of(b, limits)
    return lambda: {"files": {"a": ("a", first), "b": ("b", second)}}


def source_of(query: Query, limits: Limits) -> dict[str, str]:
    """Where an image is, in JSON."""
    if isinstance(query, StoredImage):
        if query.tenant is not None:
            raise BadInput("a service searches with images of the tenant that asks; leave out the tenant of the key")
        return {"key": query.key}
    return {"base64": base64.b64encode(bytes_of(query, limits)).decode()}


def bytes_of(query: str | Path | bytes, limits: Limits) -> bytes:
    """The bytes of an image, or of the file at a path; raises ImageRejected as the library does."""
    data = query if isinstance(query, bytes) else read_bytes(Path(query), limits)
    limits.check_bytes(len(data))
    return data


def _text(name: str, value: Any) -> str:
    """An option as a form's field."""
    if name == "pipelines" and isinstance(value, Sequence):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def _listed(filter: Mapping[str, Any]) -> dict[str, Any]:
    """A filter with tuples and sets as JSON's lists."""
    return {name: _listed_value(value) for name, value in filter.items()}


def _listed_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {op: sorted(given) if isinstance(given, set | frozenset) else given for op, given in value.items()}
    return value
