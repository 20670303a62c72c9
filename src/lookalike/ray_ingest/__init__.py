"""Adding the images of manifests on the machines of a Ray cluster; the catalog is the checkpoint.

Nothing here is imported before the command `ingest` runs, and Ray itself only to connect.
"""

from lookalike.ray_ingest.cluster import LOCAL, Workers, connected, cores_of_workers, parse_workers
from lookalike.ray_ingest.job import IngestJob, check_catalog, prepare_job
from lookalike.ray_ingest.rejected import RejectedWriter
from lookalike.ray_ingest.run import IndexUpdates, IngestRun
from lookalike.ray_ingest.units import UnitReader, UnitResult

__all__ = [
    "LOCAL",
    "IndexUpdates",
    "IngestJob",
    "IngestRun",
    "RejectedWriter",
    "UnitReader",
    "UnitResult",
    "Workers",
    "check_catalog",
    "connected",
    "cores_of_workers",
    "parse_workers",
    "prepare_job",
]
