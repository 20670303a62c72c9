"""The short way to a JPEG's pixels gives what Pillow gives, and leaves to Pillow what is not plain."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from lookalike.errors import ImageRejected
from lookalike.imaging import Limits, decode
from lookalike.imaging.limits import DEFAULT_LIMITS
from lookalike.imaging.plain_jpeg import decode_plain
from lookalike.types import Decoded

BOX = (96, 96)


def drawn(width: int = 420, height: int = 300, mode: str = "RGB") -> Image.Image:
    levels = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)  # type: ignore[arg-type]
    return file.getvalue()


def by_pillow(data: bytes, box: tuple[int, int] | None, *, grey: bool) -> Decoded:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules["lookalike.imaging.decoding"], "decode_plain", lambda *_, **__: None)
        return decode(data, box=box, grey=grey)


def same(data: bytes, box: tuple[int, int] | None, *, grey: bool) -> bool:
    ours, theirs = decode(data, box=box, grey=grey), by_pillow(data, box, grey=grey)
    about = [replace(d, rgb=np.empty(0)) for d in (ours, theirs)]
    return repr(about[0]) == repr(about[1]) and np.array_equal(ours.rgb, theirs.rgb)


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@given(
    size=st.tuples(st.integers(1, 700), st.integers(1, 700)),
    box=st.none() | st.tuples(st.integers(0, 300), st.integers(0, 300)),
    quality=st.integers(1, 95),
    subsampling=st.sampled_from([0, 1, 2]),
    progressive=st.booleans(),
    orientation=st.integers(0, 9),
    mode=st.sampled_from(["RGB", "L"]),
    grey=st.booleans(),
)
def test_it_is_what_pillow_gives(
    size: tuple[int, int],
    box: tuple[int, int] | None,
    quality: int,
    subsampling: int,
    progressive: bool,
    orientation: int,
    mode: str,
    grey: bool,
) -> None:
    data = saved(
        drawn(*size, mode),
        quality=quality,
        subsampling=subsampling,
        progressive=progressive,
        exif=oriented(orientation),
    )
    assert (decode_plain(data, box, DEFAULT_LIMITS, grey=grey) is not None) == (grey or mode == "RGB")
    assert same(data, box, grey=grey)


def test_it_is_what_pillow_gives_of_real_photos(photos: Path) -> None:
    files = sorted(p for p in photos.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[::5]
    data = [path.read_bytes() for path in files]
    short = [decode_plain(one, BOX, DEFAULT_LIMITS, grey=True) is not None for one in data]
    assert sum(short) > 0.8 * len(short) > 100
    assert all(same(one, BOX, grey=True) for one, taken in zip(data, short, strict=True) if taken)
    assert all(same(one, None, grey=False) for one in data)


def test_what_is_not_plain_is_left_to_pillow() -> None:
    odd = Image.Exif()
    odd[0x010E] = "a second block"
    second = b"\xff\xe1" + (len(odd.tobytes()) + 2).to_bytes(2) + odd.tobytes()
    plain = saved(drawn(), exif=oriented(6))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for data in (
        saved(drawn(), keep_rgb=True),
        saved(drawn(mode="CMYK")),
        saved(drawn(mode="L"), icc_profile=b"some profile of greys"),
        saved(drawn(), icc_profile=b"x" * 70_000),
        plain[:2] + second + plain[2:],
        plain[:-200],
        plain[:600],
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1",
    ):
        assert decode_plain(data, BOX, DEFAULT_LIMITS, grey=True) is None
        assert decode_plain(data, BOX, DEFAULT_LIMITS, grey=False) is None
    assert (
        decode_plain(saved(drawn(), icc_profile=profile), BOX, DEFAULT_LIMITS, grey=True) is not None
    )  # no profile for RGB: ignored


def test_where_pixels_are_digested_pillow_decodes_them_all() -> None:
    data = saved(drawn())
    assert decode_plain(data, None, DEFAULT_LIMITS, grey=False, reduced_only=True) is None
    assert decode_plain(data, BOX, DEFAULT_LIMITS, grey=False, reduced_only=True) is not None
    assert decode(data, digest_pixels=10**6).pixels is not None


def test_its_limits_are_those_of_every_image() -> None:
    with pytest.raises(ImageRejected, match="pixels") as rejected:
        decode_plain(saved(drawn()), BOX, Limits(max_pixels=1000), grey=True)
    assert rejected.value.reason == "too_many_pixels"


def test_damaged_files_hold_no_memory() -> None:
    broken = saved(drawn(800, 800), quality=95)[:-2000]
    process = psutil.Process()
    for _ in range(200):
        assert decode_plain(broken, None, DEFAULT_LIMITS, grey=True) is None
    before = process.memory_info().rss
    for _ in range(1000):
        assert decode_plain(broken, None, DEFAULT_LIMITS, grey=True) is None
    assert process.memory_info().rss - before < 32 * 1024 * 1024
