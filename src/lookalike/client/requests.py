"""Requests: paths and cursors, and bodies: a form with the image's bytes, or JSON where a stored image is the query."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lookalike.errors import BadInput, ImageRejected, NotFound, UnsupportedQuery
from lookalike.imaging import Limits, encode_pixels, read_bytes
from lookalike.results import (
    DEFAULT_TENANT,
    Failure,
    ImageFeatures,
    Query,
    SearchOptions,
    StoredImage,
    check_search_options,
)
from lookalike.sources.read_url import read_query, read_url
from lookalike.sources.urls import is_url
from lookalike.types import PixelSource
from lookalike.wire.objects import to_dict
from lookalike.wire.search import ImageFeatures as ImageFeaturesObject

Body = Callable[[], Mapping[str, Any]]
"""Makes httpx's arguments for a body, once for each attempt, as a stream can be read only once."""
MAX_QUERIES = 16
"""Queries of a request, at most; the server takes 64."""
MAX_CHARACTERS = 32 * 1024 * 1024
"""Characters of base64 after which a request takes no further query."""


def image_path(key: str) -> str:
    """The path of an image; raises BadInput for the empty key, NotFound for one that no image can have.

    Raises TypeError for what is no text.
    """
    if not isinstance(key, str):
        raise TypeError(f"key is text, not {key!r}")
    if not key:
        raise BadInput("an image's key must not be empty")
    try:
        quoted = quote(key, safe="")
    except UnicodeEncodeError:
        raise NotFound(f"there is no image {key!r}") from None
    return f"/v1/images/{quoted.replace('.', '%2E') if set(key) == {'.'} else quoted}"


def job_path(job_id: str) -> str:
    """The path of a job."""
    return f"/v1/jobs/{quote(job_id, safe='')}"


def pipeline_path(name: str, action: str) -> str:
    """The path of an action on a pipeline."""
    return f"/v1/pipelines/{quote(name, safe='')}:{action}"


def cursor_after(key: str) -> str:
    """The cursor of a list after any key: the key as JSON in base64, as the server writes it."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).rstrip(b"=").decode()


def exif_params(exif: bool) -> dict[str, str]:
    """The query parameters of a request that adds images."""
    return {} if exif else {"exif": "false"}


def search_body(query: Query, options: SearchOptions, limits: Limits) -> Body:
    """A search's body; raises ImageRejected for a file that cannot be read here, TypeError for an unknown option."""
    if isinstance(query, ImageFeatures):
        fields = {name: value for name, value in _search_fields(options).items() if value is not None}
        body = {**to_dict(ImageFeaturesObject.of(query)), **fields}
        return lambda: {"json": body}
    return query_body(query, _search_fields(options), limits)


def search_batch_body(sources: Sequence[Mapping[str, str]], options: SearchOptions) -> Body:
    """The body of a search by several image sources; raises TypeError for an unknown option."""
    fields = {name: value for name, value in _search_fields(options).items() if value is not None}
    return lambda: {"json": {"images": sources, **fields}}


def _plain(number: Any, kind: type[int] | type[float]) -> int | float | None:
    """A number of any library, such as numpy's, as JSON takes it."""
    return None if number is None else kind(number)


def _search_fields(options: SearchOptions) -> dict[str, Any]:
    check_search_options(options)
    return {
        "k": _plain(options.get("k"), int),
        "page": _plain(options.get("page"), int),
        "threshold": _plain(options.get("threshold"), float),
        "max_false": _plain(options.get("max_false"), float),
        "pipelines": list(options.get("pipelines") or ()) or None,
        "filter": _json_filter(options.get("filter") or {}) or None,
        "engine_filter": options.get("engine_filter"),
        "orientations": options.get("orientations"),
        "min_sequence": _plain(options.get("min_sequence"), int),
        "verify": options.get("verify"),
        "verify_ms": _plain(options.get("verify_ms"), float),
        "deep": options.get("deep"),
        "tenants": "all" if options.get("tenant", DEFAULT_TENANT) is None else None,
    }


