"""The graph of `vgg16-copy`: VGG16's convolutions in low-rank form, pooled maps of three layers, and a linear head.

A 3 x 3 convolution becomes three: 3 x 1, 1 x 3 and 1 x 1, of fewer channels (X. Zhang, J. Zou, K. He, J. Sun,
"Accelerating Very Deep Convolutional Networks for Classification and Detection", 2015; M. Jaderberg, A. Vedaldi,
A. Zisserman, "Speeding up Convolutional Neural Networks with Low Rank Expansions", 2014).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from lookalike.encoders.vgg16 import IMAGENET_MEAN_RGB, layers
from lookalike.encoders.vgg16_copy import POOLED

Matrix = NDArray[np.float32]

DESCRIPTOR_WIDTH = 2 * (256 + 512 + 512)
"""Numbers of the descriptor: the mean and the maximum of every map of the pooled layers."""


@dataclass(frozen=True, slots=True)
class LayerFactors:
    """One convolution in low-rank form, or a full one.

    `kernels` are applied one after the other: (r1, in, 3, 1), (r2, r1, 1, 3), (out, r2, 1, 1); or a single
    (out, in, 3, 3). `bias` (out,) and the rectifier follow the last.
    """

    kernels: tuple[Matrix, ...]
    bias: Matrix


Factors = Mapping[str, LayerFactors]
"""By layer, `blockB_convC`; the input channels of the first are RGB."""


def full_factors(weights: Mapping[str, Matrix]) -> dict[str, LayerFactors]:
    """VGG16's own convolutions, none of them decomposed; the first kernel's input channels turned from BGR to RGB."""
    found = {}
    for name, _ in layers():
        kernel = weights[f"{name}.kernel"]
        if name == "block1_conv1":
            kernel = np.ascontiguousarray(kernel[:, ::-1])
        found[name] = LayerFactors((kernel,), weights[f"{name}.bias"])
    return found


def maps(rgb: Any, factors: Factors) -> Iterator[tuple[str, Any, Any]]:
    """Name, response (before the rectifier) and map (after it) of every convolution of `factors`, in order."""
    x = ops.transpose(ops.convert(rgb, "f32"), np.array([0, 3, 1, 2]))
    x = ops.subtract(x, np.array(IMAGENET_MEAN_RGB, np.float32).reshape(1, 3, 1, 1))
    for name, _ in layers():
        if name not in factors:
            return
        if name.endswith("_conv1") and name != "block1_conv1":
            x = max_pool(x)
        for kernel in factors[name].kernels:
            pad = [kernel.shape[2] // 2, kernel.shape[3] // 2]
            x = ops.convolution(x, _constant(kernel), [1, 1], pad, pad, [1, 1])
        response = ops.add(x, _constant(factors[name].bias.reshape(1, -1, 1, 1)))
        x = ops.relu(response)
        yield name, response, x


def max_pool(x: Any) -> Any:
    """2 x 2 max pool, stride 2; the second output of opset 13's, the indices, is unused."""
    return ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)


def build(factors: Factors, side: int, head: Matrix | None = None, offset: Matrix | None = None) -> ov.Model:
    """The network: RGB (n, side, side, 3) uint8 in, float32 out: `(descriptor - offset) @ head`, not yet unit.

    The descriptor is, layer by layer, the mean and the maximum over space, each square-rooted and of unit length
    (n, 2560). Without a head it is the output.
    """
    rgb = ops.parameter([-1, side, side, 3], np.uint8, name="rgb")
    parts = []
    space = np.array([2, 3])
    for name, _, x in maps(rgb, factors):
        if name in POOLED:
            pooled = max_pool(x) if name == POOLED[-1] else x
            parts += [ops.reduce_mean(pooled, space, keep_dims=False), ops.reduce_max(pooled, space, keep_dims=False)]
    x = ops.concat([_unit_root(part) for part in parts], axis=1)
    if head is not None:
        if offset is not None:
            x = ops.subtract(x, _constant(offset.reshape(1, -1)))
        x = ops.matmul(x, _constant(head), False, False)
    x.output(0).set_names({"feature"})
    return ov.Model([ops.result(x, name="feature")], [rgb], "vgg16-copy")


def _constant(values: Matrix) -> Any:
    """A constant that keeps and uses the memory of its values, which must not change any more."""
    return ops.constant(np.ascontiguousarray(values), shared_memory=True)


def _unit_root(x: Any) -> Any:
    """The square root of every number, scaled to unit length."""
    return ops.normalize_l2(ops.sqrt(x), np.array([1]), 1e-12, "add")
