"""Calibration of a gallery on its own images."""

from lookalike.gallery_calibration.calibration import (
    DENSITY_RANK,
    LABELS,
    VERIFICATION,
    CurveGroup,
    GalleryCalibration,
    Mode,
    measure_of,
)
from lookalike.gallery_calibration.curve import Curve, Floats, fit_curve

__all__ = [
    "DENSITY_RANK",
    "LABELS",
    "VERIFICATION",
    "Curve",
    "CurveGroup",
    "Floats",
    "GalleryCalibration",
    "Mode",
    "fit_curve",
    "measure_of",
]