def why_not_body(query: Query, key: str, options: SearchOptions, limits: Limits) -> Body:
    """A diagnosis's body; raises ImageRejected for a file that cannot be read here, TypeError for an unknown option."""
    check_search_options(options)
    fields: dict[str, Any] = {
        "key": key,
        "k": _plain(options.get("k"), int),
        "threshold": _plain(options.get("threshold"), float),
        "pipelines": list(options.get("pipelines") or ()) or None,
        "filter": _json_filter(options.get("filter") or {}) or None,
    }
    return query_body(query, fields, limits)


def query_body(query: Query, fields: Mapping[str, Any], limits: Limits) -> Body:
    """A query image and the fields that are not None: JSON for a stored image, a form for the bytes of a file."""
    given = {name: value for name, value in fields.items() if value is not None}
    if isinstance(query, StoredImage):
        body = {"image": source_of(query, limits), **given}
        return lambda: {"json": body}
    data = bytes_of(query, limits)
    form = {name: _form_text(name, value) for name, value in given.items()}
    return lambda: {"files": {"file": ("query", data)}, "data": form}


def compare_body(a: Query, b: Query, limits: Limits) -> Body:
    """A comparison's body; raises ImageRejected for a file that cannot be read here."""
    if isinstance(a, StoredImage) or isinstance(b, StoredImage):
        body = {"a": source_of(a, limits), "b": source_of(b, limits)}
        return lambda: {"json": body}
    first, second = bytes_of(a, limits), bytes_of(b, limits)
    return lambda: {"files": {"a": ("a", first), "b": ("b", second)}}


def source_of(query: Query, limits: Limits) -> dict[str, str]:
    """The JSON of an image source."""
    if isinstance(query, StoredImage):
        if query.tenant is not None:
            raise BadInput("a service takes stored images of the request's own tenant only; leave out `tenant`")
        return {"key": query.key}
    return {"base64": base64.b64encode(bytes_of(query, limits)).decode()}


def bytes_of(query: str | Path | bytes | PixelSource | ImageFeatures, limits: Limits) -> bytes:
    """The bytes of an image, or of what is at a path or URL, which is read here, not by the service.

    Raises ImageRejected as the library does.
    """
    if isinstance(query, ImageFeatures):
        raise UnsupportedQuery("features alone can only be searched with; give the image or the key of a stored one")
    if isinstance(query, str | Path):
        found = read_query(str(query), partial(read_url, limits=limits)) if is_url(query) else Path(query)
        query = read_bytes(found, limits) if isinstance(found, Path) else found
    data = query if isinstance(query, bytes) else encode_pixels(query)
    limits.check_bytes(len(data))
    return data


def _form_text(name: str, value: Any) -> str:
    """An option as a form's field."""
    if name == "pipelines" and isinstance(value, Sequence):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value)


def _json_filter(filter: Mapping[str, Any]) -> dict[str, Any]:
    """A filter with sets as JSON's lists."""
    return {name: _json_condition(value) for name, value in filter.items()}


def _json_condition(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {op: sorted(given) if isinstance(given, set | frozenset) else given for op, given in value.items()}
    return value


@dataclass(slots=True)
class QueryBatch:
    """Queries in their order, with the failure of those that cannot be read here; the sources are of the others."""

    queries: list[tuple[Query, Failure | None]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    characters: int = 0

    def add(self, query: Query, limits: Limits) -> None:
        """Read a query."""
        try:
            source = source_of(query, limits)
        except (ImageRejected, NotFound) as failure:
            self.queries.append((query, failure))
            return
        self.queries.append((query, None))
        self.sources.append(source)
        self.characters += sum(map(len, source.values()))


def query_batches(queries: Iterable[Query], limits: Limits) -> Iterator[QueryBatch]:
    """Yield queries in batches."""
    batch = QueryBatch()
    for query in queries:
        batch.add(query, limits)
        if len(batch.queries) >= MAX_QUERIES or batch.characters >= MAX_CHARACTERS:
            yield batch
            batch = QueryBatch()
    if batch.queries:
        yield batch
