"""Generation 1: the 64-bit DCT perceptual hash (pHash) of images, in batches, bit for bit that of `imagehash` 4.3.2.

Of the DCT-II of 32 x 32 grey levels, each of the 8 x 8 lowest coefficients gives one bit: whether it is above their
median (N. Krawetz, "Looks Like It", 2011; as `imagehash.phash`, where the 64 include the DC coefficient).

The DCT is folded (the even-odd recursion of W.-H. Chen, C. H. Smith, S. C. Fralick, "A Fast Computational Algorithm for
the Discrete Cosine Transform", 1977): sums and differences of mirrored pixels are exact integers, so symmetric content
cancels to an exact zero, and a mirrored image gives exactly the negated odd coefficients.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import BadInput
from lookalike.imaging.resizing import REDUCING_GAP
from lookalike.types import Encoded, EncodedViews, Features, FeatureSpec, InputSpec, Pixels

SIDE = 32
"""Width and height of the hashed grey image, in pixels."""
OVERSAMPLE = 3.0
"""The minimum size of a reduced-scale decode, in multiples of 32 x 32, in the fast mode.

Over 1,588 JPEG photos of about 500 x 375, bits that differ from the exact hash, and hashes a second with decoding, one
core: 1: 2.3 bits, 1130/s; 2: 1.0 bits (99%: 6, most 12), 1080/s; 3: 0.46 bits (2, 12), 950/s; 4: 0.33 bits (2, 4),
870/s; exact: 470/s. Photos of 800 pixels and more decode at 1/8 with 3 as with 1.
"""
STABLE_MARGIN = 2.0
"""A bit is stable where its coefficient differs from the median by more than noise of so many grey levels a pixel."""
MIN_STABLE_SHARE = 0.5
"""The minimum share of stable bits of a usable hash.

Of 1,710 photos none has less than 0.70; uniform images have 0 or 0.02, plain gradients less than 0.2. On faded photos
saved as JPEG of quality 30, a share of 0.5 to 0.6 moved by 8 bits on average, below 0.2 by 26, as random ones.
"""
VIEWS = ("same", "turn_90", "turn_180", "turn_270", "mirror", "flip", "transpose", "transverse")
"""The orientations of `PHash.encode_views`, in order: the transformation of the image. Turns are counter-clockwise;
`mirror` swaps left and right, `flip` top and bottom; `transverse` is the transpose about the other diagonal."""
STORED_VIEWS = ("mirror", "flip", "turn_180")
"""The orientations stored beside a hash: the other four are transposed ones, which have the same bits in another order.

