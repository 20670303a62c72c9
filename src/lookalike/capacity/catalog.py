"""The catalog: records, digests, keys, features and thumbnails, in the pages of SQLite and of PostgreSQL."""

import math
from collections.abc import Sequence

from lookalike.capacity import measurements as c
from lookalike.capacity.models import CatalogPlan, Database, IndexPlan, PipelineSpec, PlanRequest
from lookalike.errors import BadSetting


def plan_catalog(request: PlanRequest, indexes: Sequence[IndexPlan]) -> CatalogPlan:
    on_servers = not any(index.embedded for index in indexes)
    database, why = _choose_database(request, indexes)
    if request.features == "engine" and not on_servers:
        embedded = ", ".join(index.pipeline for index in indexes if index.embedded)
        raise BadSetting(
            f"only an engine on a server can keep the features, and {embedded} is embedded: "
            "leave out --features, or choose elasticsearch and milvus"
        )
    kept = () if request.features == "engine" else request.pipelines
    features = request.images * sum(feature_bytes(database, pipeline) for pipeline in kept)
    blob = _sqlite_row if database == "sqlite" else _postgresql_row
    thumbnails = request.images * request.thumbnails * blob(int(c.THUMBNAIL))
    notes = []
    if request.features == "engine":
        notes.append(
            "Catalog.release_features deletes features once every index has them: a lost index is then restored "
            "from its engine's own backups, or by reading the images again"
        )
    elif features > c.TB and on_servers:
        notes.append(f"--features engine would save {features / c.TB:,.1f} TB; repair could then not use the catalog")
    return CatalogPlan(
        database,
        math.ceil(request.images * _record_bytes(database, request) + features + thumbnails),
        math.ceil(features),
        math.ceil(thumbnails),
        why,
        _url(request) if database == "postgresql" else None,
        tuple(notes),
    )


def _choose_database(request: PlanRequest, indexes: Sequence[IndexPlan]) -> tuple[Database, str]:
    too_large = request.images > c.SQLITE_MAX_IMAGES
    if request.catalog == "sqlite" and too_large:
        raise BadSetting(
            f"a catalog of {request.images:,} images is too large for one SQLite file "
            f"(at most {c.SQLITE_MAX_IMAGES:,.0f}): choose --catalog postgresql"
        )
    if request.catalog:
        return request.catalog, "as requested"
    if not all(index.embedded for index in indexes):
        return "postgresql", "several machines search and add"
    if too_large:
        return "postgresql", f"more than {c.SQLITE_MAX_IMAGES:,.0f} images"
    return "sqlite", "one machine is enough"


def _url(request: PlanRequest) -> str:
    options = []
    if request.images > c.PG_PARTITION_ABOVE:
        partitions = 2 ** math.ceil(math.log2(request.images / c.PG_PARTITION))
        options.append(f"partitions={min(partitions, int(c.PG_MAX_PARTITIONS))}")
    if request.features == "engine":
        options.append("features=engine")
    return "postgresql://USER:PASSWORD@HOST:5432/lookalike" + ("?" + "&".join(options) if options else "")


def _record_bytes(database: Database, request: PlanRequest) -> float:
    """Bytes of an image without its features."""
    if database == "sqlite":
        return c.SQLITE_RECORD + c.SQLITE_KEY * request.key + c.SQLITE_TEXT * (request.path + request.attributes)
    texts = c.PG_PATH * request.path + c.PG_ATTRIBUTES * request.attributes
    return c.PG_RECORD + c.PG_KEY * request.key + texts


def feature_bytes(database: Database, pipeline: PipelineSpec) -> float:
    """Bytes of a stored feature: a hash as it is, a vector at half precision."""
    if pipeline.metric == "cosine":
        size = pipeline.feature_bytes // 2
        return _sqlite_row(size) if database == "sqlite" else _postgresql_row(size)
    if database == "sqlite":
        return c.SQLITE_HASH + pipeline.feature_bytes
    return _postgresql_row(pipeline.feature_bytes)


def _sqlite_row(size: int) -> float:
    """Bytes of a BLOB of this size: whole rows a page, and overflow pages (SQLite, Database file format, 1.6)."""
    page = c.SQLITE_PAGE
    payload = size + 4  # header of the record
    if payload <= page - 35:
        return page / math.floor((page - 8) / (payload + 7))
    min_local = math.floor((page - 12) * 32 / 255) - 23
    local = min_local + (payload - min_local) % (page - 4)
    if local > page - 35:
        local = min_local
    rows = math.floor((page - 8) / (local + 11))
    return page / rows + page * math.ceil((payload - local) / (page - 4))


def _postgresql_row(size: int) -> float:
    """Bytes of a BYTEA of this size with its primary key; one beyond 2 KB is in TOAST chunks in a table beside."""
    usable = c.PG_PAGE - 24
    payload = c.PG_TUPLE + size + (1 if size < 127 else 4)
    if payload <= 2032:
        return c.PG_PAGE / math.floor(usable / (8 * math.ceil(payload / 8) + 4)) + c.PG_PRIMARY_KEY
    chunks = math.ceil(size / c.PG_TOAST_CHUNK)
    stored = size + 44 * chunks
    pages = 1 / math.floor(usable / stored) if stored <= usable else stored / usable
    return c.PG_PAGE * pages + 26 * chunks + 60 + c.PG_PRIMARY_KEY
