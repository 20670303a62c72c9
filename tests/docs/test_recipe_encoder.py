"""docs/recipes.md, followed: an ONNX file and the recipe's entry make a gallery that finds a copy."""

import re
import textwrap
from pathlib import Path

import numpy as np

from lookalike.config import Settings
from lookalike.encoders import info
from lookalike.factory import open_gallery
from tests.support import onnx_file as o
from tests.support.drawn_images import drawn, encoded

RECIPE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
SIDE, CELL = 64, 8


def grid_network() -> bytes:
    """`image` (n, 3, 64, 64) float32 in, the averages of its 8 x 8 cells (n, 3, 8, 8) out."""
    cells = SIDE // CELL
    pool = o.node("AveragePool", ["image"], ["cells"], {"kernel_shape": [CELL, CELL], "strides": [CELL, CELL]})
    inputs = [o.value_info("image", o.FLOAT, ["n", 3, SIDE, SIDE])]
    return o.model([pool], {}, inputs, [o.value_info("cells", o.FLOAT, ["n", 3, cells, cells])])


def test_the_recipe_gives_an_encoder_that_finds_copies(tmp_path: Path) -> None:
    [entry] = re.findall(r"```toml\n(.*?)```", RECIPE, re.DOTALL)
    (tmp_path / "models.toml").write_text(textwrap.dedent(entry), encoding="utf-8")
    (tmp_path / "grid.onnx").write_bytes(grid_network())
    settings = Settings(tmp_path / "gallery", tmp_path / "cache", models=tmp_path / "models.toml", workers=1)
    assert info("grid", settings.cache, user_file=settings.models).fingerprint is not None

    images = tmp_path / "images"
    images.mkdir()
    for seed in range(8):
        (images / f"{seed}.png").write_bytes(encoded(drawn(seed)))
    copy = encoded(drawn(3).resize((100, 75)), "JPEG", quality=40)
    with open_gallery(settings=settings, pipelines=("phash", "grid"), create=True) as gallery:
        assert [outcome.outcome for outcome in gallery.add(images)] == ["added"] * 8
        [hit, other] = gallery.search(copy, k=2, pipelines=["grid"]).hits
    assert (hit.key, hit.evidence, hit.pipeline) == ("3.png", "copy", "grid")
    assert other.evidence == "similar"
    assert hit.distance < other.distance


def test_the_loader_protocol_is_the_one_that_the_recipe_describes() -> None:
    from lookalike.encoders import onnx, registry, vgg16  # noqa: PLC0415 - loads the network runtime
    from lookalike.encoders.vgg16_copy import loader  # noqa: PLC0415

    for name in ("store(data, entry, source)", "open_network(path, entry)", "registry._LOADERS"):
        assert name in RECIPE
    modules = (onnx, vgg16, loader)
    for module in modules:
        assert callable(module.store)
        assert callable(module.open_network)
    assert {path for path, _ in registry._LOADERS.values()} == {module.__name__ for module in modules}
    assert np.prod([3, SIDE // CELL, SIDE // CELL]) == 192
