"""What a gallery says of images beyond their features: exactness, frames, truncation, flatness, EXIF, order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from PIL.TiffImagePlugin import IFDRational

import lookalike
from lookalike.descriptions import describe
from lookalike.factory import open_gallery
from lookalike.types import Item
from tests.support.drawn_images import drawn, encoded


@pytest.fixture
def gallery(tmp_path: Path) -> Iterator[lookalike.Gallery]:
    with open_gallery(tmp_path / "gallery", pipelines=("phash",), create=True) as opened:
        yield opened


def evidence(answer: Any) -> dict[str, str]:
    return {hit.key: hit.evidence for hit in answer.hits}


def frames(*seeds: int) -> bytes:
    first, *others = [drawn(seed) for seed in seeds]
    return encoded(first, "PNG", save_all=True, append_images=others)


def test_an_animation_and_its_first_frame_are_copies(gallery: lookalike.Gallery) -> None:
    files = {"still": encoded(drawn(1)), "long": frames(1, 2, 3), "other": frames(1, 3, 2), "same": frames(1, 2, 3)}
    gallery.add([Item(key, data) for key, data in files.items()])
    answer = gallery.search(encoded(drawn(1), compress_level=1))
    assert evidence(answer) == {"still": "exact", "long": "copy", "other": "copy", "same": "copy"}
    assert {hit.key: hit.frames for hit in answer.hits} == {"still": 1, "long": 3, "other": 3, "same": 3}
    answer = gallery.search(encoded(drawn(1), "PNG", save_all=True, append_images=[drawn(2), drawn(3)], optimize=True))
    assert answer.frames == 3
    assert evidence(answer) == {"still": "copy", "long": "exact", "other": "copy", "same": "exact"}
    assert gallery.get("long").frames == 3
    [cluster] = gallery.duplicates()
    assert cluster.evidence == "copy"


@pytest.mark.parametrize("as_files", [False, True])
def test_alpha_and_depth_make_images_differ(gallery: lookalike.Gallery, tmp_path: Path, as_files: bool) -> None:
    opaque = drawn(1)
    clear = opaque.copy()
    clear.putalpha(Image.fromarray(np.full((120, 160), 200, np.uint8)))
    grey = np.asarray(opaque.convert("L")).astype(np.uint16) * 256
    files = {
        "opaque": encoded(opaque),
        "clear": encoded(clear),
        "grey": encoded(Image.fromarray(grey)),
        "low": encoded(Image.fromarray(grey + 3)),
    }
    items = []
    for key, data in files.items():
        (tmp_path / key).write_bytes(data)
        items.append(Item(key, tmp_path / key if as_files else data))
    gallery.add(items)
    for key, image in (("clear", clear), ("grey", Image.fromarray(grey))):
        found = evidence(gallery.search(encoded(image, compress_level=1)))
        assert found.pop(key) == "exact"
        assert "exact" not in found.values()


def test_what_is_truncated_is_marked_and_never_exact(gallery: lookalike.Gallery) -> None:
    whole = encoded(drawn(1, (320, 240)), "JPEG", quality=95)
    cut = whole[: len(whole) * 9 // 10]
    outcomes = gallery.add([Item("whole", whole), Item("cut", cut)])
    assert [outcome.truncated for outcome in outcomes] == [False, True]
    assert [gallery.get(key).truncated for key in ("whole", "cut")] == [False, True]
    answer = gallery.search(cut + bytes(9))
    assert answer.truncated
    assert evidence(answer)["cut"] == "copy"
    assert evidence(answer)["whole"] in ("copy", "variant")  # a part of it is missing in the query
    assert {hit.key: hit.truncated for hit in answer.hits} == {"whole": False, "cut": True}
    found = evidence(gallery.search(whole))
    assert found.pop("whole") == "exact"
    assert found["cut"] in ("copy", "variant")


def test_a_flat_query_gets_no_promise(gallery: lookalike.Gallery) -> None:
    gallery.add([Item(str(seed), encoded(drawn(seed))) for seed in range(3)])
    gallery.add([Item("white", encoded(Image.new("RGB", (90, 70), "white")))])
    flat = encoded(Image.new("RGB", (80, 60), (250, 250, 250)), "JPEG")
    (_, blank), (_, other) = gallery.search_many([flat, encoded(drawn(1), compress_level=1)])
    assert not isinstance(blank, lookalike.LookalikeError)
    assert not isinstance(other, lookalike.LookalikeError)
    assert (blank.hits, blank.exact_within) == ((), {"phash": None})
    assert "one color" in blank.not_compared["phash"]
    assert other.exact_within == {"phash": 1.0}
    assert other.not_compared == {}
    assert "white" not in evidence(other)


def test_a_white_drawing_is_found_over_black_and_white_backgrounds(gallery: lookalike.Gallery) -> None:
    image = Image.new("RGBA", (300, 200), (0, 0, 0, 0))
    image.putalpha(drawn(4, (300, 200)).convert("L").point(lambda value: 255 if value > 140 else 0))
    shape = Image.new("RGBA", (300, 200), (245, 245, 250, 255))
    shape.putalpha(image.getchannel("A"))
    black = Image.new("RGB", (300, 200))
    black.paste(shape, mask=shape.getchannel("A"))
    gallery.add([Item("logo", encoded(shape)), *(Item(str(seed), encoded(drawn(seed))) for seed in range(9))])
    for query in (encoded(shape.resize((150, 100))), encoded(black, "JPEG"), encoded(black.resize((210, 140)))):
        assert evidence(gallery.search(query))["logo"] == "copy"
    assert gallery.compare(encoded(shape), encoded(black)).evidence == "copy"


def with_exif(seed: int, year: int) -> bytes:
    exif = Image.Exif()
    exif[272] = f"Camera {seed % 2}"
    exif.get_ifd(0x8769)[0x9003] = f"{year}:07:14 09:30:00"
    return encoded(drawn(seed), "JPEG", exif=exif)


def test_exif_is_stored_filtered_and_sorted_by(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    for seed, year in enumerate((2019, 2011, 2024, 2015)):
        folder = tmp_path / "photos" / str(seed % 2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{seed}.jpg").write_bytes(with_exif(seed, year))
    gallery.add(tmp_path / "photos")
    by_time = gallery.ls(sort="exif.captured")
    assert [record.exif["captured"][:4] for record in by_time] == ["2011", "2015", "2019", "2024"]  # type: ignore[index]
    newest = gallery.ls(sort="-exif.captured", limit=2)
    assert [record.key for record in newest] == [record.key for record in by_time[::-1][:2]]
    [rest] = [gallery.ls(sort="-exif.captured", after=newest[-1].key)]
    assert [record.key for record in rest] == [record.key for record in by_time[:2][::-1]]
    assert {r.exif["camera"] for r in gallery.ls(filter={"exif.camera": "Camera 1"})} == {"Camera 1"}
    found = gallery.search(with_exif(2, 1999), filter={"exif.captured": {"gte": "2020"}})
    assert [hit.key.rpartition("/")[2] for hit in found.hits] == ["2.jpg"]
    found = gallery.search(with_exif(2, 1999), filter={"file.name": {"in": ["0.jpg", "1.jpg"]}})
    assert {hit.key.rpartition("/")[2] for hit in found.hits} == {"0.jpg", "1.jpg"}


def test_exif_can_be_left_out(gallery: lookalike.Gallery) -> None:
    gallery.add([Item("with", with_exif(1, 2019))])
    gallery.add([Item("without", with_exif(2, 2019))], exif=False)
    gallery.put("put", with_exif(3, 2019), exif=False)
    assert gallery.get("with").exif["camera"] == "Camera 1"
    assert gallery.get("without").exif == gallery.get("put").exif == {}


def test_attributes_are_apart_from_exif(gallery: lookalike.Gallery) -> None:
    gallery.add([Item("a", with_exif(1, 2019), {"album": "Alps"})])
    gallery.set_attributes("a", {}, merge=False)
    record = gallery.get("a")
    assert record.attributes == {}
    assert record.exif["captured"] == "2019-07-14T09:30:00"


def photo(folder: Path, name: str, time: str, exposure: int, brightness: float, *, exif: bool = True) -> str:
    """A JPEG of one scene, taken at a time with an exposure of 1/n s; returns its path."""
    data = Image.Exif()
    below = data.get_ifd(0x8769)
    below[0x9003], below[0x829A] = time, IFDRational(1, exposure)
    image = ImageEnhance.Brightness(drawn(4, (480, 360)).convert("RGB")).enhance(brightness)
    path = folder / name
    image.save(path, "JPEG", quality=90, exif=data.tobytes() if exif else b"")
    return str(path)


def test_photos_that_were_taken_separately_are_no_copies(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    """A bracket of exposures, two frames of a burst, of a scene in which nothing moved, and edits of one of them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    first = photo(folder, "first.jpg", "2024:05:01 10:00:00", 100, 1.0)
    photo(folder, "darker.jpg", "2024:05:01 10:00:00", 200, 0.85)
    photo(folder, "burst.jpg", "2024:05:01 10:00:01", 100, 1.0)
    edited = photo(folder, "edited.jpg", "2024:05:01 10:00:00", 100, 0.9)
    shared = photo(folder, "shared.jpg", "2024:05:01 10:00:00", 100, 0.95, exif=False)
    gallery.add(folder)
    assert evidence(gallery.search(first)) == {
        "first.jpg": "exact",
        "darker.jpg": "variant",
        "burst.jpg": "exact",  # the same pixels, which no evidence can refute
        "edited.jpg": "copy",
        "shared.jpg": "copy",
    }
    found = gallery.compare(first, str(folder / "darker.jpg"))
    assert found.verification is not None
    assert found.verification.separate_captures
    assert describe(found.evidence, found.verification).startswith("the same scene, taken at another time")
    for path in (edited, shared):
        assert gallery.compare(first, path).evidence == "copy"
    clusters = [{Path(image.key).name for image in cluster.images} for cluster in gallery.duplicates()]
    assert not any({"first.jpg", "darker.jpg"} <= names for names in clusters)
    assert any({"first.jpg", "edited.jpg"} <= names or {"first.jpg", "shared.jpg"} <= names for names in clusters)


def test_captures_of_images_without_a_file_are_known(gallery: lookalike.Gallery, tmp_path: Path) -> None:
    first = photo(tmp_path, "first.jpg", "2024:05:01 10:00:00", 100, 1.0)
    darker = photo(tmp_path, "darker.jpg", "2024:05:01 10:00:00", 200, 0.85)
    shared = photo(tmp_path, "shared.jpg", "2024:05:01 10:00:00", 100, 0.95, exif=False)
    gallery.add([Item("bytes", Path(first).read_bytes())])
    assert gallery.get("bytes").exif["exposure"] == 0.01
    assert gallery.search(darker).hits[0].evidence == "variant"
    assert gallery.search(shared).hits[0].evidence == "copy"
    assert [hit.key for hit in gallery.search(shared, filter={"exif.exposure": 0.01}).hits] == ["bytes"]
