"""Search with windows of a query, and in windows of stored images: finds an image that is only a part of another."""

import numpy as np

from lookalike.imaging.resizing import resize_to
from lookalike.imaging.windows import windows_of
from lookalike.pipeline import Pipeline
from lookalike.types import EncodedViews, Pixels

AUTO_MS = 1000.0
"""Milliseconds within which windows are searched with without being asked for."""


def encode_windows(pixels: Pixels, pipeline: Pipeline) -> EncodedViews:
    """Features of the windows of a query `(height, width, 3)`, as its views: finds images that are a part of it."""
    inputs = np.stack([resize_to(window, pipeline.input) for window in windows_of(pixels)])
    encoded = pipeline.encoder.encode(inputs)
    features = encoded.features[encoded.usable]
    return EncodedViews(features[None], np.array([len(features) > 0]))


def encode_whole(pixels: Pixels, windowed: Pipeline) -> EncodedViews:
    """A query for a pipeline of windows of stored images: finds images of which it is a part."""
    return windowed.encode_views(resize_to(pixels, windowed.input)[None])


def encode_parts(pixels: Pixels, windowed: Pipeline) -> EncodedViews:
    """The windows of a query for such a pipeline: finds images that share a part with it."""
    encoded = windowed.encoder.encode(resize_to(pixels, windowed.input)[None])
    return EncodedViews(encoded.features[:, None, :], encoded.usable)
