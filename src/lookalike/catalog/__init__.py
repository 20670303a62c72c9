"""The catalog, the truth of the system: what images there are, their features, and every change in order."""

from lookalike.catalog.catalog import Catalog
from lookalike.catalog.jobs import Job, JobState
from lookalike.catalog.leases import IndexLease, Progress
from lookalike.catalog.records import (
    CatalogTotals,
    Changes,
    Deleted,
    ExistingImage,
    FileLocation,
    NewImage,
    PutResult,
    SameBytes,
    StoredFeatures,
)
from lookalike.catalog.vectors import at_storage_precision

__all__ = [
    "Catalog",
    "CatalogTotals",
    "Changes",
    "Deleted",
    "ExistingImage",
    "FileLocation",
    "IndexLease",
    "Job",
    "JobState",
    "NewImage",
    "Progress",
    "PutResult",
    "SameBytes",
    "StoredFeatures",
    "at_storage_precision",
]
