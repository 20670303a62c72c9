"""The catalog: records, keys and features, in the pages of SQLite and of PostgreSQL."""

import math

from lookalike.capacity import measurements as c
from lookalike.capacity.models import CatalogPlan, PipelineSpec, PlanRequest


def plan_catalog(request: PlanRequest, database: str, why: str) -> CatalogPlan:
    """The catalog in one of the two databases."""
    features = math.ceil(request.images * sum(feature_bytes(database, spec) for spec in request.pipelines))
    record, attributes, url = c.SQLITE_RECORD, c.SQLITE_ATTRIBUTES, None
    if database == "postgresql":
        record, attributes = c.PG_RECORD, c.PG_ATTRIBUTES
        url = "postgresql://USER:PASSWORD@HOST:5432/lookalike"
        if request.images > c.PG_PARTITION_ABOVE:
            partitions = 2 ** math.ceil(math.log2(request.images / c.PG_PARTITION))
            url += f"?partitions={min(partitions, c.PG_MAX_PARTITIONS)}"
    records = math.ceil(request.images * (record + attributes * c.ATTRIBUTES))
    return CatalogPlan(database, records + features, features, why, url)


def feature_bytes(database: str, pipeline: PipelineSpec) -> float:
    """Bytes of a stored feature with its key: a hash as it is, a vector in 16 or 8 bits a number, whole rows a page."""
    sqlite = database == "sqlite"
    if pipeline.metric == "hamming":
        return pipeline.feature_bytes + (c.SQLITE_HASH if sqlite else c.PG_HASH)
    page = c.SQLITE_PAGE if sqlite else c.PG_PAGE
    row = pipeline.dimensions * (1 if pipeline.storage == "int8" else c.HALF) + (c.SQLITE_ROW if sqlite else c.PG_ROW)
    pages = 1 / math.floor(page / row) if row <= page else math.ceil(row / page)
    return page * pages + (0 if sqlite else c.PG_PRIMARY_KEY)
