"""The 8-bit form: calibrated on images of the user's, kept, run without NNCF, with a fingerprint of its own."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.encoders import info, load_encoder, pull
from lookalike.errors import BadSetting, Damaged, Unavailable
from tests.unit.encoders.test_onnx import IMAGES, entry, network


def album(folder: Path, count: int, seed: int = 1) -> Path:
    """A folder of `count` noisy images, and two files that are none."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"{i:03}.png")
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    return folder


def test_calibrated_once_it_runs_without_nncf(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed: it calibrates the 8-bit form")
    file, cache = entry(tmp_path, network()), tmp_path / "cache"
    kept = pull("drawn", cache, user_file=file, precision="int8", calibrate=album(tmp_path / "album", 40))
    assert capsys.readouterr().out == "", "standard output belongs to the answer"
    assert info("drawn", cache, user_file=file).int8
    monkeypatch.setitem(sys.modules, "nncf", None)
    small, whole = (load_encoder("drawn", cache, user_file=file, precision=p) for p in ("int8", "fp32"))
    cosines = (small.encode(IMAGES).features * whole.encode(IMAGES).features).sum(1)
    assert cosines.min() > 0.999
    assert small.spec.fingerprint != whole.spec.fingerprint
    with pytest.raises(BadSetting, match=r"lookalike\[int8\]"):
        pull("drawn", cache, user_file=file, precision="int8", calibrate=tmp_path / "album")

    changed = entry(tmp_path, network(), pooling="avg")
    with pytest.raises(Unavailable, match="other weights or preprocessing"):
        load_encoder("drawn", cache, user_file=changed, precision="int8")
    entry(tmp_path, network())
    values = kept.with_suffix(".bin")
    values.write_bytes(values.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(Damaged, match="altered"):
        load_encoder("drawn", cache, user_file=file, precision="int8")


def test_other_images_make_other_features(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed: it calibrates the 8-bit form")
    file, marks = entry(tmp_path, network()), set()
    for seed in (1, 2):
        cache = tmp_path / f"cache{seed}"
        pull("drawn", cache, user_file=file, precision="int8", calibrate=album(tmp_path / f"album{seed}", 32, seed))
        marks.add(load_encoder("drawn", cache, user_file=file, precision="int8").spec.fingerprint)
    assert len(marks) == 2


def test_too_few_images_are_refused_with_their_number(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed: it calibrates the 8-bit form")
    file = entry(tmp_path, network())
    with pytest.raises(BadSetting, match=r"at least 32 images; .* has 31"):
        pull("drawn", tmp_path / "cache", user_file=file, precision="int8", calibrate=album(tmp_path / "album", 31))
    with pytest.raises(BadSetting, match="is not one"):
        pull("drawn", tmp_path / "cache", user_file=file, precision="int8", calibrate=tmp_path / "nowhere")
