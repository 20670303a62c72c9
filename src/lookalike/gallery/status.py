"""Status of a gallery, and checks of its engines."""

import hashlib
from collections.abc import Mapping

import numpy as np

from lookalike.catalog import Catalog
from lookalike.errors import Damaged, LookalikeError, Unavailable
from lookalike.gallery.index_sync import IndexSync, OpenPipeline, needs_rebuild
from lookalike.pipeline import ClosedPipeline, Pipeline
from lookalike.results import MeasuredRecall, PipelineStatus, Status


def gallery_status(
    catalog: Catalog,
    pipelines: Mapping[str, OpenPipeline | ClosedPipeline | LookalikeError],
    outages: Mapping[str, str],
    recall: tuple[MeasuredRecall, ...] = (),
) -> Status:
    """Return the gallery's status.

    `pipelines` holds the error of one that cannot be opened; those in `outages` (reason by name) are not queried.
    """
    totals = catalog.images.totals()
    tenants = {name: catalog.images.count(tenant_id) for name, tenant_id in catalog.tenants.ids_by_name().items()}
    sequence = catalog.changes.last_sequence()
    statuses = tuple(
        _closed_status(catalog, pipeline, sequence)
        if isinstance(pipeline, ClosedPipeline)
        else _pipeline_status(name, pipeline, sequence, outages.get(name))
        for name, pipeline in pipelines.items()
    )
    return Status(totals.images, totals.nbytes, tenants, totals.by_format, sequence, statuses, recall)


def _closed_status(catalog: Catalog, closed: ClosedPipeline, sequence: int) -> PipelineStatus:
    """The status of a pipeline that is not open: its index has all rows of the catalog before the next search."""
    saved = 0 if needs_rebuild(catalog, closed.saved_at) else closed.saved_at
    rows, spec = catalog.features.count(closed.spec), closed.spec
    behind, threshold = max(sequence - saved, 0), closed.calibration.threshold
    return PipelineStatus(spec.name, spec.fingerprint, spec.metric, rows, saved, behind, threshold, closed.engine)


def _pipeline_status(
    name: str, opened: OpenPipeline | LookalikeError, sequence: int, error: str | None
) -> PipelineStatus:
    if isinstance(opened, LookalikeError):
        return PipelineStatus(name, None, None, 0, 0, sequence, None, error=str(opened))
    pipeline, sync = opened.pipeline, opened.sync
    spec, index = pipeline.spec, pipeline.index
    rows, saved = 0, 0
    try:
        if error is None:
            sync.ensure_fresh()
            rows, saved = index.count(), index.sequence
    except (Unavailable, Damaged) as failure:
        if not index.shared:
            raise
        error = str(failure)
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


def check_engine(pipeline: Pipeline, sync: IndexSync) -> None:
    """Search the engine for a feature that no image has; raises what a search raises.

    The search covers the whole index, but only distance 0, which is cheap at any size.
    """
    if sync.missing_features is not None:
        raise Damaged(sync.missing_features)
    spec = pipeline.spec
    query = np.ones((1, spec.width), spec.dtype)
    if spec.metric == "hamming":
        query[:] = np.frombuffer(hashlib.shake_256(b"nobody").digest(spec.width), np.uint8)
    else:
        query /= np.sqrt(spec.width)
    pipeline.index.search(query, 1, max_distance=0.0)
