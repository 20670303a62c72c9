"""The documentation's code is run: quickstart, Python API, examples; and the API page shows every public method."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookalike
from lookalike.factory import open_gallery
from tests.support import onnx_file
from tests.support.drawn_images import drawn
from tests.support.served import served

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMES = ("lake", "boat", "tree")


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page of docs in one language, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [code for written, code in BLOCK.findall(text) if written == language]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `photos/` and `copy.jpg`, an edited copy of `photos/lake.png`."""
    (tmp_path / "photos").mkdir()
    for seed, name in enumerate(NAMES):
        drawn(seed).save(tmp_path / "photos" / f"{name}.png")
    with Image.open(tmp_path / "photos" / "lake.png") as lake:
        lake.resize((lake.width // 2, lake.height // 2)).save(tmp_path / "copy.jpg", quality=60)
    return tmp_path


@pytest.fixture
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service over an empty gallery of hashes."""
    with served(tmp_path_factory.mktemp("served")) as (address, _):
        yield address


def environment(folder: Path) -> dict[str, str]:
    """The environment of a documented command: no gallery or service of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    cache = {name: value for name, value in os.environ.items() if name == "LOOKALIKE_CACHE"}
    return kept | cache | {"LOOKALIKE_GALLERY": str(folder / "default"), "PYTHONPATH": os.pathsep.join(sys.path)}


def run(arguments: list[str], folder: Path) -> str:
    """What a program prints; fails where it fails."""
    done = subprocess.run(arguments, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def test_the_quickstart(folder: Path) -> None:
    commands = [line.removeprefix("$ ") for block in blocks("quickstart.md", "console") for line in block.splitlines()]
    assert len(commands) >= 8
    program = f"{sys.executable} -m lookalike "
    for command in commands:
        assert command.startswith("lookalike ")
        if command == "lookalike add photos":  # the default pipelines: the network is tried by other suites
            open_gallery(folder / "default", pipelines=["phash"], create=True).close()
        run(["bash", "-c", program + command.removeprefix("lookalike ")], folder)
    [code] = blocks("quickstart.md", "python")
    assert "lake.png" in run([sys.executable, "-c", code], folder)


def test_the_python_api(folder: Path, url: str) -> None:
    code = "\n".join(blocks("python-api.md", "python")).replace("http://127.0.0.1:8000", url)
    run([sys.executable, "-c", code], folder)


@pytest.mark.parametrize(("of", "variable"), [(lookalike.Gallery, "gallery"), (lookalike.Client, "client")])
def test_the_python_api_shows_every_method(of: type, variable: str) -> None:
    text = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    methods = {name for name, _ in inspect.getmembers(of) if not name.startswith("_")}
    shared = {name for name, _ in inspect.getmembers(lookalike.Gallery) if not name.startswith("_")}
    expected = methods if variable == "gallery" else methods - shared
    assert {name for name in expected if not re.search(rf"\b{name}\b", text)} == set()


def test_index_folder(folder: Path) -> None:
    printed = run([sys.executable, str(ROOT / "examples" / "index_folder.py"), "photos"], folder)
    assert "3 images, 3 of them new" in printed
    assert re.search(r"copy +0\.\d+ boat\.png", printed)


def test_find_duplicates(folder: Path) -> None:
    (folder / "copy.jpg").rename(folder / "photos" / "copy.jpg")
    printed = run([sys.executable, str(ROOT / "examples" / "find_duplicates.py"), "photos"], folder)
    assert printed.splitlines()[0].startswith("copy: lake.png (")
    assert printed.splitlines()[1].strip().startswith("copy.jpg (")
    assert printed.endswith("1 clusters\n")


def test_custom_onnx_model(folder: Path) -> None:
    kernel = np.random.default_rng(1).normal(size=(8, 3, 3, 3)).astype(np.float32)
    nodes = [
        onnx_file.node("Conv", ["image", "kernel"], ["map"], {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}),
        onnx_file.node("GlobalAveragePool", ["map"], ["mean"]),
        onnx_file.node("Flatten", ["mean"], ["features"]),
    ]
    inputs = [onnx_file.value_info("image", onnx_file.FLOAT, ["n", 3, 16, 16])]
    outputs = [onnx_file.value_info("features", onnx_file.FLOAT, ["n", 8])]
    (folder / "model.onnx").write_bytes(onnx_file.model(nodes, {"kernel": kernel}, inputs, outputs))
    example = str(ROOT / "examples" / "custom_onnx_model.py")
    printed = run([sys.executable, example, "model.onnx", "16", "8", "photos"], folder)
    assert re.match(r"exact +0\.000 \w+ +boat\.png", printed)


def test_http_client(folder: Path, url: str) -> None:
    printed = run([str(ROOT / "examples" / "http_client.sh"), "photos/lake.png", "copy.jpg", url], folder)
    assert re.search(r'search:\n.*"key":"example"', printed)
    assert re.search(r'compare:\n.*"evidence":"copy"', printed)
