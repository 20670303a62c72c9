"""How a gallery stands, and mending it from its catalog."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import Damaged, LookalikeError, Unavailable
from lookalike.gallery.index_sync import IndexSync
from lookalike.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """One pipeline: its index's rows and how many changes it is behind (on disk, or on its server).

    `engine` is what its index runs on, `shared` where that is a server; `error` says why it cannot be opened,
    or does not answer.
    """

    name: str
    fingerprint: str | None
    metric: str | None
    rows: int
    saved_at: int
    behind: int
    threshold: float | None
    engine: str = ""
    shared: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """A gallery at a glance: images and bytes of their files by tenant, last change, pipelines."""

    images: int
    nbytes: int
    tenants: Mapping[str, int]
    formats: Mapping[str, int]
    sequence: int
    pipelines: tuple[PipelineStatus, ...]


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair did: images in the catalog, and the rows of each index built from it."""

    images: int
    rebuilt: Mapping[str, int]


def status_of(
    catalog: Catalog, opened: Mapping[str, tuple[Pipeline, IndexSync] | LookalikeError], silent: Mapping[str, str]
) -> Status:
    """The gallery's status; a pipeline that cannot be opened tells why, one that is `silent` is not asked."""
    totals = catalog.images.totals()
    tenants = {name: catalog.images.count(tenant_id) for name, tenant_id in catalog.tenants.ids_by_name().items()}
    sequence = catalog.changes.last_sequence()
    pipelines = tuple(_pipeline_status(name, found, sequence, silent.get(name)) for name, found in opened.items())
    return Status(totals.images, totals.nbytes, tenants, totals.by_format, sequence, pipelines)


def _pipeline_status(
    name: str, found: tuple[Pipeline, IndexSync] | LookalikeError, sequence: int, error: str | None
) -> PipelineStatus:
    if isinstance(found, LookalikeError):
        return PipelineStatus(name, None, None, 0, 0, sequence, None, error=str(found))
    pipeline, follower = found
    spec, index = pipeline.spec, pipeline.index
    rows, saved = 0, 0
    try:
        if error is None:
            follower.ensure_fresh()
            rows, saved = index.count(), index.sequence
    except (Unavailable, Damaged) as problem:
        if not index.shared:
            raise
        error = str(problem)
    return PipelineStatus(
        name,
        spec.fingerprint,
        spec.metric,
        rows,
        saved,
        max(sequence - saved, 0),
        pipeline.calibration.threshold,
        pipeline.engine,
        index.shared,
        error,
    )


def check_engine(pipeline: Pipeline, follower: IndexSync) -> None:
    """Ask the engine for an image that nobody has; raises what a search raises where it cannot answer.

    It asks in all of the index, and for nothing but the very same feature, which costs little in any size of it.
    """
    if follower.missing_features is not None:
        raise Damaged(follower.missing_features)
    spec = pipeline.spec
    query = np.ones((1, spec.width), spec.dtype)
    if spec.metric == "hamming":
        query[:] = np.frombuffer(hashlib.shake_256(b"nobody").digest(spec.width), np.uint8)
    else:
        query /= np.sqrt(spec.width)
    pipeline.index.search(query, 1, max_distance=0.0)


def rebuild(catalog: Catalog, followers: Mapping[str, IndexSync]) -> RepairReport:
    """Check the catalog, raising Damaged, and build every index anew from it; deletions before that are forgotten."""
    catalog.check()
    reached = catalog.changes.last_sequence()
    rebuilt = {name: follower.rebuild() for name, follower in followers.items()}
    catalog.changes.prune(reached)  # an index of another host that has not come so far is built anew by itself
    return RepairReport(catalog.images.count(None), rebuilt)
