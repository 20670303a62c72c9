"""`vgg16-copy`: VGG16 in low-rank form with a head learned from edited copies; its weights are part of the package."""

from pathlib import Path

POOLED = ("block3_conv3", "block4_conv3", "block5_conv3")
"""The layers whose maps are pooled; the last one after block 5's own max pool, as in `vgg16`."""
FACTORS_FILE = Path(__file__).parent / "factors.npz"
"""The factors of the package: Oxford's VGG16 (CC BY 4.0) in low-rank form, see NOTICE.md beside it."""
HEAD_FILE = Path(__file__).parent / "head.npz"
"""The head of the package."""
