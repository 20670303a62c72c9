"""`lookalike calibrate`, and what searches do with its result."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookalike as library
from lookalike.errors import UnsupportedQuery
from lookalike.gallery import Gallery
from tests.support.command import lookalike
from tests.support.drawn_images import encoded

IMAGES = 24


def textured(seed: int) -> Image.Image:
    """A smooth random image with more structure than its hash has bits, so that hashes differ by chance alone."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a calibrated gallery, beside `images`."""
    folder = tmp_path_factory.mktemp("calibrated")
    (folder / "images").mkdir()
    for n in range(IMAGES):
        (folder / "images" / f"{n}.png").write_bytes(encoded(textured(n)))
    path = folder / "gallery"
    assert lookalike("init", "-g", path, "--pipelines", "phash").code == 0
    assert lookalike("add", "-g", path, folder / "images").code == 0
    ran = lookalike("calibrate", "-g", path, "--queries", IMAGES)
    assert ran.code == 0
    assert f"Calibrated with {IMAGES} edited copies, in a gallery of {IMAGES} images." in ran.text
    assert f"fewer than 1 in {IMAGES + 1} not seen" in ran.text
    return path


@pytest.fixture
def gallery(calibrated: Path) -> Gallery:
    return library.open(calibrated)


def copy_of(n: int) -> bytes:
    return encoded(textured(n).resize((120, 90)), "JPEG", quality=60)


def test_hits_carry_their_probability(gallery: Gallery) -> None:
    with gallery:
        [exact, *_] = gallery.search(encoded(textured(3))).hits
        copy, *others = gallery.search(copy_of(3)).hits
    assert exact.probability is not None
    assert exact.probability.value == 1
    assert (copy.key, copy.probability is not None) == ("3.png", True)
    values = [hit.probability.value for hit in (copy, *others) if hit.probability is not None]
    assert len(values) == len(others) + 1
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.9
    assert values[-1] < 0.5


def test_max_false_leaves_sure_hits_only(gallery: Gallery) -> None:
    with gallery:
        hits = gallery.search(copy_of(3), max_false=0.05).hits
        false = [gallery.search(encoded(textured(1000 + n)), max_false=0.05).hits for n in range(10)]
    assert [hit.key for hit in hits] == ["3.png"]
    assert sum(map(bool, false)) <= 4  # half a false answer is expected


def test_what_the_sample_cannot_show_is_refused(gallery: Gallery) -> None:
    with gallery, pytest.raises(UnsupportedQuery, match=f"fewer than 1 in {IMAGES + 1} was seen"):
        gallery.search(copy_of(3), max_false=1e-4)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5])
def test_a_share_out_of_range_is_refused(gallery: Gallery, share: float) -> None:
    with gallery, pytest.raises(UnsupportedQuery, match="max_false must be a share"):
        gallery.search(copy_of(3), max_false=share)


def test_each_tenant_has_its_own(gallery: Gallery) -> None:
    with gallery:
        gallery.put("theirs.png", encoded(textured(3)), tenant="other")
        assert gallery.search(copy_of(3), tenant="other").hits[0].probability is None
        assert gallery.search(copy_of(3), tenant=None).hits[0].probability is None
        for tenant, words in (("other", "needs a calibration"), (None, "needs one tenant")):
            with pytest.raises(UnsupportedQuery, match=words):
                gallery.search(copy_of(3), tenant=tenant, max_false=0.1)


def test_a_stale_calibration_is_not_used(gallery: Gallery) -> None:
    with gallery:
        measured = gallery.calibration()
        assert measured is not None
        try:
            gallery.set_calibration(dataclasses.replace(measured, fingerprints={"phash": "another"}))
            assert gallery.search(copy_of(3)).hits[0].probability is None
            with pytest.raises(UnsupportedQuery, match="measured with other features"):
                gallery.search(copy_of(3), max_false=0.1)
        finally:
            gallery.set_calibration(measured)


def test_the_command_line_shows_and_takes_them(calibrated: Path, tmp_path: Path) -> None:
    query = tmp_path / "query.jpg"
    query.write_bytes(copy_of(5))
    assert "probability" in lookalike("search", "-g", calibrated, query).text
    [hit] = lookalike("search", "-g", calibrated, query, "--max-false", 0.05, "--json").line["hits"]
    assert set(hit["probability"]) == {"value", "low", "high"}
    refused = lookalike("search", "-g", calibrated, query, "--max-false", 1e-5)
    assert "lookalike calibrate --queries" in refused.err


def test_too_few_images_are_not_calibrated(tmp_path: Path) -> None:
    path = tmp_path / "gallery"
    assert lookalike("init", "-g", path, "--pipelines", "phash").code == 0
    ran = lookalike("calibrate", "-g", path)
    assert (ran.code, "a calibration needs 20 images" in ran.err) == (4, True)
    assert lookalike("calibrate", "-g", path, "--queries", 5).code == 2
