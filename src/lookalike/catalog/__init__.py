"""The catalog, the source of truth: what images there are, their features, and every change in order."""

from lookalike.catalog.backfills import IdRange, MissingFeatures
from lookalike.catalog.catalog import Catalog
from lookalike.catalog.features import at_storage_precision
from lookalike.catalog.jobs import Job, JobState
from lookalike.catalog.leases import IndexLease, Progress
from lookalike.catalog.origins import AddedArchive, Removal, Root, StoredFile, encoded_for
from lookalike.catalog.pipelines import OtherIndex, PipelineSet, StoredIndex, StoredPipeline
from lookalike.catalog.records import (
    CatalogTotals,
    ChangeFeed,
    Changes,
    Deleted,
    ExistingImage,
    FileLocation,
    LoggedChange,
    NewImage,
    PutResult,
    RecordTotals,
    SameBytes,
    StoredFeatures,
)
from lookalike.catalog.statements import PipelinesChanged

__all__ = [
    "AddedArchive",
    "Catalog",
    "CatalogTotals",
    "ChangeFeed",
    "Changes",
    "Deleted",
    "ExistingImage",
    "FileLocation",
    "IdRange",
    "IndexLease",
    "Job",
    "JobState",
    "LoggedChange",
    "MissingFeatures",
    "NewImage",
    "OtherIndex",
    "PipelineSet",
    "PipelinesChanged",
    "Progress",
    "PutResult",
    "RecordTotals",
    "Removal",
    "Root",
    "SameBytes",
    "StoredFeatures",
    "StoredFile",
    "StoredIndex",
    "StoredPipeline",
    "at_storage_precision",
    "encoded_for",
]
