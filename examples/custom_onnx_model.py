"""Use an ONNX model of your own as encoder: describe it in TOML, open a gallery with it, search.

    python examples/custom_onnx_model.py MODEL.onnx SIDE DIMENSIONS FOLDER

The model takes float32 NCHW images of SIDE x SIDE pixels, RGB in 0..1, and gives DIMENSIONS numbers an image. Every
field of the description is listed in docs/models.md. Needs `pip install "lookalike[vgg16]"` (OpenVINO and faiss).
"""

import os
import sys
import tempfile
from pathlib import Path

import lookalike

DESCRIPTION = """
[my-model]
title = "an ONNX model of our own"
file = "{file}"
licence = "ours"
size = [{side}, {side}]
scale = 0.00392156862745098    # 1/255
dimensions = {dimensions}
threshold = 0.05               # cosine distance (0..1) up to which a hit is called a copy
"""


def main(model: Path, side: int, dimensions: int, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        models = Path(work) / "models.toml"
        models.write_text(DESCRIPTION.format(file=model.absolute().as_posix(), side=side, dimensions=dimensions))
        os.environ["LOOKALIKE_MODELS"] = str(models)
        with lookalike.open(Path(work) / "gallery", pipelines=["phash", "my-model"], create=True) as gallery:
            gallery.add(folder)
            query = gallery.ls(limit=1)[0]
            for hit in gallery.search(str(query.path), k=3).hits:
                print(f"{hit.evidence:8} {hit.distance:.3f} {hit.pipeline:10} {hit.key}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
