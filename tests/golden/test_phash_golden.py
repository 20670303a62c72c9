"""The perceptual hash on real photos: bit for bit `imagehash`, near it in the fast mode, and sure of itself."""

import os
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lookalike.encoders.phash import VIEWS, PHash
from lookalike.imaging import crop_border, decode, find_border, prepare, resize_to

FAST, EXACT = PHash(), PHash(exact=True)
EVERY = int(os.environ.get("LOOKALIKE_GOLDEN_EVERY", "4"))
"""Which photos are tried: every so-manieth, and those of a single colour; all take a minute of processor time."""


@dataclass(frozen=True)
class Seen:
    """One photo: the inputs of our encoders, and what imagehash says of the pixels and of the file itself."""

    name: str
    whole: NDArray[np.uint8]
    exact: NDArray[np.uint8]
    fast: NDArray[np.uint8]
    of_whole: str
    of_cut: str
    of_file: str | None
    bordered: bool


def see(folder: Path, name: str) -> Seen:
    data = (folder / name).read_bytes()
    rgb = decode(data).rgb
    border = find_border(rgb)
    of_whole = str(imagehash.phash(Image.fromarray(rgb)))
    fast = prepare(data, [FAST.input])
    with Image.open(folder / name) as file:
        plain = file.mode in ("RGB", "L") and not file.info.get("icc_profile") and not file.getexif()
        of_file = str(imagehash.phash(file)) if plain and "transparency" not in file.info else None
    return Seen(
        name=name,
        whole=resize_to(rgb, EXACT.input),
        exact=prepare(data, [EXACT.input]).inputs[0],
        fast=fast.inputs[0],
        of_whole=of_whole,
        of_cut=str(imagehash.phash(Image.fromarray(crop_border(rgb, border)))) if border else of_whole,
        of_file=of_file,
        bordered=bool(border or fast.border),
    )


@pytest.fixture(scope="module")
def seen(photos: Path) -> list[Seen]:
    names = [line.split("\t")[0] for line in (photos / "manifest.tsv").read_text().splitlines()[1:]]
    return [see(photos, name) for n, name in enumerate(names) if n % EVERY == 0 or "uniform-" in name]


def hashes(inputs: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return EXACT.encode(np.array(inputs)).features


def test_exact_equals_imagehash_on_photos(seen: list[Seen]) -> None:
    for inputs, wanted in (
        ([s.whole for s in seen], [s.of_whole for s in seen]),
        ([s.exact for s in seen], [s.of_cut for s in seen]),
    ):
        ours = [row.tobytes().hex() for row in hashes(inputs)]
        assert [s.name for s, a, b in zip(seen, ours, wanted, strict=True) if a != b] == []


def test_exact_equals_imagehash_of_the_plain_files_themselves(seen: list[Seen]) -> None:
    plain = [s for s in seen if s.of_file is not None]
    assert len(plain) > 1500 // EVERY
    ours = [row.tobytes().hex() for row in hashes([s.whole for s in plain])]
    assert [s.name for s, a in zip(plain, ours, strict=True) if a != s.of_file] == []


def test_the_fast_mode_stays_near_the_exact_one(seen: list[Seen]) -> None:
    # where a border is cut, how much of it depends on the scale: that is not the hash's doing
    reduced = [s for s in seen if s.name.lower().endswith((".jpg", ".jpeg")) and not s.bordered]
    assert len(reduced) > 1400 // EVERY
    bits = np.bitwise_count(hashes([s.exact for s in reduced]) ^ hashes([s.fast for s in reduced])).sum(axis=1)
    assert bits.mean() < 0.7
    assert np.percentile(bits, 99) <= 4
    assert bits.max() <= 14


def test_only_images_of_nothing_are_unusable(seen: list[Seen]) -> None:
    for inputs in ([s.exact for s in seen], [s.fast for s in seen]):
        encoded = EXACT.encode(np.array(inputs))
        unusable = {s.name.split("_")[-1] for s, usable in zip(seen, encoded.usable, strict=True) if not usable}
        assert {"uniform-black.png", "uniform-green.png", "uniform-white.png"} <= unusable
        assert all(name.startswith("uniform-") or name.split(".")[0].count("x") == 1 for name in unusable)
        # those named by a size (images4's testdata_proportions_100x122.png, ...) are uniform too
        assert (encoded.quality[encoded.usable] > 0.6).all()


def test_the_eight_orientations_of_a_real_image_are_found_by_views(photos: Path) -> None:
    """ThreatExchange's bridge, saved in all its turns and mirrors: each is within a few bits of one view."""
    files = sorted((photos / "copies" / "tx_bridge").glob("dih_bridge-*.jpg"))
    assert len(files) == 8
    inputs = [prepare(path.read_bytes(), [EXACT.input]).inputs[0] for path in files]
    views = EXACT.encode_views(np.array(inputs[:1])).features[0]
    best = [np.bitwise_count(views ^ row).sum(axis=1) for row in hashes(inputs)]
    assert {int(bits.argmin()) for bits in best} == set(range(len(VIEWS)))
    assert max(int(bits.min()) for bits in best) <= 6