The hash alone does not determine them: it keeps on which side of the median a coefficient is, not how far from zero.
"""

_LOW = 8
_UNPACKED = 1 << 15  # hashes whose bits are unpacked at a time: 2 MB
_BLOCK = 256  # images at a time: the working set fits into a core's cache

Coefficients = NDArray[np.float64]


class PHash:
    """The encoder of generation 1; `spec` is ("phash", hamming, 8 bytes), its input 32 x 32 grey levels. Thread-safe.

    By default a JPEG is decoded at a reduced scale (see `OVERSAMPLE`). With `exact` every pixel is decoded, and the
    hash equals `imagehash.phash`. The two differ by 0.46 bits on average, so they carry different fingerprints: a
    gallery holds one variant, and a threshold measured on one is not used with the other.
    `features[i].tobytes().hex()` is what `str(imagehash.phash(...))` prints.
    """

    def __init__(self, exact: bool = False) -> None:
        oversample = 1.0 if exact else OVERSAMPLE
        self.input = InputSpec(SIDE, SIDE, "L", "lanczos", oversample, full_decode=exact, approximate=not exact)
        scale = f"at least {OVERSAMPLE:g} times as large, box-reduced to {REDUCING_GAP} times"
        decoding = "every pixel" if exact else f"reduced scale, {scale}, single precision"
        recipe = f"phash 1: {decoding}; L; lanczos to {SIDE} x {SIDE}; dct-ii, lowest 8 x 8, above their median"
        self.spec = FeatureSpec("phash", "hamming", _LOW, hashlib.sha256(recipe.encode()).hexdigest())
        views = f"{recipe}; {', '.join(STORED_VIEWS)}"
        width = _LOW * len(STORED_VIEWS)
        self.views_spec = FeatureSpec("phash-views", "hamming", width, hashlib.sha256(views.encode()).hexdigest())

    def encode(self, images: Pixels) -> Encoded:
        """Hash a batch, `(n, 32, 32)` uint8: packed bits `(n, 8)`; raises BadInput for another shape or dtype.

        `quality` is the share of stable bits (`STABLE_MARGIN`), `usable` whether it is at least `MIN_STABLE_SHARE`.
        """
        _check(images)
        features = np.empty((len(images), _LOW), np.uint8)
        quality = np.empty(len(images), np.float32)
        for block in _blocks(len(images)):
            coefficients = _low_frequencies(images[block])
            median = _median(coefficients)
            features[block] = np.packbits(coefficients > median, axis=1)
            quality[block] = _stable_share(coefficients, median)
        return Encoded(features, quality, quality >= MIN_STABLE_SHARE)

    def encode_views(self, images: Pixels) -> EncodedViews:
        """Hash a batch in all eight orientations (see `VIEWS`) from one DCT: `(n, 8, 8)`, view 0 as `encode`.

        A mirrored image has the odd coefficients negated, a transposed one has them transposed. This transforms the
        32 x 32 input: an image that was rotated before resizing differs by its resampling.
        """
        _check(images)
        features = np.empty((len(images), len(VIEWS), _LOW), np.uint8)
        usable = np.empty(len(images), np.bool_)
        for block in _blocks(len(images)):
            coefficients = _low_frequencies(images[block])
            usable[block] = _stable_share(coefficients, _median(coefficients)) >= MIN_STABLE_SHARE
            features[block] = _orientations(coefficients)
        return EncodedViews(features, usable)

    def encode_stored(self, images: Pixels) -> tuple[Encoded, Features]:
        """As `encode`, and what is stored of the other orientations (`STORED_VIEWS`), `(n, 24)`, from the same DCT."""
        _check(images)
        features = np.empty((len(images), len(VIEWS), _LOW), np.uint8)
        quality = np.empty(len(images), np.float32)
        for block in _blocks(len(images)):
            coefficients = _low_frequencies(images[block])
            quality[block] = _stable_share(coefficients, _median(coefficients))
            features[block] = _orientations(coefficients)
        stored = features[:, [VIEWS.index(view) for view in STORED_VIEWS]].reshape(len(images), -1)
        return Encoded(np.ascontiguousarray(features[:, 0]), quality, quality >= MIN_STABLE_SHARE), stored

    def all_views(self, features: Features, stored: Features) -> Features:
        """All orientations `(n, 8, 8)`, as `encode_views`, of hashes `(n, 8)` and their stored views `(n, 24)`."""
        views = np.empty((len(features), len(VIEWS), _LOW), np.uint8)
        views[:, VIEWS.index("same")] = features
        for view, hashes in zip(STORED_VIEWS, stored.reshape(-1, len(STORED_VIEWS), _LOW).swapaxes(0, 1), strict=True):
            views[:, VIEWS.index(view)] = hashes
        for _, plain, transposed in _SIGNS:
            for start in range(0, len(views), _UNPACKED):
                part = slice(start, start + _UNPACKED)
                bits = np.unpackbits(views[part, VIEWS.index(plain)], axis=1).reshape(-1, _LOW, _LOW).swapaxes(1, 2)
                views[part, VIEWS.index(transposed)] = np.packbits(bits.reshape(-1, _LOW * _LOW), axis=1)
        return views

    def estimated_views(self, features: Features) -> Features:
        """The views to store, `(n, 24)`, estimated from hashes `(n, 8)` alone, of images that were added without.

        As if the median were zero: then a mirrored image negates the odd coefficients, and so inverts their bits.
        """
        signs = {plain: np.packbits(factors < 0) for factors, plain, _ in _SIGNS}
        return np.concatenate([features ^ signs[view] for view in STORED_VIEWS], axis=1)


def _check(images: NDArray[Any]) -> None:
    if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
        problem = f"phash takes images as (n, {SIDE}, {SIDE}) uint8 grey levels, not {images.shape} {images.dtype}"
        raise BadInput(f"{problem}; prepare them by the encoder's `input`")


def _blocks(count: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]


def _odd_rows(points: int) -> Coefficients:
    """The odd rows of a DCT-II over `points` values, for the differences of mirrored values."""
    rows = np.arange(1, points, 2)[:, None]
    columns = np.arange(points // 2)[None, :]
    return 2.0 * np.cos(np.pi * rows * (2 * columns + 1) / (2 * points))


_ODD_OF_32 = _odd_rows(32)[: _LOW // 2]
_ODD_OF_16 = _odd_rows(16)[: _LOW // 4]
_ODD_OF_8 = _odd_rows(8)[: _LOW // 8]


def _fold(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    half = len(values) // 2
    near, far = values[:half], values[: half - 1 : -1]
    return near + far, near - far


def _dct_low(values: NDArray[Any]) -> Coefficients:
    """The 8 lowest DCT-II coefficients (unscaled, as scipy's default) along the first axis: (32, m) -> (8, m)."""
    sums, odd_16 = _fold(values)
    sums, odd_8 = _fold(sums)
    sums, odd_4 = _fold(sums)
    low = np.empty((_LOW, values.shape[1]))
    low[1::2] = _ODD_OF_32 @ odd_16.astype(np.float64)
    low[2::4] = _ODD_OF_16 @ odd_8.astype(np.float64)
    low[4::8] = _ODD_OF_8 @ odd_4.astype(np.float64)
    low[0] = 2 * sums.sum(axis=0)
    return low


def _low_frequencies(images: Pixels) -> Coefficients:
    """The 8 x 8 lowest coefficients of each image: (n, 64), row by row."""
    count = len(images)
    pixels = np.ascontiguousarray(images.reshape(count, SIDE * SIDE).T).astype(np.int16)
    down = _dct_low(pixels.reshape(SIDE, SIDE * count)).reshape(_LOW, SIDE, count)
    across = _dct_low(np.ascontiguousarray(down.swapaxes(0, 1)).reshape(SIDE, _LOW * count))
    return np.ascontiguousarray(across.reshape(_LOW, _LOW, count).transpose(2, 1, 0)).reshape(count, _LOW * _LOW)


def _median(coefficients: Coefficients) -> Coefficients:
    ordered = np.sort(coefficients, axis=1)
    middle = _LOW * _LOW // 2
    return (ordered[:, middle - 1 : middle] + ordered[:, middle : middle + 1]) / 2


_NOISE = np.sqrt(np.array([4.0, *[2.0] * (_LOW - 1)]) * SIDE)
"""The standard deviation of a line's coefficients under pixel noise with a standard deviation of one grey level."""
_STABLE_DISTANCE = STABLE_MARGIN * np.outer(_NOISE, _NOISE).reshape(-1)


def _stable_share(coefficients: Coefficients, median: Coefficients) -> NDArray[np.float32]:
    share: NDArray[np.float32] = (np.abs(coefficients - median) > _STABLE_DISTANCE).mean(axis=1, dtype=np.float32)
    return share


_ALTERNATING = np.tile([1.0, -1.0], _LOW // 2)
_MIRROR = np.tile(_ALTERNATING, _LOW)
_FLIP = np.repeat(_ALTERNATING, _LOW)
# (signs, the view with them, and the view with them that is also transposed)
_SIGNS = (
    (np.ones(_LOW * _LOW), "same", "transpose"),
    (_MIRROR, "mirror", "turn_90"),
    (_FLIP, "flip", "turn_270"),
    (_MIRROR * _FLIP, "turn_180", "transverse"),
)


def _orientations(coefficients: Coefficients) -> Features:
    count = len(coefficients)
    features = np.empty((count, len(VIEWS), _LOW), np.uint8)
    for signs, plain, transposed in _SIGNS:
        signed = coefficients * signs
        bits = signed > _median(signed)
        features[:, VIEWS.index(plain)] = np.packbits(bits, axis=1)
        turned = bits.reshape(count, _LOW, _LOW).swapaxes(1, 2).reshape(count, _LOW * _LOW)
        features[:, VIEWS.index(transposed)] = np.packbits(turned, axis=1)
    return features
