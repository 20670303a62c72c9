"""`vgg16-copy`: its files, its graph against plain arithmetic, its variants, fingerprints, and learned whitening."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.catalog.features import row_bytes
from lookalike.encoders import info, is_pulled, load_encoder, pull, verify
from lookalike.encoders.openvino_runtime import Network, OpenVinoEncoder
from lookalike.encoders.vgg16 import IMAGENET_MEAN_RGB, layers
from lookalike.encoders.vgg16_copy import FACTORS_FILE, HEAD_FILE
from lookalike.encoders.vgg16_copy.network import DESCRIPTOR_WIDTH, LayerFactors, build
from lookalike.encoders.vgg16_copy.weights import (
    digest,
    factor_arrays,
    head_arrays,
    read_factors,
    read_head,
    to_npz,
)
from lookalike.encoders.vgg16_copy.whitening import Head, learn_head
from lookalike.errors import BadSetting, Damaged
from lookalike.types import FeatureSpec, InputSpec
from tests.support.drawn_images import drawn

SIDE = 160


def drawn_inputs(count: int, side: int = SIDE) -> NDArray[np.uint8]:
    return np.stack([np.asarray(drawn(seed, (side, side))) for seed in range(count)])


def drawn_factors(seed: int = 0) -> dict[str, LayerFactors]:
    """Small ranks of random numbers, scaled so that no layer dies or explodes."""
    rng = np.random.default_rng(seed)

    def kernel(*shape: int) -> NDArray[np.float32]:
        scale = np.sqrt(1.4 / np.prod(shape[1:]))
        return (rng.normal(size=shape) * scale).astype(np.float32)

    found = {}
    for name, (out, incoming, _, _) in layers():
        kernels = (kernel(out, 3, 3, 3),)
        if incoming != 3:
            kernels = (kernel(8, incoming, 3, 1), kernel(8, 8, 1, 3), kernel(out, 8, 1, 1))
        found[name] = LayerFactors(kernels, rng.normal(size=out).astype(np.float32))
    return found


def drawn_head(width: int = 16, seed: int = 0) -> Head:
    rng = np.random.default_rng(seed)
    return Head(
        rng.normal(size=DESCRIPTOR_WIDTH).astype(np.float32) / 100,
        rng.normal(size=(DESCRIPTOR_WIDTH, width)).astype(np.float32),
    )


def convolved(x: NDArray[np.float64], kernel: NDArray[np.float32]) -> NDArray[np.float64]:
    """Zero-padded convolution of `(channels, height, width)`, one shifted product after the other."""
    rows, columns = kernel.shape[2:]
    padded = np.pad(x, ((0, 0), (rows // 2, rows // 2), (columns // 2, columns // 2)))
    total = np.zeros((len(kernel), *x.shape[1:]))
    for row in range(rows):
        for column in range(columns):
            part = padded[:, row : row + x.shape[1], column : column + x.shape[2]]
            total += np.einsum("oc,chw->ohw", kernel[:, :, row, column].astype(np.float64), part)
    return total


def reference(image: NDArray[np.uint8], factors: dict[str, LayerFactors]) -> NDArray[np.float64]:
    """The descriptor of one image in plain double precision."""
    x = image.astype(np.float64).transpose(2, 0, 1) - np.array(IMAGENET_MEAN_RGB).reshape(3, 1, 1)

    def halved(maps: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = maps.shape[1] // 2, maps.shape[2] // 2
        return maps[:, : 2 * height, : 2 * width].reshape(-1, height, 2, width, 2).max(axis=(2, 4))

    parts = []
    for name, _ in layers():
        if name.endswith("_conv1") and name != "block1_conv1":
            x = halved(x)
        for kernel in factors[name].kernels:
            x = convolved(x, kernel)
        x = np.maximum(x + factors[name].bias.reshape(-1, 1, 1), 0)
        if name in ("block3_conv3", "block4_conv3", "block5_conv3"):
            maps = halved(x) if name == "block5_conv3" else x
            for pooled in (maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))):
                root = np.sqrt(pooled)
                parts.append(root / np.linalg.norm(root))
    return np.concatenate(parts)


def test_the_graph_computes_what_it_says() -> None:
    factors, head, side = drawn_factors(), drawn_head(), 64
    images = drawn_inputs(3, side)
    spec = FeatureSpec("drawn", "cosine", 16, "x")
    network = Network(build(factors, side, head.matrix, head.offset), "", "")
    found = OpenVinoEncoder(network, spec, InputSpec(side, side, "RGB"), "fp32").raw(images)
    expected = np.stack([(reference(image, factors) - head.offset) @ head.matrix for image in images])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_files_give_back_what_was_stored_and_are_the_same_for_the_same_values(tmp_path: Path) -> None:
    stored = to_npz(factor_arrays(drawn_factors(1)))
    assert stored == to_npz(dict(reversed(factor_arrays(drawn_factors(1)).items())))
    assert stored != to_npz(factor_arrays(drawn_factors(2)))
    file = tmp_path / "factors.npz"
    file.write_bytes(stored)
    back, stated = read_factors(file)
    assert stated == digest(factor_arrays(drawn_factors(1))) == digest(factor_arrays(back))
    head = drawn_head()
    again, _ = read_head(to_npz(head_arrays(head)), "head")
    np.testing.assert_allclose(again.matrix, head.matrix, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_an_altered_or_truncated_file_is_found(position: float, tmp_path: Path) -> None:
    for source in (FACTORS_FILE, HEAD_FILE):
        data = bytearray(source.read_bytes())
        read = read_factors if source == FACTORS_FILE else (lambda path: read_head(path, str(path)))
        for damaged in (bytes(data[: int(len(data) * position)]), _flipped(data, position)):
            file = tmp_path / "damaged.npz"
            file.write_bytes(damaged)
            with pytest.raises(Damaged, match="damaged"):
                read(file)


def _flipped(data: bytearray, position: float) -> bytes:
    copy = bytearray(data)
    copy[int(len(copy) * position)] ^= 4
    return bytes(copy)


def test_a_layer_of_another_shape_is_no_factor(tmp_path: Path) -> None:
    factors = drawn_factors()
    factors["block3_conv2"] = LayerFactors(factors["block3_conv2"].kernels[:2], factors["block3_conv2"].bias)
    file = tmp_path / "factors.npz"
    arrays = factor_arrays(factors)
    del arrays["block4_conv1.bias"]
    file.write_bytes(to_npz(arrays))
    with pytest.raises(Damaged, match="block"):
        read_factors(file)


def test_the_variants_need_no_download_and_differ_in_their_fingerprints(tmp_path: Path) -> None:
    images = drawn_inputs(4)
    names = ("vgg16-copy", "vgg16-copy-256", "vgg16-copy-256-int8", "vgg16-copy-binary")
    encoders = {name: load_encoder(name, tmp_path, precision="fp32", pull_missing=False) for name in names}
    assert all(is_pulled(name, tmp_path) and verify(name, tmp_path) is None for name in names)
    assert [encoder.spec.width for encoder in encoders.values()] == [512, 256, 256, 64]
    assert [row_bytes(encoder.spec) for encoder in encoders.values()] == [1024, 512, 256, 64]
    assert len({encoder.spec.fingerprint[:12] for encoder in encoders.values()}) == 4
    for name in names:
        state = info(name, tmp_path)
        assert (state.pulled, state.fingerprint) == (True, encoders[name].spec.fingerprint)
    whole, half, quarter, signs = (encoder.encode(images).features for encoder in encoders.values())
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-5)
    leading = whole[:, :256] / np.linalg.norm(whole[:, :256], axis=1, keepdims=True)
    np.testing.assert_allclose(half, leading, atol=1e-5)
    assert np.array_equal(half, quarter)
    assert np.array_equal(signs, np.packbits(whole > 0, axis=1))


def test_what_is_part_of_the_package_is_not_read_from_a_file(tmp_path: Path) -> None:
    assert pull("vgg16-copy", tmp_path) == HEAD_FILE
    with pytest.raises(BadSetting, match="train-head"):
        pull("vgg16-copy", tmp_path, from_file=HEAD_FILE)


def test_a_head_of_ones_own_has_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "own.npz").write_bytes(to_npz(head_arrays(drawn_head(512))))
    (tmp_path / "damaged.npz").write_bytes(b"no head")
    table = 'network = "vgg16-copy"\ntitle = "own"\nlicence = "own"\nsize = [160, 160]\ndimensions = {}\nfile = "{}"\n'
    user_file = tmp_path / "models.toml"
    user_file.write_text(
        f"[own]\n{table.format(512, 'own.npz')}[wide]\n{table.format(600, 'own.npz')}"
        f"[damaged]\n{table.format(512, 'damaged.npz')}"
    )
    own = load_encoder("own", tmp_path, user_file=user_file)
    assert own.spec.fingerprint != load_encoder("vgg16-copy", tmp_path).spec.fingerprint
    with pytest.raises(BadSetting, match="its head has 512"):
        load_encoder("wide", tmp_path, user_file=user_file)
    with pytest.raises(Damaged, match="damaged"):
        load_encoder("damaged", tmp_path, user_file=user_file)


def test_bf16_gives_the_same_features_where_there_is_any(tmp_path: Path) -> None:
    images = drawn_inputs(6)
    fp32, best = (load_encoder("vgg16-copy", tmp_path, precision=p).encode(images).features for p in ("fp32", "auto"))
    assert (fp32 * best).sum(axis=1).min() > 0.999


def test_whitening_suppresses_the_directions_in_which_copies_differ() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(400, 20)) @ rng.normal(size=(20, 60))
    nuisance = rng.normal(size=(5, 60)) * 5
    originals = signal + rng.normal(size=(400, 5)) @ nuisance
    copies = signal + rng.normal(size=(400, 5)) @ nuisance + rng.normal(size=(400, 60)) * 0.1
    head = learn_head(originals[:300].astype(np.float32), (copies - originals)[:300].astype(np.float32), 20)

    def found(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        return float(((a @ b.T).argmax(axis=1) == np.arange(len(a))).mean())

    project = lambda x: (x - head.offset) @ head.matrix  # noqa: E731
    assert found(copies[300:], originals[300:]) < 0.5
    assert found(project(copies[300:]), project(originals[300:])) > 0.95


def test_head_files_of_other_descriptors_are_refused() -> None:
    other = Head(np.zeros(7, np.float32), np.zeros((7, 4), np.float32))
    with pytest.raises(Damaged, match="train it again"):
        read_head(to_npz(head_arrays(other)), "other")
    buffer = io.BytesIO()
    np.savez(buffer, offset=np.zeros(DESCRIPTOR_WIDTH, np.float16))
    with pytest.raises(Damaged, match="digest"):
        read_head(buffer.getvalue(), "other")
