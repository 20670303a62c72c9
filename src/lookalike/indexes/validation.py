"""Validation of the rows, queries and attributes that every index accepts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike import distances
from lookalike.errors import BadInput, FeatureMismatch, UnsupportedQuery
from lookalike.types import Attributes, Features, FeatureSpec, Ids, Rows

LENGTH_TOLERANCE = 0.01
"""Tolerated deviation of a vector's length from 1: half precision errs by 0.0005, an unscaled encoder by far more."""


def check_rows(spec: FeatureSpec, rows: Rows) -> tuple[Ids, Features, Ids]:
    """Validate rows and copy them as (ids, features, tenants); vectors are normalised to exactly unit length.

    Raises FeatureMismatch for a wrong width or dtype; BadInput for NaN, infinity, vectors far from unit length, ids
    below 1 or repeated, and arrays of different lengths.
    """
    ids, tenants = _integers("ids", rows.ids), _integers("tenants", rows.tenants)
    features = _check_features(spec, rows.features)
    if not len(ids) == len(features) == len(tenants):
        raise BadInput(f"{len(ids)} ids, {len(features)} rows of features and {len(tenants)} tenants: give one of each")
    if len(ids) and ids.min() < 1:
        raise BadInput(f"ids start at 1, not {ids.min()}")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) < len(ids):
        raise BadInput(f"id {unique[counts > 1][0]} is given twice in one batch")
    return ids, features, tenants


def check_query(spec: FeatureSpec, queries: Features, k: int, max_distance: float | None) -> Features:
    """Validate and copy queries; raises like `check_rows`, and UnsupportedQuery for `k` < 1 or a NaN distance."""
    if k < 1:
        raise UnsupportedQuery(f"k must be at least 1, not {k}")
    if max_distance is not None and np.isnan(max_distance):
        raise UnsupportedQuery("max_distance must be a number, not NaN")
    return _check_features(spec, queries)


def check_attributes(ids: Ids, tenants: Ids, attributes: Sequence[Attributes]) -> tuple[Ids, Ids]:
    """Ids and tenants as int64; raises BadInput for different lengths or a repeated id."""
    id_array, tenant_array = np.asarray(ids, np.int64), np.asarray(tenants, np.int64)
    if not len(id_array) == len(tenant_array) == len(attributes):
        counts = f"{len(id_array)} ids, {len(tenant_array)} tenants and {len(attributes)} attributes"
        raise BadInput(f"{counts}: give one of each")
    if len(np.unique(id_array)) < len(id_array):
        raise BadInput("an id is given twice in one batch of attributes")
    return id_array, tenant_array


def _check_features(spec: FeatureSpec, features: Features) -> Features:
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] != spec.width or array.dtype != spec.dtype:
        expected = f"(n, {spec.width}) {spec.dtype}"
        raise FeatureMismatch(f"{spec.name} features are {expected}, not {array.shape} {array.dtype}")
    if spec.metric == "hamming":
        return np.array(array, order="C")
    length = np.sqrt(np.einsum("ij,ij->i", array, array))
    invalid = np.flatnonzero(~(np.abs(length - 1) <= LENGTH_TOLERANCE))  # catches NaN and infinity too
    if len(invalid):
        what = "length" if np.isfinite(length[invalid[0]]) else "NaN, infinite or huge numbers, length"
        raise BadInput(f"{spec.name} row {invalid[0]} has {what} {length[invalid[0]]:g} instead of 1; see `normalise`")
    return distances.normalise(array)


def _integers(name: str, values: Any) -> Ids:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise BadInput(f"{name} must be a one-dimensional array of integers, not {array.shape} {array.dtype}")
    return array.astype(np.int64)
