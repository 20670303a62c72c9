"""Low-rank factors: exact where the rank allows it, better than plain truncation where not, the same every time."""

import numpy as np
import pytest
from benchmarks import low_rank
from benchmarks.low_rank import Samples, choose_ranks, fit_layer, reduced_rank
from numpy.typing import NDArray

from lookalike.encoders.vgg16 import layers
from lookalike.encoders.vgg16_copy.weights import digest, factor_arrays

Array = NDArray[np.float32]


def samples(kernel: Array, seed: int = 1, count: int = 3000) -> tuple[Samples, Array]:
    """Smooth non-negative patches, and the responses of a layer to them."""
    rng = np.random.default_rng(seed)
    incoming = kernel.shape[1]
    mixed = rng.normal(size=(count, incoming, 3, 3)) + 2 * rng.normal(size=(count, incoming, 1, 1))
    patches = np.maximum(mixed, 0).astype(np.float32)
    bias = rng.normal(size=len(kernel)).astype(np.float32)
    responses = np.einsum("ncij,ocij->no", patches, kernel).astype(np.float32) + bias
    return Samples(patches, responses), bias


def apply_factors(factors: low_rank.LayerFactors, patches: Array) -> Array:
    """The response of three factors in the middle of patches `(n, in, 3, 3)`."""
    vertical, horizontal, pointwise = factors.kernels
    x = np.einsum("ncij,rci->nrj", patches, vertical[:, :, :, 0])
    x = np.einsum("nrj,srj->ns", x, horizontal[:, :, 0, :])
    return x @ pointwise[:, :, 0, 0].T + factors.bias


def test_full_ranks_reproduce_the_layer() -> None:
    kernel = np.random.default_rng(0).normal(size=(12, 4, 3, 3)).astype(np.float32)
    given, _ = samples(kernel)
    found = apply_factors(fit_layer(kernel, given, (12, 12)), given.patches)
    assert np.abs(found - given.responses).max() < 0.05 * given.responses.std()


def test_a_layer_of_low_rank_is_found_again() -> None:
    rng = np.random.default_rng(3)
    vertical, horizontal = rng.normal(size=(3, 6, 3)), rng.normal(size=(16, 3, 3))
    kernel = np.einsum("rci,orj->ocij", vertical, horizontal).astype(np.float32)
    given, _ = samples(kernel)
    found = apply_factors(fit_layer(kernel, given, (3, 9)), given.patches)
    assert np.abs(found - given.responses).max() < 0.05 * given.responses.std()


def test_what_the_rectifier_removes_does_not_count() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(4000, 30)).astype(np.float32)
    responses = (inputs @ rng.normal(size=(30, 24)) - 4).astype(np.float32)
    a, b, c = reduced_rank(inputs, responses, 6)
    centred, level = responses - responses.mean(axis=0), responses.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    plain = centred @ vectors[:, -6:] @ vectors[:, -6:].T + level

    def error(fitted: NDArray[np.float64] | Array) -> float:
        return float(np.square(np.maximum(fitted, 0) - np.maximum(responses, 0)).mean())

    assert error(inputs @ a @ b.T + c) < 0.9 * error(plain)


def test_ranks_keep_to_the_budget_and_go_where_energy_is() -> None:
    rng = np.random.default_rng(2)
    names = [name for name, _ in layers()[1:]]
    shapes = dict(layers())

    def spectrum(size: int, decay: float) -> NDArray[np.float64]:
        return np.exp(-decay * np.arange(size)) * (1 + rng.random(size) / 10)

    flat = "block4_conv2"
    spectra = {
        n: tuple(spectrum(min(3 * shapes[n][1], shapes[n][0]), 0.001 if n == flat else 0.05) for _ in range(2))
        for n in names
    }
    budget = 1.2e9
    ranks = choose_ranks(spectra, 160, budget)  # type: ignore[arg-type]
    areas = {n: (160 >> (int(n[5]) - 1)) ** 2 for n in names}
    cost = sum(areas[n] * (3 * shapes[n][1] * r + 3 * r * s + s * shapes[n][0]) for n, (r, s) in ranks.items())
    assert 0.9 * budget < cost <= budget
    assert all(rank % low_rank.STEP == 0 for pair in ranks.values() for rank in pair)
    assert ranks[flat] > max(pair for n, pair in ranks.items() if n != flat and n.startswith("block4"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, Array]:
    """Drawn weights of VGG16's shape with a sixteenth of its channels."""
    narrow = [(n, (o // 16, i if i == 3 else i // 16, 3, 3)) for n, (o, i, _, _) in layers()]
    monkeypatch.setattr(low_rank, "layers", lambda: narrow)
    rng = np.random.default_rng(4)
    weights: dict[str, Array] = {}
    for name, shape in narrow:
        weights[f"{name}.kernel"] = (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(size=shape[0]).astype(np.float32)
    return weights


def test_the_whole_network_is_fitted_the_same_every_time(small: dict[str, Array]) -> None:
    images = np.random.default_rng(6).integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
    ranks = {name: (2, 3) for name, _ in low_rank.layers()[1:]}
    digests, said = set(), list[str]()
    for _ in range(2):
        factors = low_rank.fit(small, images, ranks, report=said.append)
        digests.add(digest(factor_arrays(factors)))
    assert len(digests) == 1
    assert factors["block5_conv3"].kernels[0].shape == (2, 32, 3, 1)
    assert factors["block5_conv3"].kernels[1].shape == (3, 2, 1, 3)
    assert len(said) == 24
    other = np.random.default_rng(7).integers(0, 256, (6, 48, 48, 3), dtype=np.uint8)
    assert digest(factor_arrays(low_rank.fit(small, other, ranks, report=said.append))) not in digests


def test_full_ranks_of_the_whole_network_give_its_own_responses(small: dict[str, Array]) -> None:
    images = np.random.default_rng(6).integers(0, 256, (12, 48, 48, 3), dtype=np.uint8)
    ranks = {n: (3 * min(i, o), o) for n, (o, i, _, _) in low_rank.layers()[1:]}
    factors = low_rank.fit(small, images, ranks, report=lambda text: None)
    full = low_rank.full_factors(small)
    last = "block3_conv1"
    ours, theirs = (low_rank.input_patches({n: f[n] for n in list(f)[:4]}, last, images) for f in (factors, full))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.999
