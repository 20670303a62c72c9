"""Small encoders in a models file, for galleries whose pipelines change: pixels of a tiny image as a vector."""

from pathlib import Path

from tests.support import onnx_file

SIDE = 8
ENTRY = """
[{name}]
title = "the pixels of a tiny image"
licence = "none"
file = "toy.onnx"
size = [{side}, {side}]
resample = "box"
scale = 0.00392156862745098
mean = [{mean}, {mean}, {mean}]
dimensions = {dimensions}
metric = "{metric}"
threshold = 0.02
"""


def write_toy_models(folder: Path) -> Path:
    """Write the encoders toy and toy-2 (cosine) and toy-bits (hamming), and return the file for LOOKALIKE_MODELS."""
    nodes = [onnx_file.node("Flatten", ["image"], ["features"])]
    inputs = [onnx_file.value_info("image", onnx_file.FLOAT, ["n", 3, SIDE, SIDE])]
    outputs = [onnx_file.value_info("features", onnx_file.FLOAT, ["n", 3 * SIDE * SIDE])]
    (folder / "toy.onnx").write_bytes(onnx_file.model(nodes, {}, inputs, outputs))
    size = {"side": SIDE, "dimensions": 3 * SIDE * SIDE}
    entries = [
        ENTRY.format(name="toy", metric="cosine", mean=0.5, **size),
        ENTRY.format(name="toy-2", metric="cosine", mean=0.4, **size),
        ENTRY.format(name="toy-bits", metric="hamming", mean=0.5, **size),
    ]
    (folder / "models.toml").write_text("".join(entries))
    return folder / "models.toml"
