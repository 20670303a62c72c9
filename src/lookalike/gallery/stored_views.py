"""Hashes of stored images in all orientations, from what the catalog holds of them."""

import numpy as np

from lookalike.catalog import Catalog
from lookalike.catalog.records import StoredFeatures
from lookalike.interfaces import Encoder, OrientedEncoder
from lookalike.types import Features


def views_of(catalog: Catalog, encoder: Encoder, stored: StoredFeatures) -> Features:
    """All views of stored features, `(n, v, width)`: hashes in all orientations, others as they are."""
    if not isinstance(encoder, OrientedEncoder):
        return stored.features[:, None, :]
    return in_all_orientations(encoder, stored, catalog.features.get(encoder.views_spec, stored.ids.tolist()))


def in_all_orientations(encoder: OrientedEncoder, stored: StoredFeatures, views: StoredFeatures) -> Features:
    """Put stored hashes and their stored views together.

    Args:
        encoder: The encoder of the hashes.
        stored: The hashes, n of them.
        views: The stored views of these images, or of more; those that are missing are estimated.

    Returns:
        All orientations, `(n, v, width)`, the first as the image is.
    """
    rows = encoder.estimated_views(stored.features)
    at = np.searchsorted(stored.ids, views.ids)
    at[at == len(stored.ids)] = 0
    known = stored.ids[at] == views.ids if len(stored.ids) else np.zeros(len(views.ids), np.bool_)
    rows[at[known]] = views.features[known]
    return encoder.all_views(stored.features, rows)
