"""Rows for the Milvus suites."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lookalike.types import FeatureSpec, Ids, Rows
from tests.index_contract import random_features

SPEC = FeatureSpec("vector", "cosine", 64, "v1")


def rows(ids: Sequence[int] | Ids, tenants: int | Ids = 1, *, seed: int = 0, attributes: Any = None) -> Rows:
    """Rows for these ids, always the same for the same id and seed."""
    array = np.asarray(ids, np.int64)
    features = np.concatenate([random_features(SPEC, np.random.default_rng((seed, int(i))), 1) for i in array])
    return Rows(array, features, np.broadcast_to(np.asarray(tenants, np.int64), array.shape).copy(), attributes)
