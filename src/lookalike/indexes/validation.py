"""Validation of the rows and queries that every index accepts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike import distances
from lookalike.errors import BadInput, FeatureMismatch, UnsupportedQuery
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Rows

LENGTH_TOLERANCE = 0.01
"""How far a vector's length may be from 1: half precision errs by 0.0005, an unscaled encoder by far more."""


def check_rows(spec: FeatureSpec, rows: Rows) -> tuple[Ids, Features, Ids]:
    """Copies of ids, features and tenants, ready to keep; vectors are brought to unit length to the last digit.

    Raises FeatureMismatch for a wrong width or dtype; BadInput for NaN, infinity, vectors far from unit length, ids
    below 1 or repeated, and arrays of different lengths.
    """
    ids, tenants = _whole_numbers("ids", rows.ids), _whole_numbers("tenants", rows.tenants)
    features = _check_features(spec, rows.features)
    if not len(ids) == len(features) == len(tenants):
        raise BadInput(f"{len(ids)} ids, {len(features)} rows of features and {len(tenants)} tenants: give one of each")
    if len(ids) and ids.min() < 1:
        raise BadInput(f"ids start at 1, not {ids.min()}")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise BadInput(f"id {unique[counts > 1][0]} comes twice in one batch")
    return ids, features, tenants


def check_query(spec: FeatureSpec, queries: Features, k: int, max_distance: float | None) -> Features:
    """Queries ready to search with; raises like `check_rows`, and UnsupportedQuery for a `k` below 1."""
    if k < 1:
        raise UnsupportedQuery(f"ask for at least 1 match, not {k}")
    if max_distance is not None and np.isnan(max_distance):
        raise UnsupportedQuery("the largest distance is not a number")
    return _check_features(spec, queries)


def check_attributes(ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> tuple[Ids, Ids]:
    """Ids and tenants as int64; raises BadInput where there is not one of each, or an id comes twice."""
    wanted, owners = np.asarray(ids, np.int64), np.asarray(tenants, np.int64)
    if not len(wanted) == len(owners) == len(attributes):
        raise BadInput(f"{len(wanted)} ids, {len(owners)} tenants and {len(attributes)} attributes: give one of each")
    if len(np.unique(wanted)) < len(wanted):
        raise BadInput("an id comes twice among attributes to change")
    return wanted, owners


def _check_features(spec: FeatureSpec, features: Features) -> Features:
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] != spec.width or array.dtype != spec.dtype:
        raise FeatureMismatch(
            f"{spec.name} features are (n, {spec.width}) {spec.dtype}, not {array.shape} {array.dtype}"
        )
    if spec.metric == "hamming":
        return np.array(array, order="C")
    length = np.sqrt(np.einsum("ij,ij->i", array, array))
    wrong = np.flatnonzero(~(np.abs(length - 1) <= LENGTH_TOLERANCE))  # catches NaN and infinity too
    if len(wrong):
        what = "length" if np.isfinite(length[wrong[0]]) else "NaN, infinite or huge numbers, length"
        raise BadInput(f"{spec.name} row {wrong[0]} has {what} {length[wrong[0]]:g} instead of 1; see `normalise`")
    return distances.normalise(array)


def _whole_numbers(what: str, values: Any) -> Ids:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise BadInput(f"{what} are whole numbers in one row, not {array.shape} {array.dtype}")
    return array.astype(np.int64)
