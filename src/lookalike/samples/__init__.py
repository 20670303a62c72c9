"""A small gallery to try things on: images that may be shared, each with its source in `SOURCES.md`."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "images"


def sample_paths() -> list[Path]:
    """The images, JPEG files of some 300 to 720 pixels, sorted by name.

    39 photographs and paintings: people, animals, landscapes, cities, things, space; some dark, some grey. No two
    show the same scene.
    """
    return sorted(_FOLDER.glob("*.jpg"))


def sources() -> str:
    """The text of `SOURCES.md`: author and licence of each image, and where it comes from."""
    return (Path(__file__).parent / "SOURCES.md").read_text(encoding="utf-8")
