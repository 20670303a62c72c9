"""Results of verifying a pair of images."""

from typing import Final

from lookalike.types import Box, Matrix, Transform, Verification, VerificationMethod

Method = VerificationMethod

WHOLE: Final = Box(0.0, 0.0, 1.0, 1.0)
NOTHING: Final = Verification(None, 0.0, 0.0, None, (), None, 0.0)
"""Nothing to compare: one of the images is flat."""

__all__ = ["NOTHING", "WHOLE", "Box", "Matrix", "Method", "Transform", "Verification"]
