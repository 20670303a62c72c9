"""A drawn ONNX file becomes an encoder by a few lines; what it gives equals the same sums in NumPy."""

import hashlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.encoders import is_pulled, load_encoder, pull
from lookalike.errors import BadInput, BadSetting, Damaged
from tests.support import onnx_file as o

SIDE, CHANNELS = 16, 8
RNG = np.random.default_rng(5)
KERNEL = RNG.normal(size=(CHANNELS, 3, 3, 3)).astype(np.float32)
BIAS = RNG.normal(size=CHANNELS).astype(np.float32)
IMAGES = RNG.integers(0, 256, (19, SIDE, SIDE, 3), dtype=np.uint8)


def network(batch: int | str = "n") -> bytes:
    """`image` (n, 3, 16, 16) float32 in; `map` (n, 8, 16, 16), a convolution, and `mean` of it, (n, 8, 1, 1), out."""
    nodes = [
        o.node("Conv", ["image", "kernel", "bias"], ["map"], {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}),
        o.node("GlobalAveragePool", ["map"], ["mean"]),
    ]
    outputs = [
        o.value_info("map", o.FLOAT, [batch, CHANNELS, SIDE, SIDE]),
        o.value_info("mean", o.FLOAT, [batch, CHANNELS, 1, 1]),
    ]
    inputs = [o.value_info("image", o.FLOAT, [batch, 3, SIDE, SIDE])]
    return o.model(nodes, {"kernel": KERNEL, "bias": BIAS}, inputs, outputs)


def convolved(images: NDArray[Any]) -> NDArray[np.float64]:
    """The same convolution in NumPy: (n, 3, h, w) -> (n, 8, h, w)."""
    padded = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    return np.einsum("ncyxij,kcij->nkyx", windows, KERNEL.astype(np.float64)) + BIAS[:, None, None]


def entry(folder: Path, data: bytes, **changes: object) -> Path:
    """A file of entries with one, `drawn`, for the network in `data`."""
    (folder / "net.onnx").write_bytes(data)
    fields: dict[str, object] = {
        "title": "drawn",
        "licence": "none",
        "file": "net.onnx",
        "size": [SIDE, SIDE],
        "dimensions": CHANNELS,
        "output": "map",
        "pooling": "max",
    }
    lines = [
        f"{k} = {str(v).lower() if isinstance(v, bool) else repr(v)}"
        for k, v in (fields | changes).items()
        if v is not None
    ]
    file = folder / "models.toml"
    file.write_text("[drawn]\n" + "\n".join(lines), encoding="utf-8")
    return file


def encoder(folder: Path, data: bytes | None = None, **changes: object) -> Any:
    return load_encoder("drawn", folder / "cache", user_file=entry(folder, data or network(), **changes))


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_it_equals_numpy_with_max_pooling(tmp_path: Path) -> None:
    loaded = encoder(tmp_path)
    encoded = loaded.encode(IMAGES)
    expected = unit(convolved(IMAGES.transpose(0, 3, 1, 2)).max((2, 3)))
    np.testing.assert_allclose(encoded.features, expected, atol=2e-5)
    assert encoded.features.dtype == np.float32
    assert encoded.usable.all()
    assert (loaded.spec.name, loaded.spec.metric, loaded.spec.width) == ("drawn", "cosine", CHANNELS)


def test_scale_mean_std_and_colour_order_come_before_the_network(tmp_path: Path) -> None:
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]
    loaded = encoder(tmp_path, colour="BGR", scale=1 / 255, mean=mean, std=std, pooling="avg")
    seen = (IMAGES[..., ::-1] / 255 - np.array(mean)) / np.array(std)
    expected = unit(convolved(seen.transpose(0, 3, 1, 2)).mean((2, 3)))
    np.testing.assert_allclose(loaded.encode(IMAGES).features, expected, atol=2e-5)


def test_an_output_of_one_place_needs_no_pooling(tmp_path: Path) -> None:
    loaded = encoder(tmp_path, output="mean", pooling="none", normalise=False)
    expected = convolved(IMAGES.transpose(0, 3, 1, 2)).mean((2, 3))
    np.testing.assert_allclose(loaded.encode(IMAGES).features, expected, rtol=1e-4, atol=1e-3)


def test_signs_become_bits_under_hamming(tmp_path: Path) -> None:
    loaded = encoder(tmp_path, output="mean", pooling="none", metric="hamming", mean=[128.0, 128.0, 128.0])
    seen = IMAGES.transpose(0, 3, 1, 2).astype(np.float64) - 128
    bits = np.packbits(convolved(seen).mean((2, 3)) > 0, axis=1)
    assert (loaded.spec.metric, loaded.spec.width) == ("hamming", 1)
    np.testing.assert_array_equal(loaded.encode(IMAGES).features, bits)


