"""List the duplicates of a folder of images: each cluster with its largest image first.

    python examples/find_duplicates.py FOLDER [GALLERY]

Nothing is deleted. Images whose bytes or pixels are equal are `exact`, edited copies are `copy`.
"""

import sys
from pathlib import Path

import lookalike


def main(folder: Path, gallery_folder: Path) -> None:
    with lookalike.open(gallery_folder, pipelines=["phash"], create=True) as gallery:
        gallery.add(folder)
        clusters = list(gallery.duplicates())
    for cluster in clusters:
        best, *others = sorted(cluster.images, key=lambda image: (-image.width * image.height, image.key))
        print(f"{cluster.evidence}: {best.key} ({best.width} x {best.height})")
        for image in others:
            print(f"    {image.key} ({image.width} x {image.height}, {image.nbytes} bytes)")
    print(f"{len(clusters)} clusters")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "gallery"))
