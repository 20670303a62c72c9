"""The search for duplicates compares the pixels of each pair once, as long as neither image changes."""

import io
from pathlib import Path

import pytest
from PIL import Image

import lookalike
from lookalike.verification import Verifier
from tests.support.drawn_images import drawn, encoded


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each pair whose pixels are compared."""
    calls: list[int] = []
    is_copy = Verifier.is_copy

    def counted(self: Verifier, *sides: object) -> object:
        calls.append(1)
        return is_copy(self, *sides)  # type: ignore[arg-type]

    monkeypatch.setattr(Verifier, "is_copy", counted)
    return calls


def copy_of(data: bytes, quality: int) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def fill(folder: Path) -> Path:
    folder.mkdir()
    for n in range(3):
        data = encoded(drawn(n, (320, 240)))
        (folder / f"{n}.png").write_bytes(data)
        (folder / f"{n} copy.jpg").write_bytes(copy_of(data, 70))
    return folder


def clusters(folder: Path) -> list[set[str]]:
    with lookalike.open(folder) as gallery:
        return [{image.key for image in cluster.images} for cluster in gallery.duplicates()]


def test_pairs_are_compared_once(tmp_path: Path, compared: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    photos = fill(tmp_path / "photos")
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add(photos)
    first = clusters(tmp_path / "gallery")
    assert len(first) == len(compared) == 3
    assert clusters(tmp_path / "gallery") == first  # in a gallery that was opened again
    assert len(compared) == 3
    (photos / "1 copy.jpg").write_bytes(copy_of((photos / "1.png").read_bytes(), 60))
    with lookalike.open(tmp_path / "gallery") as gallery:
        gallery.add(photos)
        gallery.set_attributes("2.png", {"n": 1})  # the same bytes
    assert clusters(tmp_path / "gallery") == first
    assert len(compared) == 4
    monkeypatch.setattr("lookalike.gallery.verification.COMPARISON_VERSION", 99)
    assert clusters(tmp_path / "gallery") == first
    assert len(compared) == 7


def test_what_was_refuted_stays_refuted(tmp_path: Path, compared: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    photos = fill(tmp_path / "photos")
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add(photos)
    with monkeypatch.context() as patch:
        patch.setattr("lookalike.verification.verifier.label", lambda _: ("variant", False))
        assert clusters(tmp_path / "gallery") == []
    assert clusters(tmp_path / "gallery") == []
    assert len(compared) == 3


def test_pairs_without_pixels_are_not_remembered(tmp_path: Path, compared: list[int]) -> None:
    photos = fill(tmp_path / "photos")
    with lookalike.open(tmp_path / "gallery", pipelines=["phash"], create=True) as gallery:
        gallery.add(photos)
    kept = {path: path.read_bytes() for path in photos.iterdir()}
    for path in kept:
        path.write_bytes(b"changed")
    assert len(clusters(tmp_path / "gallery")) == 3  # by distance
    assert compared == []
    for path, data in kept.items():
        path.write_bytes(data)
    assert len(clusters(tmp_path / "gallery")) == 3
    assert len(compared) == 3
