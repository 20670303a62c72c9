"""Model entries: the built-in ones, a user's file merged over them, and what is refused."""

from pathlib import Path

import pytest

from lookalike.encoders import model_entries
from lookalike.errors import BadSetting

GOOD = """
[mine]
title = "a network of my own"
licence = "mine"
file = "net.onnx"
size = [64, 48]
dimensions = 16
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "models.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_the_built_in_models_are_whole() -> None:
    entries = model_entries()
    assert {"phash", "vgg16", "sscd", "sscd-distilled"} <= set(entries)
    assert (entries["vgg16"].input_spec.width, entries["vgg16"].input_spec.resample) == (224, "nearest")
    assert entries["vgg16"].bf16
    assert not entries["vgg16"].must_accept
    for name in ("sscd", "sscd-distilled"):
        assert entries[name].must_accept
        assert entries[name].licence_members


def test_an_entry_of_ones_own_joins_them(tmp_path: Path) -> None:
    mine = model_entries(written(tmp_path, GOOD))["mine"]
    assert mine.file == str(tmp_path / "net.onnx"), "a path is relative to the file it stands in"
    assert mine.size == (64, 48)
    assert mine.name == "mine"
    assert "vgg16" in model_entries(tmp_path / "models.toml")


def test_fields_are_merged_over_the_built_in_entry(tmp_path: Path) -> None:
    changed = model_entries(written(tmp_path, "[vgg16]\nfull_decode = true\n"))["vgg16"]
    assert changed.full_decode
    assert changed.wheel == model_entries()["vgg16"].wheel


def test_a_file_takes_the_place_of_the_wheel(tmp_path: Path) -> None:
    changed = model_entries(written(tmp_path, '[vgg16]\nfile = "/there/vgg16.h5"\n'))["vgg16"]
    assert (changed.file, changed.wheel, changed.sha256) == ("/there/vgg16.h5", None, None)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (GOOD + "sise = 3\n", "sise"),
        (GOOD.replace("[64, 48]", "64"), "size"),
        (GOOD.replace("[64, 48]", "[64, 2]"), "size"),
        (GOOD.replace("[64, 48]", "[64, true]"), "size"),
        (GOOD.replace("16", '"many"'), "dimensions"),
        (GOOD.replace("dimensions = 16", ""), "dimensions"),
        (GOOD.replace('licence = "mine"', ""), "licence"),
        (GOOD + 'layout = "HWCN"\n', "layout"),
        (GOOD + 'sha256 = "abc"\n', "sha256"),
        (GOOD + "mean = [1, 2]\n", "mean"),
        (GOOD + "std = [1, 0, 1]\n", "std"),
        (GOOD + "threshold = 1.5\n", "threshold"),
        (GOOD + 'pooling = "gem"\n', "pooling"),
        (GOOD + 'normalise = "yes"\n', "normalise"),
        (GOOD + 'wheel = "x==1"\n', "wheel"),
        (GOOD.replace('file = "net.onnx"', ""), "file"),
        (GOOD.replace('file = "net.onnx"', 'wheel = "latest"'), "wheel"),
        (GOOD.replace('file = "net.onnx"', 'wheel = "x==1"'), "wheel_sha256"),
        (GOOD.replace("16", "12") + 'metric = "hamming"\n', "dimensions"),
        (GOOD + 'storage = "int4"\n', "storage"),
        (GOOD + 'storage = "int8"\nmetric = "hamming"\n', "storage"),
        (GOOD + 'dtype = "uint8"\nscale = 2.0\n', "scale"),
        (GOOD + 'network = "phash"\n', "network"),
        (GOOD + "oversample = nan\n", "oversample"),
    ],
)
def test_a_bad_entry_is_refused_by_name_and_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(BadSetting, match=r"\[mine\]") as refused:
        model_entries(written(tmp_path, text))
    assert field in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["vgg16 = 3\n", "not toml at all", '["../evil"]\ntitle = "x"\n', '[".."]\ntitle = "x"\n', '[""]\ntitle="x"\n'],
)
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadSetting):
        model_entries(written(tmp_path, text))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="nowhere"):
        model_entries(tmp_path / "nowhere.toml")
