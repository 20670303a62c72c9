"""The catalog, the truth of the system: what images there are, their features, and every change in order."""

from lookalike.catalog.catalog import Catalog
from lookalike.catalog.jobs import Job, JobState
from lookalike.catalog.leases import Claim, Progress
from lookalike.catalog.records import Changes, Deleted, Entry, Known, Put, Seen, Stored, Totals, Twin
from lookalike.catalog.vectors import at_storage_precision

__all__ = [
    "Catalog",
    "Changes",
    "Claim",
    "Deleted",
    "Entry",
    "Job",
    "JobState",
    "Known",
    "Progress",
    "Put",
    "Seen",
    "Stored",
    "Totals",
    "Twin",
    "at_storage_precision",
]
