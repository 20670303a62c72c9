"""What the evidence of a verification proves: copy, variant or similar.

The constants were chosen on training pairs of `python -m benchmarks.verification --split train`: 34 families of drawn
documents, and real photos whose groups hash to the training quarter. What they give on the other split, with other
templates and photos, is in docs/numbers.md.
"""

import math
from typing import Final, Literal

from lookalike.types import Verification

Label = Literal["copy", "variant", "similar"]

MIN_PROBABILITY: Final = 0.9
"""Probability from which a pair is called a copy, unless the caller says otherwise."""
MIN_VARIANT: Final = 0.6
"""Agreement from which two images are of one template or scene: unrelated training photos reach 0.08, letters 0.49."""
SCENE_AGREEMENT, SCENE_WIDTH = 0.5, 0.05
"""Middle and width of the logistic curve from agreement to the probability of a common source."""
UNCHANGED: Final = 0.995
"""Probability of a copy where no window differs: none of the training pairs of different images was like that."""
ADDED: Final = 0.5
"""Probability of a copy where a few windows of an image differ: a caption was added, or another one stands there."""
REPLACED: Final = 0.05
"""The same where more than `MAX_ADDED` of the windows differ."""
SEPARATE: Final = 0.05
"""Probability of a copy where EXIF data tell that the images were taken separately: they may have been edited."""
MAX_ADDED: Final = 0.35
MIN_COLOR: Final = 0.65
"""Correlation of chroma below which the colors were replaced: copies have 0.77 and more, logos in other colors 0.3."""
MIN_TONE: Final = 0.2
"""Correlation of brightness below which it was: copies have 0.47 and more, logos in other colors -0.6."""
MIN_DETAIL: Final = 300
"""Pixels of the shorter side below which small text cannot be read, where the original has more than twice as many."""
MIN_RESOLUTION: Final = 0.5
MIN_TEXTURE: Final = 0.6
"""Share of textured pixels below which an image may hold small text; photos mostly have more."""
MIN_COVERAGE: Final = 0.6
"""Share of one of the images that the overlap must fill."""


def label(verification: Verification, *, min_probability: float = MIN_PROBABILITY) -> tuple[Label, float]:
    """What the evidence proves.

    Args:
        verification: The evidence.
        min_probability: The probability from which a pair is called a copy, 0..1.

    Returns:
        The label, and the probability that the query is a copy of the stored image: "copy" where all that can be
        compared agrees; "variant" where one template or scene is seen but parts differ, are out of view, or are too
        small to tell; "similar" where nothing is proven.
    """
    agreement = verification.agreement
    if agreement is None:
        return "similar", 0.0
    source = 1 / (1 + math.exp((SCENE_AGREEMENT - agreement) / SCENE_WIDTH))
    probability = source * _unchanged(verification)
    if agreement >= MIN_VARIANT:
        return ("copy" if probability >= min_probability else "variant"), probability
    return "similar", probability


def _unchanged(verification: Verification) -> float:
    """The probability that the content of two images of one source is the same."""
    if verification.separate_captures:
        return SEPARATE
    if verification.largest:
        return ADDED if verification.differing <= MAX_ADDED else REPLACED
    doubtful = is_recolored(verification) or not is_legible(verification) or not is_covered(verification)
    return ADDED if doubtful else UNCHANGED


def is_recolored(verification: Verification) -> bool:
    """Whether colors or brightness were replaced, although the shapes agree."""
    color, tone = verification.color, verification.tone
    return (color is not None and color < MIN_COLOR) or (tone is not None and tone < MIN_TONE)


def is_covered(verification: Verification) -> bool:
    """Whether one image shows most of the other: not only a corner, a logo or a letterhead that both have."""
    return max(verification.query_coverage, verification.stored_coverage) >= MIN_COVERAGE


def is_legible(verification: Verification) -> bool:
    """Whether small text, if there is any, was large enough to be compared."""
    reduced = verification.detail < MIN_DETAIL and verification.resolution < MIN_RESOLUTION
    return not reduced or verification.textured >= MIN_TEXTURE
