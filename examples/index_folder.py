"""Index a folder of images, then search it with an edited copy of one of them.

    python examples/index_folder.py FOLDER [GALLERY]

GALLERY is the folder in which the gallery is kept (default: ./gallery). Hashes alone are used here, so nothing is
downloaded; leave out `pipelines` for the default pipelines, which also find crops, captions and screenshots.
"""

import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

import lookalike


def edited_copy(file: Path) -> bytes:
    """A mirrored copy at half the size, compressed hard."""
    with Image.open(file) as image:
        small = image.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        small = small.resize((max(image.width // 2, 32), max(image.height // 2, 32)))
    copy = BytesIO()
    small.save(copy, "JPEG", quality=40)
    return copy.getvalue()


def main(folder: Path, gallery_folder: Path) -> None:
    with lookalike.open(gallery_folder, pipelines=["phash"], create=True) as gallery:
        outcomes = gallery.add(folder)
        added = [outcome for outcome in outcomes if outcome.outcome == "added"]
        print(f"{len(outcomes)} images, {len(added)} of them new")
        for rejected in (outcome for outcome in outcomes if outcome.outcome == "rejected"):
            print(f"rejected {rejected.path}: {rejected.reason}")

        original = gallery.ls(limit=1)[0]
        answer = gallery.search(edited_copy(Path(str(original.path))), k=3)
        print(f"a copy of {original.key}, mirrored and compressed, is")
        for hit in answer.hits:
            print(f"  {hit.evidence:8} {hit.distance:.3f} {hit.key}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "gallery"))