def test_a_network_of_one_image_at_a_time_takes_batches_too(tmp_path: Path) -> None:
    one = encoder(tmp_path, network(batch=1)).encode(IMAGES).features
    np.testing.assert_allclose(one, encoder(tmp_path).encode(IMAGES).features, atol=1e-6)


def test_batches_of_any_size_give_the_same_rows(tmp_path: Path) -> None:
    loaded = encoder(tmp_path)
    whole = loaded.encode(IMAGES).features
    for n in (0, 1, 8, 9, 17):
        part = loaded.encode(IMAGES[:n])
        assert part.features.shape == (n, CHANNELS)
        np.testing.assert_allclose(part.features, whole[:n], atol=1e-6)
    views = loaded.encode_views(IMAGES[:3])
    assert views.features.shape == (3, 1, CHANNELS)


def test_threads_do_not_mix_their_images(tmp_path: Path) -> None:
    loaded = encoder(tmp_path)
    expected = loaded.encode(IMAGES).features
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(20):
            if not np.allclose(loaded.encode(IMAGES[i : i + 2]).features, expected[i : i + 2], atol=1e-6):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_row_of_zeros_is_not_usable(tmp_path: Path) -> None:
    data = network().replace(BIAS.tobytes(), bytes(BIAS.nbytes))
    black = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    encoded = encoder(tmp_path, data).encode(np.concatenate([black, IMAGES[:1]]))
    assert encoded.usable.tolist() == [False, False, True]
    assert not encoded.features[:2].any()


@pytest.mark.parametrize("shape", [(1, SIDE, SIDE + 1, 3), (SIDE, SIDE, 3), (1, SIDE, SIDE, 4)])
def test_images_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="drawn takes"):
        encoder(tmp_path).encode(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"output": "nothing"}, "output"),
        ({"output": None}, "output"),
        ({"input": "photo"}, "input"),
        ({"dimensions": 9}, "dimensions"),
        ({"dtype": "uint8"}, "dtype"),
        ({"layout": "NHWC"}, "layout"),
    ],
)
def test_an_entry_that_does_not_fit_the_network_is_refused(
    tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(BadSetting, match=r"\[drawn\]") as refused:
        encoder(tmp_path, **changes)
    assert field in str(refused.value)


def test_pooling_needs_places(tmp_path: Path) -> None:
    nodes = [o.node("Flatten", ["image"], ["flat"])]
    size = 3 * SIDE * SIDE
    data = o.model(
        nodes,
        {},
        [o.value_info("image", o.FLOAT, ["n", 3, SIDE, SIDE])],
        [o.value_info("flat", o.FLOAT, ["n", size])],
    )
    with pytest.raises(BadSetting, match="pooling max"):
        encoder(tmp_path, data, output="flat", dimensions=size)


def test_the_fingerprint_covers_weights_and_preprocessing(tmp_path: Path) -> None:
    other = network().replace(BIAS.tobytes(), (BIAS + 1).tobytes())
    marks = [
        encoder(tmp_path).spec.fingerprint,
        encoder(tmp_path, other).spec.fingerprint,
        encoder(tmp_path, colour="BGR").spec.fingerprint,
        encoder(tmp_path, mean=[1.0, 1.0, 1.0]).spec.fingerprint,
        encoder(tmp_path, pooling="avg").spec.fingerprint,
        encoder(tmp_path, resample="nearest").spec.fingerprint,
    ]
    assert len(set(marks)) == len(marks)
    assert encoder(tmp_path, title="another title").spec.fingerprint == marks[0]


def test_a_file_of_another_digest_is_refused(tmp_path: Path) -> None:
    good = hashlib.sha256(network()).hexdigest()
    assert encoder(tmp_path, sha256=good).spec.width == CHANNELS
    with pytest.raises(Damaged, match="SHA-256"):
        encoder(tmp_path, network() + b"\x00", sha256=good)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="ONNX"):
        encoder(tmp_path, b"this is no network")


def test_a_licence_must_be_accepted_once(tmp_path: Path) -> None:
    file, cache = entry(tmp_path, network(), must_accept=True, licence="terms of use"), tmp_path / "cache"
    with pytest.raises(BadSetting, match="terms of use"):
        load_encoder("drawn", cache, user_file=file)
    with pytest.raises(BadSetting, match="accepted"):
        load_encoder("drawn", cache, user_file=file, accept_licence=lambda entry, text: False)
    assert not is_pulled("drawn", cache, user_file=file)
    shown: list[str] = []
    pull("drawn", cache, user_file=file, accept_licence=lambda entry, text: not shown.append(text))
    assert shown == ["terms of use"]
    assert load_encoder("drawn", cache, user_file=file).spec.width == CHANNELS
