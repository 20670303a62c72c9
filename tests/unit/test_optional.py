"""Optional packages: what is imported of them."""

import subprocess
import sys


def test_openvino_is_loaded_without_its_converter() -> None:
    """The converter of models reports its import to its maker; whoever needs it can still import it."""
    code = """
import sys
from lookalike.optional import require
require("openvino", purpose="a network")
assert not [name for name in sys.modules if name.startswith(("openvino.tools", "openvino_telemetry"))]
import openvino.tools.ovc
assert "openvino_telemetry" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_small_gallery_does_not_load_faiss() -> None:
    code = """
import sys
import numpy as np
from lookalike.indexes.hnsw.index import HnswIndex
from lookalike.types import FeatureSpec, Rows
spec = FeatureSpec("vectors", "cosine", 4, "f")
index = HnswIndex(spec, None)
index.upsert(Rows(np.array([1]), np.array([[1, 0, 0, 0]], np.float32), np.array([1])))
assert index.search(np.array([[1, 0, 0, 0]], np.float32), 1).ids.tolist() == [[1]]
assert "faiss" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
