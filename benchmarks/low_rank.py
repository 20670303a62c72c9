"""Low-rank form of VGG16's convolutions: ranks by layer, and factors fitted to the responses of the full network.

X. Zhang, J. Zou, K. He, J. Sun, "Accelerating Very Deep Convolutional Networks for Classification and Detection", 2015:
every layer is fitted on its approximated input ("asymmetric"), through the rectifier ("nonlinear"), and ranks are
chosen greedily by the energy that is kept. Closed form but for the few rounds of the rectifier; no gradients.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from lookalike.encoders.vgg16 import layers
from lookalike.encoders.vgg16_copy.network import Factors, LayerFactors, full_factors, maps, max_pool

Matrix = NDArray[np.float64]
Ranks = Mapping[str, tuple[int, int]]
"""By layer: the channels after the 3 x 1 and after the 1 x 3 convolution."""

KEPT_FULL = "block1_conv1"
"""The first convolution has three input channels, so that nothing can be saved."""
STEP = 16
"""Ranks are multiples of this: the channels of a block in the vector instructions of 512 bits."""
MIN_RANK = 16
POSITIONS = 160
"""Positions sampled in each map of each image."""
RIDGE = 1e-4
"""Added to the diagonal of a covariance, as a share of its mean."""
PENALTIES = (0.01,) * 6 + (0.1,) * 3 + (1.0,) * 3
"""Weight of the distance between the auxiliary response and the fitted one, by round (Zhang et al., equation 7)."""
BATCH = 8


@dataclass(frozen=True, slots=True)
class Samples:
    """Sampled positions of a layer: `patches` (n, in, 3, 3) of its input, `responses` (n, out) before the rectifier."""

    patches: NDArray[np.float32]
    responses: NDArray[np.float32]


def sampled_positions(name: str, images: int, side: int, seed: int = 0) -> NDArray[np.int64]:
    """Rows and columns (images, n, 2) sampled in the maps of a layer, the same for the same seed."""
    side >>= int(name[len("block")]) - 1
    rng = np.random.default_rng([seed, sum(name.encode())])
    count = min(POSITIONS, side * side)
    flat = np.stack([rng.choice(side * side, count, replace=False) for _ in range(images)])
    return np.stack(np.divmod(flat, side), axis=-1)


def full_responses(
    weights: Mapping[str, NDArray[np.float32]], images: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """The full network's responses (n, out) at the sampled positions of every layer, in one pass over the images."""
    side = images.shape[1]
    rgb = ops.parameter([-1, side, side, 3], np.uint8)
    outputs = {name: response for name, response, _ in maps(rgb, full_factors(weights))}
    where = {name: sampled_positions(name, len(images), side) for name in outputs}
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
    for at, values in _batches(ov.Model([ops.result(x) for x in outputs.values()], [rgb]), images):
        for name, maps_of in zip(outputs, values, strict=True):
            for image, one in enumerate(maps_of, at):
                rows, columns = where[name][image].T
                found[name].append(one[:, rows, columns].T.copy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def input_patches(factors: Factors, name: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The input (n, in, 3, 3) of a layer at its sampled positions, where the layers before it are `factors`."""
    side = images.shape[1]
    rgb = ops.parameter([-1, side, side, 3], np.uint8)
    x = [one for _, _, one in maps(rgb, factors)][-1]
    if name.endswith("_conv1"):
        x = max_pool(x)
    where = sampled_positions(name, len(images), side)
    found = []
    for at, (values,) in _batches(ov.Model([ops.result(x)], [rgb]), images):
        padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
        for image, one in enumerate(padded, at):
            rows, columns = where[image].T
            near = np.arange(3)
            cut = one[:, rows[:, None, None] + near[:, None], columns[:, None, None] + near]
            found.append(cut.transpose(1, 0, 2, 3).copy())
    return np.concatenate(found)


def _batches(model: ov.Model, images: NDArray[np.uint8]) -> Iterator[tuple[int, list[NDArray[np.float32]]]]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for at in range(0, len(images), BATCH):
        result = compiled([images[at : at + BATCH]])
        yield at, [result[n] for n in range(len(model.outputs))]


def _covariance(rows: NDArray[np.float32]) -> Matrix:
    """The covariance of the columns, with a ridge."""
    centred = rows - rows.mean(axis=0)
    found = (centred.T @ centred).astype(np.float64) / len(rows)
    return found + RIDGE * np.trace(found) / len(found) * np.eye(len(found))


def vertical_spectrum(kernel: NDArray[np.float32], patches: NDArray[np.float32]) -> tuple[Matrix, Matrix]:
    """Energies of the 3 x 1 factors, largest first, and the factors (in * 3, n), of a kernel (out, in, 3, 3).

    The singular value decomposition of the kernel as a matrix (in and row, column and out), weighted by the
    covariance of its input, so that the error of the response is least and not that of the kernel.
    """
    out, incoming = kernel.shape[:2]
    columns = np.concatenate([patches[:, :, :, c].reshape(len(patches), -1) for c in range(3)])
    values, vectors = np.linalg.eigh(_covariance(columns))
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    matrix = kernel.transpose(1, 2, 3, 0).reshape(incoming * 3, 3 * out).astype(np.float64)
    left, singular, _ = np.linalg.svd(root @ matrix, full_matrices=False)
    return singular**2, inverse @ left


def spectra(weights: Mapping[str, NDArray[np.float32]], images: NDArray[np.uint8]) -> dict[str, tuple[Matrix, Matrix]]:
    """Of every layer but the first: the energies of its 3 x 1 factors and of its responses, in the full network."""
    responses = full_responses(weights, images)
    full, before, found = full_factors(weights), {}, {}
    for name, _ in layers():
        if before:
            vertical, _ = vertical_spectrum(full[name].kernels[0], input_patches(before, name, images))
            found[name] = (vertical, response_spectrum(responses[name]))
        before[name] = full[name]
    return found


def response_spectrum(responses: NDArray[np.float32]) -> Matrix:
    """Energies of the principal components of a layer's responses, largest first."""
    return np.linalg.eigvalsh(_covariance(responses))[::-1].copy()


def fit_layer(kernel: NDArray[np.float32], samples: Samples, ranks: tuple[int, int]) -> LayerFactors:
    """The three factors of one layer, fitted to the full network's responses on the layer's approximated input."""
    out, incoming = kernel.shape[:2]
    first, second = ranks
    vertical = vertical_spectrum(kernel, samples.patches)[1][:, :first]
    vertical /= np.linalg.norm(vertical, axis=0)
    basis = vertical.reshape(incoming * 3, first).astype(np.float32)
    z = np.concatenate(
        [samples.patches[:, :, :, c].reshape(len(samples.patches), -1) @ basis for c in range(3)], axis=1
    )
    horizontal, pointwise, bias = reduced_rank(z, samples.responses, second)
    return LayerFactors(
        (
            np.ascontiguousarray(basis.T.reshape(first, incoming, 3, 1)),
            np.ascontiguousarray(horizontal.reshape(3, first, second).transpose(2, 1, 0)[:, :, None, :], np.float32),
            np.ascontiguousarray(pointwise.reshape(out, second, 1, 1), np.float32),
        ),
        bias.astype(np.float32),
    )


def reduced_rank(
    inputs: NDArray[np.float32], responses: NDArray[np.float32], rank: int
) -> tuple[Matrix, Matrix, Matrix]:
    """`relu(inputs @ a @ b.T + c)` nearest to `relu(responses)`, with `a` (n, rank), `b` (out, rank), `c` (out,).

    Reduced-rank regression, repeated with an auxiliary response that need not follow the target below zero.
    """
    mean = inputs.mean(axis=0)
    centred = inputs - mean
    gram = _covariance(inputs)
    target = responses
    level = target.mean(axis=0)
    a = b = c = np.empty(0)
    for penalty in (None, *PENALTIES):
        if penalty is not None:
            target = _auxiliary(responses, (centred @ a.astype(np.float32)) @ b.T.astype(np.float32) + level, penalty)
        level = target.mean(axis=0)
        cross = (centred.T @ (target - level)).astype(np.float64) / len(inputs)
        solution = np.linalg.solve(gram, cross)
        _, vectors = np.linalg.eigh(solution.T @ gram @ solution)
        b = vectors[:, ::-1][:, :rank]
        a = solution @ b
        c = level - mean @ a @ b.T
    return a, b, c


def _auxiliary(true: NDArray[np.float32], fitted: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """The least, by number, of `(relu(true) - relu(x))^2 + penalty (x - fitted)^2` (Zhang et al., equation 9)."""
    wanted = np.maximum(true, 0)
    below = np.minimum(fitted, 0)
    above = np.maximum((wanted + penalty * fitted) / (1 + penalty), 0)
    cost_below = wanted**2 + penalty * (below - fitted) ** 2
    cost_above = (wanted - above) ** 2 + penalty * (above - fitted) ** 2
    return np.where(cost_above < cost_below, above, below)


def choose_ranks(spectra: Mapping[str, tuple[Matrix, Matrix]], side: int, budget: float) -> dict[str, tuple[int, int]]:
    """Ranks by layer within a budget of multiply-adds an image (of the decomposed layers).

    Starting from full ranks, a step is taken, again and again, where it loses least energy for what it saves: the
    logarithm of the energy kept, over the multiply-adds (Zhang et al., section 3.3).
    """
    shapes = {name: shape for name, shape in layers() if name in spectra}
    ranks = {n: (min(3 * shape[1], shape[0]), shape[0]) for n, shape in shapes.items()}

    def cost(name: str, pair: tuple[int, int]) -> float:
        out, incoming = shapes[name][:2]
        area = (side >> (int(name[len("block")]) - 1)) ** 2
        return float(area * (3 * incoming * pair[0] + 3 * pair[0] * pair[1] + pair[1] * out))

    def kept(name: str, pair: tuple[int, int]) -> float:
        return float(sum(np.log(s[:r].sum() / s.sum()) for s, r in zip(spectra[name], pair, strict=True)))

    while sum(cost(n, p) for n, p in ranks.items()) > budget:
        best: Callable[[], None] | None = None
        least = np.inf
        for name, pair in ranks.items():
            for less in ((pair[0] - STEP, pair[1]), (pair[0], pair[1] - STEP)):
                if min(less) < MIN_RANK:
                    continue
                loss = (kept(name, pair) - kept(name, less)) / (cost(name, pair) - cost(name, less))
                if loss < least:
                    least, best = loss, (lambda n=name, p=less: ranks.__setitem__(n, p))
        if best is None:
            break
        best()
    return ranks


def fit(
    weights: Mapping[str, NDArray[np.float32]],
    images: NDArray[np.uint8],
    ranks: Ranks,
    report: Callable[[str], None] = print,
) -> dict[str, LayerFactors]:
    """All thirteen layers in low-rank form, one after the other, each fitted on those before it."""
    responses = full_responses(weights, images)
    full = full_factors(weights)
    done = {KEPT_FULL: full[KEPT_FULL]}
    for name, _ in layers():
        if name in done:
            continue
        samples = Samples(input_patches(done, name, images), responses[name])
        done[name] = fit_layer(full[name].kernels[0], samples, ranks[name])
        report(f"{name} {ranks[name]}")
    return done
