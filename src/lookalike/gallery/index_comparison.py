"""Comparison of two indexes of a pipeline: a sample of the stored features is searched for in both."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lookalike.catalog import Catalog
from lookalike.pipeline import Pipeline, Ranked
from lookalike.results import IndexComparison

SAMPLE = 500
"""Stored features that are searched for, at most."""
HITS = 10
"""Hits of each that are compared: overlap@10."""
MIN_COPIES_OVERLAP = 0.98
"""Least share of the old index's hits within the copy threshold that a new one must find to take its place."""
ROUNDING = 1e-3
"""Distances (0..1) that differ by less are equal: engines store and multiply vectors at different precisions."""
BATCH = 50


@dataclass(frozen=True, slots=True)
class _Lost:
    """A hit of the old index that the new one does not have: the image searched for, the hit, whether it is a copy."""

    query: int
    hit: int
    copy: bool


def compare_indexes(catalog: Catalog, old: Pipeline, new: Pipeline, sequence: int, *, seed: int = 0) -> IndexComparison:
    """Search for a sample of the features of a pipeline in two of its indexes.

    Nearest images at the same distance may stand in any order.

    Args:
        catalog: Of the gallery.
        old: The pipeline with the index that answers.
        new: With the other one.
        sequence: The change up to which the other one is known to be; what was changed since does not count.
        seed: Of the choice.

    Raises:
        Unavailable: An engine does not answer.
    """
    stored = catalog.features.sample(new.spec, SAMPLE, seed)
    lost: list[_Lost] = []
    hits = copies = 0
    for at in range(0, len(stored.ids), BATCH):
        ids, features = stored.ids[at : at + BATCH], stored.features[at : at + BATCH]
        found = [pipeline.search_features(features[:, None, :], HITS, fresh=True) for pipeline in (old, new)]
        for id_, before, after in zip(ids.tolist(), *found, strict=True):
            hits += len(before.ids)
            copies += int((before.distances <= old.calibration.threshold).sum())
            lost += _lost(id_, before, after, old.calibration.threshold)
    still = catalog.images.by_ids({image for each in lost for image in (each.query, each.hit)})
    unchanged = {id_ for id_, record in still.items() if record.sequence <= sequence}
    lost = [each for each in lost if each.query in unchanged and each.hit in unchanged]
    return IndexComparison(
        len(stored.ids),
        1 - len(lost) / max(hits, 1),
        copies,
        1 - sum(each.copy for each in lost) / max(copies, 1),
        sum(each.query == each.hit for each in lost),
        _missing_rows(catalog, new, sequence),
    )


def refusal(compared: IndexComparison) -> str | None:
    """Why a new index should not answer yet, or None."""
    reasons = []
    if compared.missing_rows:
        reasons.append(f"it lacks {compared.missing_rows:,} rows")
    if compared.unfound:
        reasons.append(f"{compared.unfound:,} of {compared.queries:,} images are not found by their own features")
    if compared.copies_overlap < MIN_COPIES_OVERLAP:
        reasons.append(
            f"it finds {100 * compared.copies_overlap:.1f} % of the {compared.copies:,} hits within the copy threshold "
            f"that the old one finds, and at least {100 * MIN_COPIES_OVERLAP:.0f} % are needed (options of the address "
            "may find more, such as ?mode=exact of Elasticsearch)"
        )
    return "; ".join(reasons) or None


def _lost(query: int, before: Ranked, after: Ranked, threshold: float) -> Iterator[_Lost]:
    """The hits that only the old index has, unless the new one is full of nearer ones."""
    reached = float(after.distances[-1]) if len(after.ids) >= HITS else np.inf
    have = set(after.ids.tolist())
    for id_, distance in zip(before.ids.tolist(), before.distances.tolist(), strict=True):
        if id_ not in have and distance < reached - ROUNDING:
            yield _Lost(query, id_, distance <= threshold)


def _missing_rows(catalog: Catalog, new: Pipeline, sequence: int) -> int:
    """The least number of rows missing in an index, beyond those that were changed since `sequence`."""
    rows = new.index.count()
    expected = catalog.features.count(new.spec)
    changed = catalog.changes.last_sequence() - sequence
    return max(expected - rows - changed, 0)
