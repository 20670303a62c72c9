"""An encoder of the windows of an image: one row of many codes, by which the image is found by a part of it."""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lookalike.imaging.flatness import has_content
from lookalike.imaging.resizing import resize_to
from lookalike.imaging.windows import WINDOW_COUNT, WINDOWS, windows_of
from lookalike.types import Encoded, EncodedViews, Features, FeatureSpec, InputSpec, Pixels

if TYPE_CHECKING:
    from lookalike.encoders.openvino_runtime import OpenVinoEncoder

SCALE = 2
"""Sides of the input for each of the network's: the smallest windows, of half the side, are encoded at full size."""


class WindowsEncoder:
    """Encodes every window of an image (`imaging.windows`) by a network whose features are signs. Thread-safe.

    A row has the codes of all windows, one after the other. The query row of `encode_views` repeats the code of the
    whole image, and is compared with the windows of stored ones. A window that is flat has the code of the first one
    that is not; an image of which all are is not usable.
    """

    def __init__(self, network: "OpenVinoEncoder", name: str) -> None:
        self._network = network
        self._spec = spec_of(network.spec, name)
        self._input = replace(
            network.input, width=SCALE * network.input.width, height=SCALE * network.input.height, oversample=1.0
        )

    @property
    def spec(self) -> FeatureSpec:
        return self._spec

    @property
    def input(self) -> InputSpec:
        return self._input

    @property
    def windows(self) -> int:
        """Codes in a row."""
        return WINDOW_COUNT

    def encode(self, images: Pixels) -> Encoded:
        """Rows `(n, width)` of the windows of images `(n, height, width, 3)` uint8, in the shape that `input` says."""
        rows = np.zeros((len(images), self._spec.width), np.uint8)
        usable = np.zeros(len(images), np.bool_)
        for n, image in enumerate(images):  # one at a time: 25 inputs are enough for a network
            parts = np.stack([resize_to(window, self._network.input) for window in windows_of(image)])
            encoded = self._network.encode(parts)
            if encoded.usable.any():
                rows[n], usable[n] = _row(encoded.features, encoded.usable), True
        return Encoded(rows, usable.astype(np.float32), usable)

    def encode_views(self, images: Pixels) -> EncodedViews:
        """The row of each query `(n, height, width, 3)` as a whole: one view, its code repeated."""
        seen = has_content(images)
        whole = np.zeros((len(images), self._network.input.height, self._network.input.width, 3), np.uint8)
        for n in np.flatnonzero(seen):
            whole[n] = resize_to(images[n], self._network.input)
        encoded = self._network.encode(whole)
        return EncodedViews(np.tile(encoded.features, WINDOW_COUNT)[:, None, :], encoded.usable)


def spec_of(network: FeatureSpec, name: str) -> FeatureSpec:
    """The features of the windows whose codes a network of these features makes."""
    return FeatureSpec(name, "hamming", network.width * WINDOW_COUNT, fingerprint_of(network.fingerprint))


def fingerprint_of(network: str) -> str:
    """The fingerprint of rows made by a network of this fingerprint: it covers the windows, too."""
    return hashlib.sha256(f"{network} windows {WINDOWS} {SCALE}".encode()).hexdigest()[:32]


def _row(codes: Features, usable: NDArray[np.bool_]) -> Features:
    """The codes `(windows, bytes)` in one row, the unusable ones replaced."""
    return np.where(usable[:, None], codes, codes[int(usable.argmax())]).ravel()
